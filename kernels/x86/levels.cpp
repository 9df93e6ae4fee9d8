#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const WinogradKernels& winograd_bf16() {
  static const WinogradKernels kKernels = [] {
    WinogradKernels kernels = kWinogradAvx512;
    kernels.input_bf16 = winograd_input_bf16;
    kernels.multiply_bf16 = winograd_multiply_bf16;
    return kernels;
  }();
  return kKernels;
}

}  // namespace

void add_levels(Levels& levels) {
  if (!__builtin_cpu_supports("sse4.1")) return;
  {
    Kernels& table = levels.add("sse41").kernels;
    table.pack_strip = pack_strip_sse41;
    table.resize_across = resize_across_sse41;
    table.resize_down = resize_down_sse41;
    table.pnet = pnet_sse41;
    table.convolve = convolve_sse41;
    table.pool = pool_sse41;
  }
  if (!has_avx2()) return;
  {
    Level& level = levels.add("avx2");
    level.winograd8 = &kWinogradAvx2;
    Kernels& table = level.kernels;
    table.dot_products = dot_products_avx2;
    table.resize_across = resize_across_avx2;
    table.resize_down = resize_down_avx2;
    table.pnet = pnet_avx2;
    table.convolve = convolve_avx2;
    table.pool = pool_avx2;
    table.read_words = read_words_avx2;
    table.multiply_adds = table.multiply_adds_bf16 = multiply_adds_avx2;
    table.dense = dense_avx2;
  }
  if (!has_avx512()) return;
  {
    Level& level = levels.add("avx512");
    level.winograd16 = &kWinogradAvx512;
    Kernels& table = level.kernels;
    table.pnet = pnet_avx512;
    table.convolve = convolve_avx512;
    table.pool = pool_avx512;
    table.multiply_adds = table.multiply_adds_bf16 = multiply_adds_avx512;
    table.read_words = read_words_avx512;
    table.to_bf16 = to_bf16_avx512;
    table.dense = dense_avx512;
    table.dot_products = dot_products_avx512bw;
  }
  const bool vnni = __builtin_cpu_supports("avx512vnni"), bf16 = __builtin_cpu_supports("avx512bf16");
  if (!vnni && !bf16) return;
  Level& level = levels.add(vnni && bf16 ? "avx512 vnni bf16" : vnni ? "avx512 vnni" : "avx512 bf16");
  if (vnni) {
    level.kernels.dot_products = dot_products_avx512vnni;
    level.kernels.resize_across = resize_across_vnni;
    level.kernels.resize_down = resize_down_vnni;
  }
  if (bf16) {
    level.kernels.multiply_adds_bf16 = multiply_adds_avx512bf16;
    level.winograd16 = &winograd_bf16();
  }
}

}  // namespace adaface::kernels::x86
