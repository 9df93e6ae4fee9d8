// What this CPU, under the caps of ONEDNN_MAX_CPU_ISA and ADAFACE_MAX_ISA, must be able to do: asked of the
// CPU and the caps themselves, so that a test tells a version that went missing from one that cannot be.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>

namespace adaface::testing {

enum class Isa { reference, sse41, avx2, avx512, avx512_bf16 };

// Of architectures that have no kernels of their own: reference.
inline Isa isa_of_cpu() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c"))
    return Isa::sse41;
  for (const bool has : {__builtin_cpu_supports("avx512f") != 0, __builtin_cpu_supports("avx512bw") != 0,
                         __builtin_cpu_supports("avx512dq") != 0, __builtin_cpu_supports("avx512vl") != 0})
    if (!has) return Isa::avx2;
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") ? Isa::avx512_bf16
                                                                                      : Isa::avx512;
#else
  return Isa::reference;
#endif
}

// oneDNN reads its own in any case, as we do ours.
inline std::string lower_case_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value ? value : "";
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// The variable's documented values; others cap nothing.
inline Isa onednn_isa() {
  const std::string cap = lower_case_variable("ONEDNN_MAX_CPU_ISA");
  const Isa most = cap == "sse41" || cap == "avx"                      ? Isa::sse41
                   : cap == "avx2" || cap.starts_with("avx2_")         ? Isa::avx2
                   : cap == "avx512_core" || cap == "avx512_core_vnni" ? Isa::avx512
                                                                       : Isa::avx512_bf16;
  return std::min(most, isa_of_cpu());
}

inline Isa kernels_isa() {
  const std::string cap = lower_case_variable("ADAFACE_MAX_ISA");
  const Isa most = cap == "reference" ? Isa::reference
                   : cap == "sse41"   ? Isa::sse41
                   : cap == "avx2"    ? Isa::avx2
                   : cap == "avx512"  ? Isa::avx512
                                      : Isa::avx512_bf16;
  return std::min(most, isa_of_cpu());
}

// Channels of an activation that lie together.
inline int channel_block() {
  if (kernels_isa() == Isa::reference) return 1;
  return onednn_isa() >= Isa::avx512 ? 16 : 8;
}

}  // namespace adaface::testing
