#include "src/runtime/build_info.h"

#include <string>
#include <string_view>

#include "kernels/kernels.h"
#include "src/io/file.h"
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

// Of a kernel's level or oneDNN's name of an instruction set, how far it goes.
int height(std::string_view name) {
  return name.starts_with("avx512") || name.starts_with("AVX512") ? 3
         : name.starts_with("avx2") || name.starts_with("AVX2")   ? 2
         : name == "reference"                                    ? 0
                                                                  : 1;
}

// What is odd about ADAFACE_MAX_ISA and ONEDNN_MAX_CPU_ISA: up to two lines.
std::string cap_lines(const std::string& onednn) {
  std::string text;
  if (*kernels::unknown_cap() != 0) text += "unknown cap: " + unknown_cap_message() + "\n";
  const std::string ours = kernels::instruction_sets();
  if (onednn != "default" && height(ours) != height(onednn))
    text += "caps differ: kernels " + ours + ", oneDNN " + onednn +
            "; 3x3 convolutions may be slower than with ADAFACE_MAX_ISA and ONEDNN_MAX_CPU_ISA alike\n";
  return text;
}

}  // namespace

std::string unknown_cap_message() {
  const std::string cap = io::printable(std::string(kernels::unknown_cap()));
  return cap.empty() ? ""
                     : "ADAFACE_MAX_ISA=" + cap + " caps nothing, expected reference, sse41, avx2 or avx512";
}

const char* version() noexcept {
  return ADAFACE_PROJECT_VERSION;
}

std::string build_info() {
  const std::string onednn = nn::onednn_instruction_set();
  return std::string("version: ") + version() + "\ncompiler: " ADAFACE_COMPILER +
         "\nonednn: " + nn::onednn_versions() + "\nkernels: " + kernels::instruction_sets() +
         "\nonednn isa: " + onednn + "\n" + cap_lines(onednn) +
         "bfloat16: " + (nn::onednn_has_bf16() ? "yes" : "no") +
         "\nchannels in a block: " + std::to_string(nn::onednn_channel_block()) + "\ncuda: " + cuda_line() +
         "\n";
}

}  // namespace adaface
