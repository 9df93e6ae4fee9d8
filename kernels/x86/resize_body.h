// Resampling with 16-bit multiplications, for what has AVX2 or SSE4.1: this is included by a file for each.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace adaface::kernels::x86 {
namespace {

#if defined(__AVX2__)

struct Integers {
  static constexpr int kLanes = 8;
  __m256i value;

  static Integers all(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
  static Integers load(const std::uint8_t* src) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src))};
  }
  // Four values of 16 bits, over and over.
  static Integers four(const std::int16_t* src) {
    return {_mm256_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(src)))};
  }
  // Bytes of the low and of the high half of each 128 bits, widened to 16.
  Integers low_bytes() const { return {_mm256_unpacklo_epi8(value, _mm256_setzero_si256())}; }
  Integers high_bytes() const { return {_mm256_unpackhi_epi8(value, _mm256_setzero_si256())}; }
  static Integers multiply_add_pairs(Integers a, Integers b) { return {_mm256_madd_epi16(a.value, b.value)}; }
  friend Integers operator+(Integers a, Integers b) { return {_mm256_add_epi32(a.value, b.value)}; }
  Integers shifted_left_16() const { return {_mm256_slli_epi32(value, 16)}; }
  static Integers add_neighbours(Integers low, Integers high) {
    return {_mm256_hadd_epi32(low.value, high.value)};
  }
  Integers whole() const { return {_mm256_srli_epi32(value, kResizeFractionBits)}; }
  static __m128i narrow(const Integers sums[2]) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(sums[0].value, sums[1].value), 0xd8);
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  }
};

#else

struct Integers {
  static constexpr int kLanes = 4;
  __m128i value;

  static Integers all(std::int32_t x) { return {_mm_set1_epi32(x)}; }
  static Integers load(const std::uint8_t* src) {
    return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))};
  }
  static Integers four(const std::int16_t* src) {
    const __m128i quad = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(src));
    return {_mm_unpacklo_epi64(quad, quad)};
  }
  Integers low_bytes() const { return {_mm_unpacklo_epi8(value, _mm_setzero_si128())}; }
  Integers high_bytes() const { return {_mm_unpackhi_epi8(value, _mm_setzero_si128())}; }
  static Integers multiply_add_pairs(Integers a, Integers b) { return {_mm_madd_epi16(a.value, b.value)}; }
  friend Integers operator+(Integers a, Integers b) { return {_mm_add_epi32(a.value, b.value)}; }
  Integers shifted_left_16() const { return {_mm_slli_epi32(value, 16)}; }
  static Integers add_neighbours(Integers low, Integers high) {
    return {_mm_hadd_epi32(low.value, high.value)};
  }
  Integers whole() const { return {_mm_srli_epi32(value, kResizeFractionBits)}; }
  static __m128i narrow(const Integers sums[4]) {
    return _mm_packus_epi16(_mm_packs_epi32(sums[0].value, sums[1].value),
                            _mm_packs_epi32(sums[2].value, sums[3].value));
  }
};

#endif

constexpr int kVectors = kResizeLanes / Integers::kLanes;

// Sixteen lanes, whose groups lie `stride` bytes apart.
inline __m128i resample(const ResizeGroup* groups, int count, const std::uint8_t* src,
                        std::ptrdiff_t stride) {
  Integers result[kVectors];
  for (int v = 0; v < kVectors; ++v, src += Integers::kLanes * 4) {
    Integers low[2], high[2];
    for (int half = 0; half < 2; ++half) low[half] = high[half] = Integers::all(0);
    const std::uint8_t* at = src;
    for (int g = 0; g < count; ++g, at += stride) {
      const Integers pixels = Integers::load(at), weights_low = Integers::four(groups[g].low),
                     weights_high = Integers::four(groups[g].high);
      const Integers halves[2] = {pixels.low_bytes(), pixels.high_bytes()};
      for (int half = 0; half < 2; ++half) {
        low[half] = low[half] + Integers::multiply_add_pairs(halves[half], weights_low);
        high[half] = high[half] + Integers::multiply_add_pairs(halves[half], weights_high);
      }
    }
    for (int half = 0; half < 2; ++half) low[half] = low[half] + high[half].shifted_left_16();
    result[v] = (Integers::add_neighbours(low[0], low[1]) +
                 Integers::all(std::int32_t{1} << (kResizeFractionBits - 1)))
                    .whole();
  }
  return Integers::narrow(result);
}

// Four outputs of each of four rows become the groups of four rows of each output.
inline void store_groups(const __m128i outputs[4], std::uint8_t* dst, std::ptrdiff_t stride) {
  const __m128i a = _mm_unpacklo_epi32(outputs[0], outputs[1]),
                b = _mm_unpackhi_epi32(outputs[0], outputs[1]);
  const __m128i c = _mm_unpacklo_epi32(outputs[2], outputs[3]),
                d = _mm_unpackhi_epi32(outputs[2], outputs[3]);
  const __m128i rows[4] = {_mm_unpacklo_epi64(a, c), _mm_unpackhi_epi64(a, c), _mm_unpacklo_epi64(b, d),
                           _mm_unpackhi_epi64(b, d)};
  for (int q = 0; q < 4; ++q) _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + q * stride), rows[q]);
}

inline void across(const ResizeAxis& axis, const std::uint8_t* src, int first_row, int last_row,
                   std::uint8_t* dst, std::ptrdiff_t dst_stride) {
  for (int y = first_row; y < last_row; y += kResizeLanes)
    for (int i = 0; i < axis.size; i += 4) {
      __m128i outputs[4];
      for (int k = 0; k < 4; ++k) {
        // Beyond the last output the last again: dst has room for whole vectors.
        const int at = i + k < axis.size ? i + k : axis.size - 1;
        outputs[k] = resample(
            axis.groups + static_cast<std::ptrdiff_t>(at) * axis.max_groups, axis.counts[at],
            src + (static_cast<std::ptrdiff_t>(axis.first[at]) * kStripRows + y) * 4, kStripRows * 4);
      }
      store_groups(outputs, dst + (y - first_row) / 4 * dst_stride + i * 4, dst_stride);
    }
}

inline void down(const ResizeGroup* groups, int count, const std::uint8_t* src, std::ptrdiff_t src_stride,
                 int lanes, std::uint8_t* dst) {
  for (int x = 0; x < lanes; x += kResizeLanes)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + x), resample(groups, count, src + x * 4, src_stride));
}

}  // namespace
}  // namespace adaface::kernels::x86
