#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"

namespace adaface::kernels::reference {

namespace {

constexpr int kPositionBits = 10;  // of the walk through the source
constexpr int kSubpixelBits = 5;   // of them kept for blending
constexpr int kDropBits = kPositionBits - kSubpixelBits;
constexpr int kSubpixels = 1 << kSubpixelBits;
constexpr int kWeightBits = 15;

// Half to even, in 1/1024 pixel. Beyond 2^40 there is no image: the limit keeps sums inside 64 bits.
std::int64_t fixed(double position) {
  constexpr double kFar = 1099511627776.0;
  return std::llrint(std::clamp(position * (1 << kPositionBits), -kFar, kFar));
}

struct Source {
  const std::uint8_t* data;
  int width, height;
  std::ptrdiff_t stride;

  const std::uint8_t* pixel(std::int64_t x, std::int64_t y) const { return data + y * stride + x * 3; }
  bool contains(std::int64_t x, std::int64_t y) const { return x >= 0 && x < width && y >= 0 && y < height; }
};

// (x, y) is the top left of the four neighbours, fx and fy the position between them in 1/32.
void blend(const Source& src, std::int64_t x, std::int64_t y, int fx, int fy, std::uint8_t* dst) {
  static constexpr std::uint8_t kBlack[3] = {0, 0, 0};
  const std::uint8_t *top_left, *top_right, *bottom_left, *bottom_right;
  if (x >= 0 && y >= 0 && x < src.width - 1 && y < src.height - 1) {
    top_left = src.pixel(x, y);
    top_right = top_left + 3;
    bottom_left = top_left + src.stride;
    bottom_right = bottom_left + 3;
  } else {
    const auto at = [&](std::int64_t column, std::int64_t row) {
      return src.contains(column, row) ? src.pixel(column, row) : kBlack;
    };
    top_left = at(x, y);
    top_right = at(x + 1, y);
    bottom_left = at(x, y + 1);
    bottom_right = at(x + 1, y + 1);
  }
  constexpr int kScale = 1 << (kWeightBits - 2 * kSubpixelBits);
  const int w00 = (kSubpixels - fx) * (kSubpixels - fy) * kScale, w01 = fx * (kSubpixels - fy) * kScale;
  const int w10 = (kSubpixels - fx) * fy * kScale, w11 = fx * fy * kScale;
  for (int c = 0; c < 3; ++c) {
    const int sum = top_left[c] * w00 + top_right[c] * w01 + bottom_left[c] * w10 + bottom_right[c] * w11;
    dst[c] = static_cast<std::uint8_t>((sum + (1 << (kWeightBits - 1))) >> kWeightBits);
  }
}

}  // namespace

void warp_affine(const std::uint8_t* src, int src_width, int src_height, std::ptrdiff_t src_stride,
                 const double inverse[6], std::uint8_t* dst, int dst_width, int dst_height,
                 std::ptrdiff_t dst_stride) {
  const Source source{src, src_width, src_height, src_stride};
  // Columns in chunks, so that their part of the position is computed once a chunk and needs no allocation.
  constexpr int kChunk = 128;
  std::int64_t column_x[kChunk], column_y[kChunk];
  for (int begin = 0; begin < dst_width; begin += kChunk) {
    const int width = std::min(kChunk, dst_width - begin);
    for (int x = 0; x < width; ++x) {
      column_x[x] = fixed(inverse[0] * (begin + x));
      column_y[x] = fixed(inverse[3] * (begin + x));
    }
    for (int y = 0; y < dst_height; ++y) {
      const std::int64_t row_x = fixed(inverse[1] * y + inverse[2]) + (1 << (kDropBits - 1));
      const std::int64_t row_y = fixed(inverse[4] * y + inverse[5]) + (1 << (kDropBits - 1));
      std::uint8_t* pixel = dst + y * dst_stride + static_cast<std::ptrdiff_t>(begin) * 3;
      for (int x = 0; x < width; ++x, pixel += 3) {
        const std::int64_t at_x = (row_x + column_x[x]) >> kDropBits;
        const std::int64_t at_y = (row_y + column_y[x]) >> kDropBits;
        blend(source, at_x >> kSubpixelBits, at_y >> kSubpixelBits, static_cast<int>(at_x & (kSubpixels - 1)),
              static_cast<int>(at_y & (kSubpixels - 1)), pixel);
      }
    }
  }
}

}  // namespace adaface::kernels::reference
