// One block of sixteen rows by up to kQueries queries at a time, a vector lane for each row, so that nothing
// is summed across lanes. Queries are the outer loop: a tile of them stays in the first-level cache while the
// rows, as many as the caller sized for the second level, pass by in the order of memory.
#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>

#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

constexpr std::size_t kLine = 64;  // bytes: four elements of each of sixteen rows
constexpr std::size_t kMaxLength = 512, kMaxQueries = 8;

struct Tile {
  const std::uint8_t* rows;        // one block
  const std::int8_t* queries;      // as they came,
  const std::int16_t* queries_16;  // and widened
  const std::int32_t* sums;        // kDotZero * the sum of a query's elements
  std::size_t length;
  std::int32_t* dst;
  std::size_t pitch;  // from the results of one query to those of the next
};

// ---- AVX-512 VNNI: unsigned by signed bytes, four products added to each lane

// kChains partial sums hide the latency of the instruction (4 to 5 cycles) where queries are few.
template <std::size_t kQueries, std::size_t kChains>
__attribute__((target("avx512f,avx512vnni"))) void tile_vnni(const Tile& t) {
  __m512i sums[kQueries][kChains];
  for (std::size_t q = 0; q < kQueries; ++q) {
    for (__m512i& sum : sums[q]) sum = _mm512_setzero_si512();
    sums[q][0] = _mm512_set1_epi32(-t.sums[q]);
  }
  for (std::size_t i = 0; i < t.length; i += 4 * kChains)
    for (std::size_t c = 0; c < kChains; ++c) {
      const __m512i row = _mm512_loadu_si512(t.rows + (i / 4 + c) * kLine);
      for (std::size_t q = 0; q < kQueries; ++q) {
        std::int32_t four;
        std::memcpy(&four, t.queries + q * t.length + i + 4 * c, sizeof four);
        sums[q][c] = _mm512_dpbusd_epi32(sums[q][c], row, _mm512_set1_epi32(four));
      }
    }
  for (std::size_t q = 0; q < kQueries; ++q) {
    for (std::size_t c = 1; c < kChains; ++c) sums[q][0] = _mm512_add_epi32(sums[q][0], sums[q][c]);
    _mm512_storeu_si512(t.dst + q * t.pitch, sums[q][0]);
  }
}

// ---- AVX-512 BW: bytes widened to 16 bits, two products added to each lane, two lanes a row

__attribute__((target("avx512f,avx512bw"))) inline __m512i widened_512(const std::uint8_t* src) {
  return _mm512_maskz_cvtepu8_epi16(~__mmask32{}, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(src)));
}

template <std::size_t kQueries>
__attribute__((target("avx512f,avx512bw"))) void tile_bw(const Tile& t) {
  __m512i low[kQueries], high[kQueries];  // rows 0 to 7, 8 to 15
  for (std::size_t q = 0; q < kQueries; ++q) low[q] = high[q] = _mm512_setzero_si512();
  for (std::size_t i = 0; i < t.length; i += 4) {
    const std::uint8_t* line = t.rows + i / 4 * kLine;
    const __m512i row_low = widened_512(line), row_high = widened_512(line + kLine / 2);
    for (std::size_t q = 0; q < kQueries; ++q) {
      std::int64_t four;
      std::memcpy(&four, t.queries_16 + q * t.length + i, sizeof four);
      const __m512i query = _mm512_set1_epi64(four);
      low[q] = _mm512_add_epi32(low[q], _mm512_madd_epi16(row_low, query));
      high[q] = _mm512_add_epi32(high[q], _mm512_madd_epi16(row_high, query));
    }
  }
  for (std::size_t q = 0; q < kQueries; ++q) {
    const __m256i sums = _mm256_set1_epi32(t.sums[q]);
    std::int32_t* dst = t.dst + q * t.pitch;
    for (const __m512i& pairs : {low[q], high[q]}) {
      const __m512i both = _mm512_add_epi32(pairs, _mm512_bsrli_epi128(pairs, 4));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst),
                          _mm256_sub_epi32(_mm512_maskz_cvtepi64_epi32(~__mmask8{}, both), sums));
      dst += 8;
    }
  }
}

// ---- AVX2: the same, four vectors to a line

template <std::size_t kQueries>
__attribute__((target("avx2"))) void tile_avx2(const Tile& t) {
  constexpr std::size_t kVectors = 4;
  __m256i pairs[kQueries][kVectors];
  for (auto& query : pairs)
    for (__m256i& sum : query) sum = _mm256_setzero_si256();
  for (std::size_t i = 0; i < t.length; i += 4) {
    __m256i row[kVectors];
    for (std::size_t v = 0; v < kVectors; ++v)
      row[v] = _mm256_cvtepu8_epi16(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(t.rows + i / 4 * kLine + v * 16)));
    for (std::size_t q = 0; q < kQueries; ++q) {
      std::int64_t four;
      std::memcpy(&four, t.queries_16 + q * t.length + i, sizeof four);
      const __m256i query = _mm256_set1_epi64x(four);
      for (std::size_t v = 0; v < kVectors; ++v)
        pairs[q][v] = _mm256_add_epi32(pairs[q][v], _mm256_madd_epi16(row[v], query));
    }
  }
  for (std::size_t q = 0; q < kQueries; ++q)
    for (std::size_t v = 0; v < kVectors; v += 2) {
      // Rows 0 1 4 5 2 3 6 7 of eight, put in order.
      const __m256i sums =
          _mm256_permute4x64_epi64(_mm256_hadd_epi32(pairs[q][v], pairs[q][v + 1]), 0b11'01'10'00);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(t.dst + q * t.pitch + v * 4),
                          _mm256_sub_epi32(sums, _mm256_set1_epi32(t.sums[q])));
    }
}

// ---- Cutting into tiles

using TileFunction = void (*)(const Tile&);
using Tiles = std::span<const TileFunction>;  // [n - 1] does n queries

void run(Tiles tiles, const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
         std::size_t query_count, std::size_t length, std::int32_t* dst) {
  std::int16_t queries_16[kMaxQueries * kMaxLength];
  std::int32_t sums[kMaxQueries];
  for (std::size_t q = 0; q < query_count; q += tiles.size()) {
    const std::size_t count = std::min(tiles.size(), query_count - q);
    const std::int8_t* first = queries + q * length;
    std::copy_n(first, count * length, queries_16);
    for (std::size_t n = 0; n < count; ++n)
      sums[n] = kDotZero * std::accumulate(first + n * length, first + (n + 1) * length, 0);
    for (std::size_t b = 0; b < blocks; ++b)
      tiles[count - 1]({rows + b * kDotRows * length, first, queries_16, sums, length,
                        dst + (q * blocks + b) * kDotRows, blocks * kDotRows});
  }
}

constexpr TileFunction kAvx2[] = {tile_avx2<1>, tile_avx2<2>};
constexpr TileFunction kBw[] = {tile_bw<1>, tile_bw<2>, tile_bw<3>, tile_bw<4>,
                                tile_bw<5>, tile_bw<6>, tile_bw<7>, tile_bw<8>};
constexpr TileFunction kVnni[] = {tile_vnni<1, 4>, tile_vnni<2, 2>, tile_vnni<3, 2>, tile_vnni<4, 1>,
                                  tile_vnni<5, 1>, tile_vnni<6, 1>, tile_vnni<7, 1>, tile_vnni<8, 1>};

}  // namespace

void dot_products_avx2(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                       std::size_t query_count, std::size_t length, std::int32_t* dst) {
  run(kAvx2, rows, blocks, queries, query_count, length, dst);
}

void dot_products_avx512bw(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                           std::size_t query_count, std::size_t length, std::int32_t* dst) {
  run(kBw, rows, blocks, queries, query_count, length, dst);
}

void dot_products_avx512vnni(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                             std::size_t query_count, std::size_t length, std::int32_t* dst) {
  run(kVnni, rows, blocks, queries, query_count, length, dst);
}

}  // namespace adaface::kernels::x86
