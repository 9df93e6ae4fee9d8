#include <string>

#include "kernels/kernels.h"
#include "src/nn/onednn.h"
#include "src/runtime.hpp"

#if defined(__clang__)
#define ADAFACE_COMPILER "clang " __clang_version__
#else
#define ADAFACE_COMPILER "gcc " __VERSION__
#endif

namespace adaface {

const char* version() noexcept {
  return ADAFACE_PROJECT_VERSION;
}

std::string build_info() {
  return std::string("version: ") + version() + "\ncompiler: " ADAFACE_COMPILER +
         "\nonednn: " + nn::onednn_versions() + "\nkernels: " + kernels::instruction_sets() +
         "\nbfloat16: " + (nn::onednn_has_bf16() ? "yes" : "no") +
         "\nchannels in a block: " + std::to_string(nn::onednn_channel_block()) + "\n";
}

}  // namespace adaface
