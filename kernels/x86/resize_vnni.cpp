// AVX-512 VNNI: unsigned pixels by signed digits of the weights, four products added to each lane.
#include <immintrin.h>

#include <cstring>

#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

constexpr int kLanes = 16;

__attribute__((target("avx512f,avx512vnni"))) inline __m512i digits_of(const ResizeGroup& group, int digit) {
  std::int32_t four;
  std::memcpy(&four, group.digits[digit], sizeof four);
  return _mm512_set1_epi32(four);
}

// kVectors vectors of lanes, `groups` of which lie `stride` bytes apart, to 16 bytes each.
template <int kVectors>
__attribute__((target("avx512f,avx512vnni"))) inline void resample(const ResizeGroup* groups, int count,
                                                                   const std::uint8_t* src,
                                                                   std::ptrdiff_t stride, __m128i* dst) {
  __m512i sums[3][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    sums[0][v] = _mm512_set1_epi32(1 << (kResizeFractionBits - 1));
    sums[1][v] = sums[2][v] = _mm512_setzero_si512();
  }
  for (int g = 0; g < count; ++g, src += stride) {
    const __m512i weights[3] = {digits_of(groups[g], 0), digits_of(groups[g], 1), digits_of(groups[g], 2)};
    for (int v = 0; v < kVectors; ++v) {
      const __m512i pixels = _mm512_loadu_si512(src + v * kLanes * 4);
      for (int d = 0; d < 3; ++d) sums[d][v] = _mm512_dpbusd_epi32(sums[d][v], pixels, weights[d]);
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    __m512i sum = _mm512_add_epi32(
        sums[0][v],
        _mm512_add_epi32(_mm512_maskz_slli_epi32(0xffff, sums[1][v], 8), _mm512_maskz_slli_epi32(0xffff, sums[2][v], 16)));
    dst[v] = _mm512_maskz_cvtusepi32_epi8(0xffff, _mm512_maskz_srli_epi32(0xffff, sum, kResizeFractionBits));
  }
}

// Four outputs of each of four rows become the groups of four rows of each output.
__attribute__((target("avx512f"))) inline void store_groups(const __m128i outputs[4], std::uint8_t* dst,
                                                            std::ptrdiff_t stride) {
  const __m128i a = _mm_unpacklo_epi32(outputs[0], outputs[1]), b = _mm_unpackhi_epi32(outputs[0], outputs[1]);
  const __m128i c = _mm_unpacklo_epi32(outputs[2], outputs[3]), d = _mm_unpackhi_epi32(outputs[2], outputs[3]);
  const __m128i rows[4] = {_mm_unpacklo_epi64(a, c), _mm_unpackhi_epi64(a, c), _mm_unpacklo_epi64(b, d),
                           _mm_unpackhi_epi64(b, d)};
  for (int q = 0; q < 4; ++q) _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + q * stride), rows[q]);
}

template <int kVectors>
__attribute__((target("avx512f,avx512vnni"))) void across(const ResizeAxis& axis, const std::uint8_t* src,
                                                          std::uint8_t* dst, std::ptrdiff_t dst_stride) {
  for (int i = 0; i < axis.size; i += 4) {
    __m128i outputs[4][kVectors];
    for (int k = 0; k < 4; ++k) {
      // Beyond the last output the last again: dst has room for whole vectors.
      const int at = i + k < axis.size ? i + k : axis.size - 1;
      resample<kVectors>(axis.groups + static_cast<std::ptrdiff_t>(at) * axis.max_groups, axis.counts[at],
                         src + static_cast<std::ptrdiff_t>(axis.first[at]) * kStripRows * 4, kStripRows * 4,
                         outputs[k]);
    }
    for (int v = 0; v < kVectors; ++v) {
      const __m128i four[4] = {outputs[0][v], outputs[1][v], outputs[2][v], outputs[3][v]};
      store_groups(four, dst + v * 4 * dst_stride + i * 4, dst_stride);
    }
  }
}

}  // namespace

void resize_across_vnni(const ResizeAxis& axis, const std::uint8_t* src, int first_row, int last_row,
                        std::uint8_t* dst, std::ptrdiff_t dst_stride) {
  const int vectors = (last_row - first_row) / kLanes;
  src += first_row * 4;
  switch (vectors) {
    case 1: across<1>(axis, src, dst, dst_stride); break;
    case 2: across<2>(axis, src, dst, dst_stride); break;
    case 3: across<3>(axis, src, dst, dst_stride); break;
    case 4: across<4>(axis, src, dst, dst_stride); break;
    default: break;
  }
}

__attribute__((target("avx512f,avx512vnni"))) void resize_down_vnni(const ResizeGroup* groups, int count,
                                                                    const std::uint8_t* src,
                                                                    std::ptrdiff_t src_stride, int lanes,
                                                                    std::uint8_t* dst) {
  constexpr int kVectors = 4;
  int x = 0;
  for (; x + kVectors * kLanes <= lanes; x += kVectors * kLanes) {
    __m128i bytes[kVectors];
    resample<kVectors>(groups, count, src + x * 4, src_stride, bytes);
    std::memcpy(dst + x, bytes, sizeof bytes);
  }
  for (; x < lanes; x += kLanes) {
    __m128i bytes;
    resample<1>(groups, count, src + x * 4, src_stride, &bytes);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + x), bytes);
  }
}

}  // namespace adaface::kernels::x86
