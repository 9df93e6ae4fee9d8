#include "src/nn/cuda_backend.h"

#include "src/error.hpp"

namespace adaface::nn {

std::vector<DeviceInfo> cuda_device_list(std::string* reason) {
  if (reason) *reason = "built without CUDA";
  return {};
}

std::shared_ptr<const CudaPlan> plan_cuda(const Network&, int, Precision, ThreadPool*) {
  throw Error(ErrorCode::unsupported, "built without CUDA");
}

}  // namespace adaface::nn
