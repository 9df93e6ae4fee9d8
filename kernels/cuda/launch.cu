#include "kernels/cuda/launch.h"

namespace adaface::kernels::cuda {

namespace {

struct Capability {
  int major = 0, minor = 0;
};

Capability capability() {
  static thread_local int known_device = -1;
  static thread_local Capability known;
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return {};
  if (device != known_device) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, device) != cudaSuccess) return {};
    known_device = device;
    known = {properties.major, properties.minor};
  }
  return known;
}

}  // namespace

int compute_major() {
  return capability().major;
}

bool has_warpgroup_products() {
  return capability().major == 9 && capability().minor == 0;
}

}  // namespace adaface::kernels::cuda
