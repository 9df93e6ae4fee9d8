#include "src/mtcnn/device_cascade.h"
#include "src/nn/cuda_backend.h"

namespace adaface {
namespace nn {

std::vector<DeviceInfo> cuda_device_list(std::string* reason) {
  if (reason) *reason = "built without CUDA";
  return {};
}

}  // namespace nn

std::unique_ptr<mtcnn::DeviceCascade> mtcnn::device_cascade(Weights::State&, const DetectorOptions& options,
                                                            const DeviceCascadeLimits&) {
  throw Error(ErrorCode::unsupported, to_string(options.device) + ": built without CUDA");
}

}  // namespace adaface
