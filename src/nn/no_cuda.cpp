#include "src/nn/cuda_backend.h"

namespace adaface::nn {

std::vector<DeviceInfo> cuda_device_list(std::string* reason) {
  if (reason) *reason = "built without CUDA";
  return {};
}

}  // namespace adaface::nn
