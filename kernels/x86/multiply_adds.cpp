#include <immintrin.h>

#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

// Enough independent sums to fill two units of a latency of up to five cycles.
constexpr int kSums = 12;

}  // namespace

// The empty assembly statements keep the compiler from knowing the factors and from dropping the sums.

__attribute__((target("avx512f"))) double multiply_adds_avx512(int rounds) {
  __m512 a = _mm512_set1_ps(0.5f), b = a, sums[kSums];
  for (__m512& sum : sums) sum = a;
  for (int round = 0; round < rounds; ++round) {
    asm volatile("" : "+v"(a), "+v"(b));
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(a, b, sum);
  }
  for (__m512& sum : sums) asm volatile("" : : "v"(sum));
  return 16.0 * kSums * rounds;
}

__attribute__((target("avx2,fma"))) double multiply_adds_avx2(int rounds) {
  __m256 a = _mm256_set1_ps(0.5f), b = a, sums[kSums];
  for (__m256& sum : sums) sum = a;
  for (int round = 0; round < rounds; ++round) {
    asm volatile("" : "+x"(a), "+x"(b));
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(a, b, sum);
  }
  for (__m256& sum : sums) asm volatile("" : : "x"(sum));
  return 8.0 * kSums * rounds;
}

}  // namespace adaface::kernels::x86
