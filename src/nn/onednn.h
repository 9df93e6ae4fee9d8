// What the rest of src/nn needs to know of oneDNN, without its header.
#pragma once

#include <string>
#include <utility>

namespace adaface::nn {

// Channels that lie together: 16 or 8, what the JIT convolutions of this CPU (or of ONEDNN_MAX_CPU_ISA) want.
// 1, plain planes, where our own kernels are the definitions, as on every architecture but x86-64: over
// planes oneDNN's convolutions are matrix products, over blocks its reference, which is 20 to 200 times as
// slow.
int onednn_channel_block();
// "2.6.3", or "2.6.0, loaded 2.6.3" where it was built against another.
std::string onednn_versions();
// The highest that it uses, capped by ONEDNN_MAX_CPU_ISA, as that names it: "AVX512_CORE_BF16". "default" on
// architectures that the names are not for.
std::string onednn_instruction_set();
// Whether it multiplies bfloat16 natively; not in planes.
bool onednn_has_bf16();

// Rethrows the exception in flight; one of oneDNN's as Error, with `what` was being done.
[[noreturn]] void rethrow_onednn(const std::string& what);

template <typename F>
auto onednn_errors(const char* what, F&& f) {
  try {
    return f();
  } catch (...) {
    rethrow_onednn(what);
  }
}

}  // namespace adaface::nn
