// Four pixels of each of four rows at a time: bytes of one colour together, then rows together.
#include <immintrin.h>

#include <cstring>

#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

// Four pixels, twelve bytes of which count, to {red x 4, green x 4, blue x 4, -}.
__attribute__((target("sse4.1"))) inline __m128i colours(__m128i pixels) {
  return _mm_shuffle_epi8(pixels, _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
}

}  // namespace

__attribute__((target("sse4.1"))) void pack_strip_sse41(const std::uint8_t* rgb, std::ptrdiff_t stride,
                                                        int width, int rows, std::uint8_t* dst) {
  constexpr std::uint8_t kBlack[16] = {};
  const std::ptrdiff_t plane = strip_plane(width);
  // The last pixels of a row are copied first: a vector must not read past them.
  const int direct = width >= 6 ? (width - 6) / 4 * 4 + 4 : 0;
  for (int y = 0; y < kStripRows; y += 4) {
    const std::uint8_t* row[4];
    for (int r = 0; r < 4; ++r) row[r] = y + r < rows ? rgb + (y + r) * stride : nullptr;
    std::uint8_t* to = dst + y * 4;
    for (int x = 0; x < width; x += 4, to += kStripRows * 4) {
      __m128i four[4];
      for (int r = 0; r < 4; ++r) {
        std::uint8_t last[16] = {};
        const std::uint8_t* from = row[r] ? row[r] + 3 * x : kBlack;
        if (row[r] && x >= direct) {
          std::memcpy(last, from, 3 * static_cast<std::size_t>(width - x < 4 ? width - x : 4));
          from = last;
        }
        four[r] = colours(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
      }
      const __m128i a = _mm_unpacklo_epi32(four[0], four[1]), b = _mm_unpacklo_epi32(four[2], four[3]);
      const __m128i c = _mm_unpackhi_epi32(four[0], four[1]), d = _mm_unpackhi_epi32(four[2], four[3]);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_unpacklo_epi64(a, b));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + plane), _mm_unpackhi_epi64(a, b));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2 * plane), _mm_unpacklo_epi64(c, d));
    }
  }
}

}  // namespace adaface::kernels::x86
