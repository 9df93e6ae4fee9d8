#include "src/image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "src/image/view.h"

namespace adaface {
namespace {

using kernels::kResizeLanes;
using kernels::kStripRows;
constexpr int kStripGroups = kStripRows / 4;

std::size_t round_up(int size, int to) {
  return static_cast<std::size_t>((size + to - 1) / to) * static_cast<std::size_t>(to);
}

void put(kernels::ResizeGroup& group, int k, std::int32_t weight) {
  const auto i = static_cast<std::size_t>(k);
  group.low[i] = static_cast<std::int16_t>(weight & 0xffff);
  group.high[i] = static_cast<std::int16_t>((weight - group.low[i]) >> 16);
  group.digits[0][i] = static_cast<std::int8_t>(weight & 0xff);
  group.digits[1][i] = static_cast<std::int8_t>(((weight - group.digits[0][i]) >> 8) & 0xff);
  group.digits[2][i] =
      static_cast<std::int8_t>((weight - group.digits[0][i] - group.digits[1][i] * 256) >> 16);
}

}  // namespace

void ResizeTable::prepare(int origin, int source_size, int extent, int size) {
  if (origin == origin_ && source_size == source_size_ && extent == extent_ && size == size_) return;
  const double scale = static_cast<double>(source_size) / size;
  const double support = std::max(scale, 1.0);
  const double inverse_support = 1.0 / support;
  size_ = 0;  // no table, should there be no memory for one
  const auto max_taps = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  max_groups_ = static_cast<int>((max_taps + 6) / 4);
  first_.resize(static_cast<std::size_t>(size));
  counts_.resize(static_cast<std::size_t>(size));
  taps_.resize(max_taps);
  groups_.assign(static_cast<std::size_t>(size) * static_cast<std::size_t>(max_groups_), {});
  first_group_ = (extent + 3) / 4;
  last_group_ = 0;
  for (int i = 0; i < size; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), source_size) - first;
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      const double distance = std::abs((k + first - center + 0.5) * inverse_support);
      const double tap = distance < 1.0 ? 1.0 - distance : 0.0;
      taps_[static_cast<std::size_t>(k)] = tap;
      sum += tap;
    }
    // Taps on the zeros outside add nothing.
    const int begin = std::max(-origin - first, 0), end = std::min(count, extent - origin - first);
    const auto at = static_cast<std::size_t>(i);
    first_[at] = counts_[at] = 0;
    if (begin >= end) continue;
    const int base = origin + first, group = (base + begin) / 4;
    kernels::ResizeGroup* groups = &groups_[at * static_cast<std::size_t>(max_groups_)];
    for (int k = begin; k < end; ++k) {
      const double tap = taps_[static_cast<std::size_t>(k)], share = sum != 0 ? tap / sum : tap;
      put(groups[(base + k) / 4 - group], (base + k) % 4,
          static_cast<std::int32_t>(0.5 + share * (1 << kernels::kResizeFractionBits)));
    }
    first_[at] = group;
    counts_[at] = (base + end - 1) / 4 - group + 1;
    first_group_ = std::min(first_group_, group);
    last_group_ = std::max(last_group_, group + counts_[at]);
  }
  origin_ = origin;
  source_size_ = source_size;
  extent_ = extent;
  size_ = size;
}

kernels::ResizeAxis ResizeTable::axis() const {
  return {size_, max_groups_, first_.data(), counts_.data(), groups_.data()};
}

void PackedStrips::look_at(const ImageView& view) {
  view_ = view;
  kept_ = false;
}

void PackedStrips::keep() {
  all_.resize(static_cast<std::size_t>(count()) * bytes());
  kept_ = true;
}

void PackedStrips::shrink(std::size_t most) {
  if (all_.capacity() > most) all_ = {};
  kept_ = false;
}

const std::uint8_t* PackedStrips::strip(int strip, Buffer<std::uint8_t>& scratch) const {
  if (kept()) return all_.data() + static_cast<std::size_t>(strip) * bytes();
  scratch.resize(bytes());
  pack(strip, scratch.data());
  return scratch.data();
}

void PackedStrips::pack(int strip, std::uint8_t* dst) const {
  const int top = strip * kStripRows;
  kernels::select().pack_strip(view_.data + top * view_.stride, view_.stride, view_.width,
                               std::min(kStripRows, view_.height - top), dst);
}

void PlaneResizer::prepare(const ImageView& picture, const ResizeWindow& window, int width, int height) {
  width_ = width;
  height_ = height;
  columns_.prepare(window.left, window.width, picture.width, width);
  rows_.prepare(window.top, window.height, picture.height, height);
}

std::ptrdiff_t PlaneResizer::pitch() const {
  return static_cast<std::ptrdiff_t>(round_up(width_, kResizeLanes)) * 4;
}

void PlaneResizer::run(const PackedStrips& picture, std::uint8_t* dst, std::ptrdiff_t row_stride,
                       std::ptrdiff_t plane_stride, ResizeScratch& scratch) const {
  for (int c = 0; c < 3; ++c) start(scratch.bands[c]);
  for (int i = first_strip(); i <= last_strip(); ++i) {
    const std::uint8_t* strip = picture.strip(i, scratch.strip);
    for (int c = 0; c < 3; ++c)
      advance(i, strip + picture.plane(c), scratch.bands[c], dst + c * plane_stride, row_stride);
  }
}

// The vertical pass follows the horizontal one through a band of groups that stays in cache: what outputs
// still need, and the next strip.
void PlaneResizer::start(ResizeBand& band) const {
  band.rows.resize(static_cast<std::size_t>((rows_.axis().max_groups + kStripGroups) * pitch()));
  band.begin = band.end = rows_.first() / 4;
  band.output = 0;
}

void PlaneResizer::advance(int strip, const std::uint8_t* plane, ResizeBand& band, std::uint8_t* dst,
                           std::ptrdiff_t row_stride) const {
  const kernels::ResizeAxis rows = rows_.axis();
  emit(band, dst, row_stride);  // those that see nothing but zeros
  const int top = strip * kStripGroups, limit = std::min(top + kStripGroups, rows_.last() / 4);
  if (band.output == height_ || band.end >= limit) return;
  const int kept = std::max(band.end - std::max(rows.first[band.output], band.begin), 0);
  if (kept > 0)
    std::memmove(band.rows.data(), band.rows.data() + (band.end - kept - band.begin) * pitch(),
                 static_cast<std::size_t>(kept * pitch()));
  // Whole vectors of rows. The first strip may begin with some that nothing needs.
  const int first_row = (band.end - top) * 4 / kResizeLanes * kResizeLanes,
            last_row = static_cast<int>(round_up((limit - top) * 4, kResizeLanes));
  band.begin = kept == 0 ? top + first_row / 4 : band.end - kept;
  kernels::select().resize_across(columns_.axis(), plane, first_row, last_row,
                                  band.rows.data() + kept * pitch(), pitch());
  band.end = limit;
  emit(band, dst, row_stride);
}

// The outputs whose groups are all in the band.
void PlaneResizer::emit(ResizeBand& band, std::uint8_t* dst, std::ptrdiff_t row_stride) const {
  const kernels::Kernels& kernels = kernels::select();
  const kernels::ResizeAxis rows = rows_.axis();
  for (; band.output < height_; ++band.output) {
    const int i = band.output, count = rows.counts[i];
    if (count > 0 && rows.first[i] + count > band.end) break;
    kernels.resize_down(rows.groups + static_cast<std::ptrdiff_t>(i) * rows.max_groups, count,
                        band.rows.data() + (count > 0 ? rows.first[i] - band.begin : 0) * pitch(), pitch(),
                        static_cast<int>(pitch() / 4), dst + i * row_stride);
  }
}

void Resizer::resize(const ImageView& src, int width, int height, std::uint8_t* dst) {
  if (src.data == nullptr || src.width < 1 || src.height < 1 || width < 1 || height < 1) {
    throw Error(ErrorCode::invalid_argument,
                "resize: from " + std::to_string(src.width) + "x" + std::to_string(src.height) + " to " +
                    std::to_string(width) + "x" + std::to_string(height) + ", expected sizes of at least 1");
  }
  const std::size_t pitch = round_up(width, kResizeLanes), plane = pitch * static_cast<std::size_t>(height);
  planar_.resize(3 * plane);
  planes_.prepare(src, {0, 0, src.width, src.height}, width, height);
  PackedStrips strips;
  strips.look_at(src);
  planes_.run(strips, planar_.data(), static_cast<std::ptrdiff_t>(pitch), static_cast<std::ptrdiff_t>(plane),
              scratch_);
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* row = planar_.data() + static_cast<std::size_t>(y) * pitch;
    for (int x = 0; x < width; ++x)
      for (std::size_t c = 0; c < 3; ++c) *dst++ = row[c * plane + static_cast<std::size_t>(x)];
  }
}

Image resize_image(const ImageView& image, int width, int height) {
  image::check_view(image);
  Image result(width, height);
  Resizer().resize(image, width, height, result.row(0));
  return result;
}

}  // namespace adaface
