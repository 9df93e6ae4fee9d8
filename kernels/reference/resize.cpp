#include <algorithm>

#include "kernels/reference/reference.h"

namespace adaface::kernels::reference {
namespace {

// The sum for one lane whose groups lie `stride` bytes apart.
std::uint8_t resample(const ResizeGroup* groups, int count, const std::uint8_t* src, std::ptrdiff_t stride) {
  std::uint32_t sum = std::uint32_t{1} << (kResizeFractionBits - 1);
  for (int g = 0; g < count; ++g, src += stride)
    for (int k = 0; k < 4; ++k)
      sum += static_cast<std::uint32_t>(groups[g].low[k] + groups[g].high[k] * 0x10000) * src[k];
  return static_cast<std::uint8_t>(std::min(sum >> kResizeFractionBits, std::uint32_t{255}));
}

}  // namespace

void pack_strip(const std::uint8_t* rgb, std::ptrdiff_t stride, int width, int rows, std::uint8_t* dst) {
  const std::ptrdiff_t plane = strip_plane(width);
  std::fill_n(dst, 3 * plane, std::uint8_t{0});
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        dst[c * plane + (x / 4 * kStripRows + y) * 4 + x % 4] = rgb[y * stride + 3 * x + c];
}

void resize_across(const ResizeAxis& axis, const std::uint8_t* src, int first_row, int last_row,
                   std::uint8_t* dst, std::ptrdiff_t dst_stride) {
  for (int i = 0; i < axis.size; ++i)
    for (int y = first_row; y < last_row; ++y)
      dst[(y - first_row) / 4 * dst_stride + i * 4 + y % 4] =
          resample(axis.groups + static_cast<std::ptrdiff_t>(i) * axis.max_groups, axis.counts[i],
                   src + (static_cast<std::ptrdiff_t>(axis.first[i]) * kStripRows + y) * 4, kStripRows * 4);
}

void resize_down(const ResizeGroup* groups, int count, const std::uint8_t* src, std::ptrdiff_t src_stride,
                 int lanes, std::uint8_t* dst) {
  for (int x = 0; x < lanes; ++x) dst[x] = resample(groups, count, src + x * 4, src_stride);
}

}  // namespace adaface::kernels::reference
