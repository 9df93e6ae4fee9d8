#include <cstdlib>
#include <string_view>

#include "kernels/kernels.h"
#include "kernels/reference/reference.h"
#include "kernels/x86/x86.h"

namespace adaface::kernels {
namespace {

enum class Isa { reference, sse41, avx2, avx512, avx512_extensions };

// An unknown value of the variable caps nothing.
Isa cap() {
  const char* text = std::getenv("ADAFACE_MAX_ISA");
  const std::string_view name = text ? text : "";
  return name == "reference" ? Isa::reference
         : name == "sse41"   ? Isa::sse41
         : name == "avx2"    ? Isa::avx2
         : name == "avx512"  ? Isa::avx512
                             : Isa::avx512_extensions;
}

bool has_avx2() {
  return cap() >= Isa::avx2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return cap() >= Isa::avx512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool has_vnni() {
  return cap() > Isa::avx512 && __builtin_cpu_supports("avx512vnni");
}

bool has_bf16() {
  return cap() > Isa::avx512 && __builtin_cpu_supports("avx512bf16");
}

Kernels for_this_cpu() {
  Kernels table = definitions();
  if (cap() >= Isa::sse41 && __builtin_cpu_supports("sse4.1")) {
    table.pack_strip = x86::pack_strip_sse41;
    table.resize_across = x86::resize_across_sse41;
    table.resize_down = x86::resize_down_sse41;
    table.pnet = x86::pnet_sse41;
    table.convolve = x86::convolve_sse41;
    table.pool = x86::pool_sse41;
  }
  if (has_avx2()) {
    table.dot_products = x86::dot_products_avx2;
    table.resize_across = x86::resize_across_avx2;
    table.resize_down = x86::resize_down_avx2;
    table.pnet = x86::pnet_avx2;
    table.convolve = x86::convolve_avx2;
    table.pool = x86::pool_avx2;
    table.read_words = x86::read_words_avx2;
    table.multiply_adds = table.multiply_adds_bf16 = x86::multiply_adds_avx2;
    table.dense = x86::dense_avx2;
  }
  if (has_avx512()) {
    table.pnet = x86::pnet_avx512;
    table.convolve = x86::convolve_avx512;
    table.pool = x86::pool_avx512;
    table.multiply_adds = table.multiply_adds_bf16 = x86::multiply_adds_avx512;
    if (has_bf16()) table.multiply_adds_bf16 = x86::multiply_adds_avx512bf16;
    table.read_words = x86::read_words_avx512;
    table.to_bf16 = x86::to_bf16_avx512;
    table.dense = x86::dense_avx512;
    table.dot_products = x86::dot_products_avx512bw;
    if (has_vnni()) {
      table.dot_products = x86::dot_products_avx512vnni;
      table.resize_across = x86::resize_across_vnni;
      table.resize_down = x86::resize_down_vnni;
    }
  }
  return table;
}

WinogradKernels winograd_avx512() {
  WinogradKernels kernels = x86::kWinogradAvx512;
  if (has_bf16()) {
    kernels.input_bf16 = x86::winograd_input_bf16;
    kernels.multiply_bf16 = x86::winograd_multiply_bf16;
  }
  return kernels;
}

}  // namespace

const WinogradKernels* winograd(int block) {
  static const WinogradKernels kAvx512 = winograd_avx512();
  if (block == x86::kWinogradAvx512.block && has_avx512()) return &kAvx512;
  if (block == x86::kWinogradAvx2.block && has_avx2()) return &x86::kWinogradAvx2;
  return nullptr;
}

const WinogradKernels& winograd_definition(int block) {
  return block == reference::kWinograd16.block ? reference::kWinograd16 : reference::kWinograd8;
}

const Kernels& definitions() {
  static constexpr Kernels kTable = {
      .pack_strip = reference::pack_strip,
      .resize_across = reference::resize_across,
      .resize_down = reference::resize_down,
      .pnet = reference::pnet,
      .convolve = reference::convolve,
      .pool = reference::pool,
      .warp_affine = reference::warp_affine,
      .scale_shift = reference::scale_shift,
      .to_bf16 = reference::to_bf16,
      .prelu = reference::prelu,
      .linear = reference::linear,
      .dense = reference::dense,
      .subsample = reference::subsample,
      .global_average = reference::global_average,
      .gate_add = reference::gate_add,
      .dot_products = reference::dot_products,
      .multiply_adds = reference::multiply_adds,
      .multiply_adds_bf16 = reference::multiply_adds,
      .read_words = reference::read_words,
  };
  return kTable;
}

const char* instruction_sets() {
  if (has_avx512()) {
    const bool vnni = __builtin_cpu_supports("avx512vnni"), bf16 = __builtin_cpu_supports("avx512bf16");
    return vnni && bf16 ? "avx512 vnni bf16" : vnni ? "avx512 vnni" : bf16 ? "avx512 bf16" : "avx512";
  }
  return has_avx2()                                                ? "avx2"
         : cap() >= Isa::sse41 && __builtin_cpu_supports("sse4.1") ? "sse41"
                                                                   : "reference";
}

const Kernels& select() {
  static const Kernels kTable = for_this_cpu();
  return kTable;
}

}  // namespace adaface::kernels
