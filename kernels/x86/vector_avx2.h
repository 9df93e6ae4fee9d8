// Eight floats of AVX2, FMA and F16C, for sources that are compiled for several instruction sets.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace adaface::kernels::x86 {
namespace {

struct Vector {
  using Type = __m256;
  static constexpr int kLanes = 8;
  // 12 sums, two vectors of weights and an input fill the 16 registers.
  static constexpr int kPanel = 2, kMostTiles = 6;

  static Type zero() { return _mm256_setzero_ps(); }
  static Type load(const float* at) { return _mm256_load_ps(at); }
  static Type load_unaligned(const float* at) { return _mm256_loadu_ps(at); }
  static void store(float* at, Type value) { _mm256_store_ps(at, value); }
  // Half a cache line at a time, streams would write each line twice.
  static void stream(float* at, Type value) { _mm256_store_ps(at, value); }
  static void finish_streams() {}
  static void prefetch(const unsigned char* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0);
  }
  static void prefetch_second_level(const unsigned char* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
  }
  static Type max(Type a, Type b) { return _mm256_max_ps(a, b); }
  static Type min(Type a, Type b) { return _mm256_min_ps(a, b); }
  static Type multiply_add(Type a, Type b, Type c) { return _mm256_fmadd_ps(a, b, c); }
  static Type multiply_add(float a, Type b, Type c) { return _mm256_fmadd_ps(_mm256_set1_ps(a), b, c); }

  static Type load_f16(const unsigned char* at) {
    return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(at)));
  }
  static void store_f16(unsigned char* at, Type value) {
    _mm_store_si128(reinterpret_cast<__m128i*>(at), _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
  }
  static Type load_even_bf16(const unsigned char* at) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(at)), 16));
  }
  static Type load_odd_bf16(const unsigned char* at) {
    return _mm256_castsi256_ps(
        _mm256_and_si256(_mm256_load_si256(reinterpret_cast<const __m256i*>(at)), _mm256_set1_epi32(-65536)));
  }
  // The upper half, rounded to nearest even; values are finite.
  static __m256i rounded(Type value) {
    const __m256i bits = _mm256_castps_si256(value);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  }
  template <bool kStream>
  static void store_bf16_pairs(unsigned char* at, Type even, Type odd) {
    const __m256i high = _mm256_and_si256(rounded(odd), _mm256_set1_epi32(-65536));
    _mm256_store_si256(reinterpret_cast<__m256i*>(at),
                       _mm256_or_si256(_mm256_srli_epi32(rounded(even), 16), high));
  }

  static void transpose(Type (&r)[8]) {
    Type t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 2
      for (int j = 0; j < 2; ++j) {
        r[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + 2 + j], 0x44);
        r[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + 2 + j], 0xEE);
      }
      // r[4 g + c] holds, in each half h, rows 4 g ... 4 g + 3 of column 4 h + c.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      t[c] = _mm256_permute2f128_ps(r[c], r[4 + c], 0x20);
      t[4 + c] = _mm256_permute2f128_ps(r[c], r[4 + c], 0x31);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) r[i] = t[i];
  }
};

}  // namespace
}  // namespace adaface::kernels::x86
