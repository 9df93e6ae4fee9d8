// AVX-512 VNNI: unsigned pixels by signed digits of the weights, four products added to each lane.
#include <immintrin.h>

#include <cstring>

#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

constexpr int kLanes = 16;
// Masks that select all lanes: without them g++ 12 warns of its own headers.
constexpr __mmask16 kAll = 0xffff;

__attribute__((target("avx512f,avx512vnni"))) inline __m512i digits_of(const ResizeGroup& group, int digit) {
  std::int32_t four;
  std::memcpy(&four, group.digits[digit], sizeof four);
  return _mm512_set1_epi32(four);
}

// sum + pixels * weights, four products a lane. Written as the instruction: g++ 12 copies every sum before
// and after the intrinsic.
__attribute__((target("avx512f,avx512vnni"))) inline __m512i accumulate(__m512i sum, __m512i pixels,
                                                                        __m512i weights) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(pixels), "v"(weights));
  return sum;
}

// Sums of kVectors vectors of lanes, `count` groups of which lie `stride` bytes apart, to one byte a lane:
// four bytes of each vector in each 128 bits of the result.
template <int kVectors>
__attribute__((target("avx512f,avx512bw,avx512vnni"))) inline __m512i resample(const ResizeGroup* groups,
                                                                               int count,
                                                                               const std::uint8_t* src,
                                                                               std::ptrdiff_t stride) {
  __m512i low[kVectors], middle[kVectors], high[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    low[v] = _mm512_set1_epi32(1 << (kResizeFractionBits - 1));
    middle[v] = high[v] = _mm512_setzero_si512();
  }
  for (int g = 0; g < count; ++g, src += stride) {
    const __m512i weights_low = digits_of(groups[g], 0), weights_middle = digits_of(groups[g], 1),
                  weights_high = digits_of(groups[g], 2);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const __m512i pixels = _mm512_loadu_si512(src + v * kLanes * 4);
      low[v] = accumulate(low[v], pixels, weights_low);
      middle[v] = accumulate(middle[v], pixels, weights_middle);
      high[v] = accumulate(high[v], pixels, weights_high);
    }
  }
  __m512i bytes[4];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const __m512i upper = _mm512_add_epi32(middle[v], _mm512_maskz_slli_epi32(kAll, high[v], 8));
    const __m512i sum = _mm512_add_epi32(low[v], _mm512_maskz_slli_epi32(kAll, upper, 8));
    bytes[v] = _mm512_maskz_srli_epi32(kAll, sum, kResizeFractionBits);
  }
  for (int v = kVectors; v < 4; ++v) bytes[v] = bytes[0];
  return _mm512_packus_epi16(_mm512_packus_epi32(bytes[0], bytes[1]),
                             _mm512_packus_epi32(bytes[2], bytes[3]));
}

template <int kVectors>
__attribute__((target("avx512f,avx512bw,avx512vnni"))) void across(const ResizeAxis& axis,
                                                                   const std::uint8_t* src, std::uint8_t* dst,
                                                                   std::ptrdiff_t dst_stride) {
  for (int i = 0; i < axis.size; i += 4) {
    __m512i outputs[4];
    for (int k = 0; k < 4; ++k) {
      // Beyond the last output the last again: dst has room for whole vectors.
      const int at = i + k < axis.size ? i + k : axis.size - 1;
      outputs[k] = resample<kVectors>(
          axis.groups + static_cast<std::ptrdiff_t>(at) * axis.max_groups, axis.counts[at],
          src + static_cast<std::ptrdiff_t>(axis.first[at]) * kStripRows * 4, kStripRows * 4);
    }
    // Four rows of each output become a group of each output in turn.
    const __m512i a = _mm512_maskz_unpacklo_epi32(kAll, outputs[0], outputs[1]),
                  b = _mm512_maskz_unpackhi_epi32(kAll, outputs[0], outputs[1]),
                  c = _mm512_maskz_unpacklo_epi32(kAll, outputs[2], outputs[3]),
                  d = _mm512_maskz_unpackhi_epi32(kAll, outputs[2], outputs[3]);
    const __m512i rows[4] = {_mm512_maskz_unpacklo_epi64(0xff, a, c), _mm512_maskz_unpackhi_epi64(0xff, a, c),
                             _mm512_maskz_unpacklo_epi64(0xff, b, d),
                             _mm512_maskz_unpackhi_epi64(0xff, b, d)};
    for (int v = 0; v < kVectors; ++v) {
      auto* to = dst + v * 4 * dst_stride + i * 4;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_maskz_extracti32x4_epi32(0xf, rows[v], 0));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + dst_stride),
                       _mm512_maskz_extracti32x4_epi32(0xf, rows[v], 1));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2 * dst_stride),
                       _mm512_maskz_extracti32x4_epi32(0xf, rows[v], 2));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 3 * dst_stride),
                       _mm512_maskz_extracti32x4_epi32(0xf, rows[v], 3));
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

__attribute__((target("avx512f,avx512bw,avx512vnni"))) void resize_down_vnni(const ResizeGroup* groups,
                                                                             int count,
                                                                             const std::uint8_t* src,
                                                                             std::ptrdiff_t src_stride,
                                                                             int lanes, std::uint8_t* dst) {
  // From the order of resample to that of the lanes.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  constexpr int kVectors = 4;
  int x = 0;
  for (; x + kVectors * kLanes <= lanes; x += kVectors * kLanes)
    _mm512_storeu_si512(
        dst + x, _mm512_maskz_permutexvar_epi32(kAll, order,
                                                resample<kVectors>(groups, count, src + x * 4, src_stride)));
  for (; x < lanes; x += kLanes)
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(dst + x),
        _mm512_maskz_extracti32x4_epi32(
            0xf,
            _mm512_maskz_permutexvar_epi32(kAll, order, resample<1>(groups, count, src + x * 4, src_stride)),
            0));
}

}  // namespace adaface::kernels::x86
