#include "kernels/x86/vector_avx512.h"
#include "kernels/x86/winograd_version.h"
#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

struct MultiplyPairs {
  using Input = std::uint16_t;
  using Weights = __m512bh;
  static constexpr WinogradType kType = WinogradType::bf16;
  static constexpr int kDepth = 2, kWeightBytes = 4 * kBlock;
  [[gnu::always_inline]] static Weights weights(const unsigned char* at) {
    return reinterpret_cast<__m512bh>(_mm512_load_si512(at));
  }
  [[gnu::always_inline]] static V add(const std::uint16_t* v, Weights w, V sum) {
    int pair;
    __builtin_memcpy(&pair, v, sizeof pair);
    return _mm512_dpbf16_ps(sum, w, reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair)));
  }
};

}  // namespace

void winograd_input_bf16(const WinogradInput& shape, const float* src, std::uint16_t* v, float* scratch) {
  transform_image(shape, src, v, scratch);
}

void winograd_multiply_bf16(const WinogradGrid& grid, int images, int in_blocks, const void* u,
                            const std::uint16_t* v, float* m) {
  multiply_all<MultiplyPairs>(grid, images, in_blocks, u, v, m);
}

}  // namespace adaface::kernels::x86
