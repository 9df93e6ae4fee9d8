#include <string>

#include "kernels/kernels.h"
#include "src/nn/cuda_backend.h"
#include "src/nn/onednn.h"
#include "src/runtime.hpp"

#if defined(__clang__)
#define ADAFACE_COMPILER "clang " __clang_version__
#else
#define ADAFACE_COMPILER "gcc " __VERSION__
#endif

namespace adaface {
namespace {

// "no: built without CUDA", or "cuda:0 NVIDIA H100 80GB HBM3 (compute 9.0, 81559 MiB), cuda:1 ...".
std::string cuda_line() {
  std::string text, reason;
  for (const DeviceInfo& info : nn::cuda_device_list(&reason))
    text += (text.empty() ? "" : ", ") + to_string(info.device) + " " + info.name + " (compute " +
            std::to_string(info.compute_major) + "." + std::to_string(info.compute_minor) + ", " +
            std::to_string(info.memory_bytes >> 20) + " MiB)";
  return text.empty() ? "no: " + reason : text;
}

}  // namespace

const char* version() noexcept {
  return ADAFACE_PROJECT_VERSION;
}

std::string build_info() {
  return std::string("version: ") + version() + "\ncompiler: " ADAFACE_COMPILER +
         "\nonednn: " + nn::onednn_versions() + "\nkernels: " + kernels::instruction_sets() +
         "\nbfloat16: " + (nn::onednn_has_bf16() ? "yes" : "no") +
         "\nchannels in a block: " + std::to_string(nn::onednn_channel_block()) + "\ncuda: " + cuda_line() +
         "\n";
}

}  // namespace adaface
