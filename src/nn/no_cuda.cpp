// Of a build without CUDA.
#include "src/error.hpp"
#include "src/mtcnn/cuda_cascade.h"
#include "src/nn/cuda_backend.h"

namespace adaface {
namespace {

constexpr const char* kReason = "built without CUDA";

}  // namespace

std::vector<DeviceInfo> nn::cuda_device_list(std::string* reason) {
  if (reason) *reason = kReason;
  return {};
}

std::shared_ptr<const nn::CudaPlan> nn::plan_cuda(const Network&, int, Precision, ThreadPool*) {
  throw Error(ErrorCode::unsupported, kReason);
}

std::unique_ptr<mtcnn::CudaCascade> mtcnn::cuda_cascade(Weights::State&, const DetectorOptions& options,
                                                        const CudaCascadeLimits&) {
  throw Error(ErrorCode::unsupported, to_string(options.device) + ": " + kReason);
}

}  // namespace adaface
