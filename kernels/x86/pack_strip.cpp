// Four pixels of each of four rows at a time: bytes of one colour together, then rows together. Sixteen rows
// are taken along, which fill a cache line of the result.
#include <immintrin.h>

#include <cstring>

#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

// Four pixels, twelve bytes of which count, to {red x 4, green x 4, blue x 4, -}.
__attribute__((target("sse4.1"))) inline __m128i colours(const std::uint8_t* pixels) {
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(pixels)),
                          _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
}

// Those of four rows to four rows of each colour.
__attribute__((target("sse4.1"))) inline void store(const __m128i rows[4], std::uint8_t* dst,
                                                    std::ptrdiff_t plane) {
  const __m128i a = _mm_unpacklo_epi32(rows[0], rows[1]), b = _mm_unpacklo_epi32(rows[2], rows[3]);
  const __m128i c = _mm_unpackhi_epi32(rows[0], rows[1]), d = _mm_unpackhi_epi32(rows[2], rows[3]);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), _mm_unpacklo_epi64(a, b));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + plane), _mm_unpackhi_epi64(a, b));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(dst + 2 * plane), _mm_unpacklo_epi64(c, d));
}

}  // namespace

__attribute__((target("sse4.1"))) void pack_strip_sse41(const std::uint8_t* rgb, std::ptrdiff_t stride,
                                                        int width, int rows, std::uint8_t* dst) {
  constexpr int kRows = 16;
  const std::ptrdiff_t plane = strip_plane(width);
  // A vector must not read past a row: its last pixels are copied first.
  const int direct = width >= 6 ? (width - 6) / 4 * 4 + 4 : 0;
  for (int top = 0; top < kStripRows; top += kRows) {
    const bool whole = top + kRows <= rows;
    for (int x = 0; x < width; x += 4) {
      std::uint8_t* to = dst + (x / 4 * kStripRows + top) * 4;
      const std::uint8_t* from = rgb + top * stride + 3 * x;
      for (int y = top; y < top + kRows; y += 4, from += 4 * stride, to += 16) {
        __m128i four[4];
        if (whole && x < direct) {
          for (int r = 0; r < 4; ++r) four[r] = colours(from + r * stride);
        } else {
          for (int r = 0; r < 4; ++r) {
            std::uint8_t last[16] = {};
            if (y + r < rows)
              std::memcpy(last, from + r * stride,
                          3 * static_cast<std::size_t>(width - x < 4 ? width - x : 4));
            four[r] = colours(last);
          }
        }
        store(four, to, plane);
      }
    }
  }
}

}  // namespace adaface::kernels::x86
