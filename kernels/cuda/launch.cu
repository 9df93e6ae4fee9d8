#include "kernels/cuda/launch.h"

#include <cmath>
#include <cstdint>
#include <cstring>

namespace adaface::kernels::cuda {

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

float host_value(Storage storage, const void* host, std::size_t i) {
  if (storage == Storage::f32) return static_cast<const float*>(host)[i];
  const unsigned bits = static_cast<const std::uint16_t*>(host)[i], sign = bits & 0x8000u;
  unsigned word = bits << 16;
  if (storage == Storage::f16) {
    const int exponent = static_cast<int>(bits >> 10 & 31u), fraction = static_cast<int>(bits & 1023u);
    if (exponent == 0) return std::ldexp(static_cast<float>(sign ? -fraction : fraction), -24);
    // 112 is the distance between the two formats' exponents; infinities and NaNs have their highest.
    word = sign << 16 | static_cast<unsigned>(exponent == 31 ? 255 : exponent + 112) << 23 |
           static_cast<unsigned>(fraction) << 13;
  }
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

}  // namespace adaface::kernels::cuda
