// One vector of floats, the same for each instruction set: kernels written over it give the same bits with
// eight and with sixteen lanes. Each file that includes this is compiled for one instruction set and chooses
// its struct; what it makes of it stays in its anonymous namespace, and nothing here or there may use inline
// functions of the standard library, which the linker might then take for code that runs everywhere.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace adaface::kernels::x86 {
namespace {

#if defined(__AVX512F__)

struct Vector {
  static constexpr int kLanes = 16;
  static constexpr int kRegisters = 32;
  __m512 value;

  static Vector zero() { return {_mm512_setzero_ps()}; }
  static Vector all(float x) { return {_mm512_set1_ps(x)}; }
  static Vector load(const float* src) { return {_mm512_loadu_ps(src)}; }
  void store(float* dst) const { _mm512_storeu_ps(dst, value); }
  friend Vector operator+(Vector a, Vector b) { return {a.value + b.value}; }
  friend Vector operator-(Vector a, Vector b) { return {a.value - b.value}; }
  friend Vector operator*(Vector a, Vector b) { return {a.value * b.value}; }
  // a * b + c
  static Vector multiply_add(Vector a, Vector b, Vector c) {
    return {_mm512_fmadd_ps(a.value, b.value, c.value)};
  }
  static Vector max(Vector a, Vector b) { return {_mm512_mask_max_ps(a.value, 0xffff, a.value, b.value)}; }
  // x * slope where x < 0
  static Vector prelu(Vector x, Vector slope) {
    const __mmask16 negative = _mm512_cmp_ps_mask(x.value, _mm512_setzero_ps(), _CMP_LT_OQ);
    return {_mm512_mask_mul_ps(x.value, negative, x.value, slope.value)};
  }
  // The first `count` lanes of a, the others of b.
  static Vector first(int count, Vector a, Vector b) {
    const auto mask = static_cast<__mmask16>(count >= kLanes ? 0xffff : (1 << (count > 0 ? count : 0)) - 1);
    return {_mm512_mask_mov_ps(b.value, mask, a.value)};
  }
  static bool any_above(Vector a, Vector b) { return _mm512_cmp_ps_mask(a.value, b.value, _CMP_GT_OQ) != 0; }
  // 2 * kLanes bytes: those of even and of odd index.
  static void bytes(const std::uint8_t* src, Vector& even, Vector& odd) {
    const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src));
    const __m256i low = _mm256_and_si256(pairs, _mm256_set1_epi16(0xff)), high = _mm256_srli_epi16(pairs, 8);
    even = {_mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, low))};
    odd = {_mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, high))};
  }
  // Lane i is the sum over the lanes of v[i]: of every vector the same sum.
  static Vector sums(const Vector v[kLanes]) {
    __m512 a[8], b[4], c[2];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
      a[i] = _mm512_maskz_unpacklo_ps(0xffff, v[2 * i].value, v[2 * i + 1].value) +
             _mm512_maskz_unpackhi_ps(0xffff, v[2 * i].value, v[2 * i + 1].value);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      b[i] = _mm512_maskz_shuffle_ps(0xffff, a[2 * i], a[2 * i + 1], 0x44) +
             _mm512_maskz_shuffle_ps(0xffff, a[2 * i], a[2 * i + 1], 0xee);
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i)
      c[i] = _mm512_maskz_shuffle_f32x4(0xffff, b[2 * i], b[2 * i + 1], 0x88) +
             _mm512_maskz_shuffle_f32x4(0xffff, b[2 * i], b[2 * i + 1], 0xdd);
    return {_mm512_maskz_shuffle_f32x4(0xffff, c[0], c[1], 0x88) +
            _mm512_maskz_shuffle_f32x4(0xffff, c[0], c[1], 0xdd)};
  }
  // Lane j of vector i becomes lane i of vector j.
  static void transpose(Vector v[kLanes]) {
    __m512 a[16], b[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 2) {  // pairs of rows
      a[i] = _mm512_maskz_unpacklo_ps(0xffff, v[i].value, v[i + 1].value);
      a[i + 1] = _mm512_maskz_unpackhi_ps(0xffff, v[i].value, v[i + 1].value);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 4) {  // fours: of b[i + k] each 128 bits hold column k of four
      b[i] = _mm512_maskz_shuffle_ps(0xffff, a[i], a[i + 2], 0x44);
      b[i + 1] = _mm512_maskz_shuffle_ps(0xffff, a[i], a[i + 2], 0xee);
      b[i + 2] = _mm512_maskz_shuffle_ps(0xffff, a[i + 1], a[i + 3], 0x44);
      b[i + 3] = _mm512_maskz_shuffle_ps(0xffff, a[i + 1], a[i + 3], 0xee);
    }
#pragma GCC unroll 16
    for (int k = 0; k < 4; ++k) {  // a 4x4 transpose of 128 bits each
      const __m512 low_0 = _mm512_maskz_shuffle_f32x4(0xffff, b[k], b[k + 4], 0x88),
                   low_1 = _mm512_maskz_shuffle_f32x4(0xffff, b[k], b[k + 4], 0xdd),
                   high_0 = _mm512_maskz_shuffle_f32x4(0xffff, b[k + 8], b[k + 12], 0x88),
                   high_1 = _mm512_maskz_shuffle_f32x4(0xffff, b[k + 8], b[k + 12], 0xdd);
      v[k].value = _mm512_maskz_shuffle_f32x4(0xffff, low_0, high_0, 0x88);
      v[k + 8].value = _mm512_maskz_shuffle_f32x4(0xffff, low_0, high_0, 0xdd);
      v[k + 4].value = _mm512_maskz_shuffle_f32x4(0xffff, low_1, high_1, 0x88);
      v[k + 12].value = _mm512_maskz_shuffle_f32x4(0xffff, low_1, high_1, 0xdd);
    }
  }
};

#elif defined(__AVX2__)

struct Vector {
  static constexpr int kLanes = 8;
  static constexpr int kRegisters = 16;
  __m256 value;

  static Vector zero() { return {_mm256_setzero_ps()}; }
  static Vector all(float x) { return {_mm256_set1_ps(x)}; }
  static Vector load(const float* src) { return {_mm256_loadu_ps(src)}; }
  void store(float* dst) const { _mm256_storeu_ps(dst, value); }
  friend Vector operator+(Vector a, Vector b) { return {a.value + b.value}; }
  friend Vector operator-(Vector a, Vector b) { return {a.value - b.value}; }
  friend Vector operator*(Vector a, Vector b) { return {a.value * b.value}; }
  static Vector multiply_add(Vector a, Vector b, Vector c) {
    return {_mm256_fmadd_ps(a.value, b.value, c.value)};
  }
  static Vector max(Vector a, Vector b) { return {_mm256_max_ps(a.value, b.value)}; }
  static Vector prelu(Vector x, Vector slope) {
    const __m256 negative = _mm256_cmp_ps(x.value, _mm256_setzero_ps(), _CMP_LT_OQ);
    return {_mm256_blendv_ps(x.value, x.value * slope.value, negative)};
  }
  static Vector first(int count, Vector a, Vector b) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane);
    return {_mm256_blendv_ps(b.value, a.value, _mm256_castsi256_ps(mask))};
  }
  static bool any_above(Vector a, Vector b) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a.value, b.value, _CMP_GT_OQ)) != 0;
  }
  static void bytes(const std::uint8_t* src, Vector& even, Vector& odd) {
    const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(src));
    const __m128i low = _mm_and_si128(pairs, _mm_set1_epi16(0xff)), high = _mm_srli_epi16(pairs, 8);
    even = {_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(low))};
    odd = {_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(high))};
  }
  static Vector sums(const Vector v[kLanes]) {
    __m256 a[4], b[2];
    for (int i = 0; i < 4; ++i)
      a[i] = _mm256_unpacklo_ps(v[2 * i].value, v[2 * i + 1].value) +
             _mm256_unpackhi_ps(v[2 * i].value, v[2 * i + 1].value);
    for (int i = 0; i < 2; ++i)
      b[i] =
          _mm256_shuffle_ps(a[2 * i], a[2 * i + 1], 0x44) + _mm256_shuffle_ps(a[2 * i], a[2 * i + 1], 0xee);
    return {_mm256_permute2f128_ps(b[0], b[1], 0x20) + _mm256_permute2f128_ps(b[0], b[1], 0x31)};
  }
  static void transpose(Vector v[kLanes]) {
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
      a[i] = _mm256_unpacklo_ps(v[i].value, v[i + 1].value);
      a[i + 1] = _mm256_unpackhi_ps(v[i].value, v[i + 1].value);
    }
    for (int i = 0; i < 8; i += 4) {
      b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
      b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
      b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
      b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    for (int k = 0; k < 4; ++k) {
      v[k].value = _mm256_permute2f128_ps(b[k], b[k + 4], 0x20);
      v[k + 4].value = _mm256_permute2f128_ps(b[k], b[k + 4], 0x31);
    }
  }
};

#else

// SSE4.1: no fused multiply-add, so sums round twice.
struct Vector {
  static constexpr int kLanes = 4;
  static constexpr int kRegisters = 16;
  __m128 value;

  static Vector zero() { return {_mm_setzero_ps()}; }
  static Vector all(float x) { return {_mm_set1_ps(x)}; }
  static Vector load(const float* src) { return {_mm_loadu_ps(src)}; }
  void store(float* dst) const { _mm_storeu_ps(dst, value); }
  friend Vector operator+(Vector a, Vector b) { return {a.value + b.value}; }
  friend Vector operator-(Vector a, Vector b) { return {a.value - b.value}; }
  friend Vector operator*(Vector a, Vector b) { return {a.value * b.value}; }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return {a.value * b.value + c.value}; }
  static Vector max(Vector a, Vector b) { return {_mm_max_ps(a.value, b.value)}; }
  static Vector prelu(Vector x, Vector slope) {
    return {_mm_blendv_ps(x.value, x.value * slope.value, _mm_cmplt_ps(x.value, _mm_setzero_ps()))};
  }
  static Vector first(int count, Vector a, Vector b) {
    const __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32(count), _mm_setr_epi32(0, 1, 2, 3));
    return {_mm_blendv_ps(b.value, a.value, _mm_castsi128_ps(mask))};
  }
  static bool any_above(Vector a, Vector b) { return _mm_movemask_ps(_mm_cmpgt_ps(a.value, b.value)) != 0; }
  static void bytes(const std::uint8_t* src, Vector& even, Vector& odd) {
    const __m128i pairs = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(src));
    const __m128i low = _mm_and_si128(pairs, _mm_set1_epi16(0xff)), high = _mm_srli_epi16(pairs, 8);
    even = {_mm_cvtepi32_ps(_mm_cvtepu16_epi32(low))};
    odd = {_mm_cvtepi32_ps(_mm_cvtepu16_epi32(high))};
  }
  static Vector sums(const Vector v[kLanes]) {
    const __m128 a = _mm_unpacklo_ps(v[0].value, v[1].value) + _mm_unpackhi_ps(v[0].value, v[1].value),
                 b = _mm_unpacklo_ps(v[2].value, v[3].value) + _mm_unpackhi_ps(v[2].value, v[3].value);
    return {_mm_shuffle_ps(a, b, 0x44) + _mm_shuffle_ps(a, b, 0xee)};
  }
  static void transpose(Vector v[kLanes]) {
    _MM_TRANSPOSE4_PS(v[0].value, v[1].value, v[2].value, v[3].value);
  }
};

#endif

}  // namespace
}  // namespace adaface::kernels::x86
