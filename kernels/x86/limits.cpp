// What the CPU reaches at best: multiply-adds in registers alone, and loads alone.
#include <immintrin.h>

#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

// Enough independent sums to fill two units of a latency of up to six cycles.
constexpr int kSums = 12;
// As many parts are read side by side, two vectors of each in turn: from memory 1.4 times as fast as one
// after the other, from the caches as fast (Zen 4). Asking ahead gains nothing more.
constexpr std::size_t kParts = 4, kTogether = 2, kLoads = kParts * kTogether;

std::uint64_t folded(const std::uint64_t* words, std::size_t count) {
  std::uint64_t result = 0;
  for (std::size_t i = 0; i < count; ++i) result ^= words[i];
  return result;
}

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

__attribute__((target("avx512f,avx512bf16"))) double multiply_adds_avx512bf16(int rounds) {
  // 0x3F00 is 0.5.
  __m512bh a = (__m512bh)_mm512_set1_epi16(0x3F00), b = a;
  __m512 sums[kSums];
  for (__m512& sum : sums) sum = _mm512_set1_ps(0.5f);
  for (int round = 0; round < rounds; ++round) {
    asm volatile("" : "+v"(a), "+v"(b));
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, a, b);
  }
  for (__m512& sum : sums) asm volatile("" : : "v"(sum));
  return 32.0 * kSums * rounds;
}

__attribute__((target("avx512f"))) std::uint64_t read_words_avx512(const std::uint64_t* src,
                                                                   std::size_t count, bool from_memory) {
  // From a third-level cache whole vectors are 1.15 times as fast as halves; from memory halves are 1.25
  // times.
  if (from_memory) return read_words_avx2(src, count, true);
  constexpr std::size_t kVector = 8, kStep = kTogether * kVector;
  const std::size_t part = count / (kParts * kStep) * kStep;
  __m512i sums[kLoads];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (std::size_t i = 0; i < part; i += kStep)
    for (std::size_t k = 0; k < kLoads; ++k) {
      const std::uint64_t* at = src + k / kTogether * part + i + k % kTogether * kVector;
      sums[k] = _mm512_xor_si512(sums[k], _mm512_loadu_si512(at));
    }
  for (std::size_t k = 1; k < kLoads; ++k) sums[0] = _mm512_xor_si512(sums[0], sums[k]);
  std::uint64_t words[kVector];
  _mm512_storeu_si512(words, sums[0]);
  return folded(words, kVector) ^ folded(src + kParts * part, count - kParts * part);
}

__attribute__((target("avx2"))) std::uint64_t read_words_avx2(const std::uint64_t* src, std::size_t count,
                                                              bool) {
  constexpr std::size_t kVector = 4, kStep = kTogether * kVector;
  const std::size_t part = count / (kParts * kStep) * kStep;
  __m256i sums[kLoads];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (std::size_t i = 0; i < part; i += kStep)
    for (std::size_t k = 0; k < kLoads; ++k) {
      const std::uint64_t* at = src + k / kTogether * part + i + k % kTogether * kVector;
      sums[k] = _mm256_xor_si256(sums[k], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
    }
  for (std::size_t k = 1; k < kLoads; ++k) sums[0] = _mm256_xor_si256(sums[0], sums[k]);
  std::uint64_t words[kVector];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), sums[0]);
  return folded(words, kVector) ^ folded(src + kParts * part, count - kParts * part);
}

}  // namespace adaface::kernels::x86
