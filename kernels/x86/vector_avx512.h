// Sixteen floats of AVX-512 F, BW, DQ, VL, for sources that are compiled for several instruction sets.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace adaface::kernels::x86 {
namespace {

struct Vector {
  using Type = __m512;
  static constexpr int kLanes = 16;
  // 28 sums and one vector of weights fill the 32 registers; inputs are broadcast from memory by the
  // multiply-add itself. Few sums of more panels would have to read the weights more often.
  static constexpr int kPanel = 1, kMostTiles = 28;

  static Type zero() { return _mm512_setzero_ps(); }
  static Type load(const float* at) { return _mm512_load_ps(at); }
  static Type load_unaligned(const float* at) { return _mm512_loadu_ps(at); }
  static void store(float* at, Type value) { _mm512_store_ps(at, value); }
  static void stream(float* at, Type value) { _mm512_stream_ps(at, value); }
  static void finish_streams() { _mm_sfence(); }
  static void prefetch(const unsigned char* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T0);
  }
  static void prefetch_second_level(const unsigned char* at) {
    _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
  }
  static Type max(Type a, Type b) { return _mm512_max_ps(a, b); }
  static Type min(Type a, Type b) { return _mm512_min_ps(a, b); }
  static Type multiply_add(Type a, Type b, Type c) { return _mm512_fmadd_ps(a, b, c); }
  static Type multiply_add(float a, Type b, Type c) { return _mm512_fmadd_ps(_mm512_set1_ps(a), b, c); }

  static Type load_f16(const unsigned char* at) {
    return _mm512_maskz_cvtph_ps(0xFFFF, _mm256_load_si256(reinterpret_cast<const __m256i*>(at)));
  }
  static void store_f16(unsigned char* at, Type value) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(at), _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
  }
  static Type load_even_bf16(const unsigned char* at) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_load_si512(at), 16));
  }
  static Type load_odd_bf16(const unsigned char* at) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_load_si512(at), _mm512_set1_epi32(-65536)));
  }
  // The upper half, rounded to nearest even; values are finite.
  static __m512i rounded(Type value) {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  }
  template <bool kStream>
  static void store_bf16_pairs(unsigned char* at, Type even, Type odd) {
    const __m512i high = _mm512_and_si512(rounded(odd), _mm512_set1_epi32(-65536));
    const __m512i pairs = _mm512_or_si512(_mm512_srli_epi32(rounded(even), 16), high);
    if constexpr (kStream)
      _mm512_stream_si512(reinterpret_cast<__m512i*>(at), pairs);
    else
      _mm512_store_si512(at, pairs);
  }
  static void store(std::uint16_t* at, Type value) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(at),
                       _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded(value), 16)));
  }

  static void transpose(Type (&r)[16]) {
    Type t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
      for (int j = 0; j < 2; ++j) {
        const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + 2 + j]);
        r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
      }
      // r[4 g + c] holds, in each quarter q, rows 4 g ... 4 g + 3 of column 4 q + c.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const Type low = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x44),
                 low_high = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xEE);
      const Type high = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x44),
                 high_high = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xEE);
      t[c] = _mm512_shuffle_f32x4(low, high, 0x88);
      t[4 + c] = _mm512_shuffle_f32x4(low, high, 0xDD);
      t[8 + c] = _mm512_shuffle_f32x4(low_high, high_high, 0x88);
      t[12 + c] = _mm512_shuffle_f32x4(low_high, high_high, 0xDD);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) r[i] = t[i];
  }
};

}  // namespace
}  // namespace adaface::kernels::x86
