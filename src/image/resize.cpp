#include "src/image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "src/image/view.h"

namespace adaface {

void ResizeTable::prepare(int source_size, int size) {
  if (source_size == source_size_ && size == size_) return;
  const double scale = static_cast<double>(source_size) / size;
  const double support = std::max(scale, 1.0);
  const double inverse_support = 1.0 / support;
  source_size_ = source_size;
  size_ = size;
  max_taps_ = static_cast<int>(std::ceil(support)) * 2 + 1;
  first_.resize(size);
  count_.resize(size);
  taps_.resize(max_taps_);
  weights_.assign(static_cast<std::size_t>(size) * max_taps_, 0);
  for (int i = 0; i < size; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), source_size) - first;
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      const double distance = std::abs((k + first - center + 0.5) * inverse_support);
      taps_[k] = distance < 1.0 ? 1.0 - distance : 0.0;
      sum += taps_[k];
    }
    std::int32_t* weights = &weights_[static_cast<std::size_t>(i) * max_taps_];
    for (int k = 0; k < count; ++k) {
      const double share = sum != 0 ? taps_[k] / sum : taps_[k];
      weights[k] = static_cast<std::int32_t>(0.5 + share * (1 << kernels::kResizeFractionBits));
    }
    first_[i] = first;
    count_[i] = count;
  }
}

kernels::ResizeAxis ResizeTable::axis() const {
  return {size_, max_taps_, first_.data(), count_.data(), weights_.data()};
}

// The horizontal pass of one source row.
void Resizer::load_row(const ImageView& src, int y, int width, std::uint8_t* dst) const {
  const std::uint8_t* row = src.data + y * src.stride;
  if (width == src.width) {
    std::memcpy(dst, row, static_cast<std::size_t>(width) * 3);
  } else {
    kernels::select().resize_row(columns_.axis(), row, dst);
  }
  if (src.order == ChannelOrder::bgr) {
    for (int x = 0; x < width; ++x) std::swap(dst[3 * x], dst[3 * x + 2]);
  }
}

void Resizer::resize(const ImageView& src, int width, int height, std::uint8_t* dst) {
  if (src.data == nullptr || src.width < 1 || src.height < 1 || width < 1 || height < 1) {
    throw Error(ErrorCode::invalid_argument,
                "resize: from " + std::to_string(src.width) + "x" + std::to_string(src.height) + " to " +
                    std::to_string(width) + "x" + std::to_string(height) + ", expected sizes of at least 1");
  }
  columns_.prepare(src.width, width);
  const std::size_t row_bytes = static_cast<std::size_t>(width) * 3;
  if (height == src.height) {
    for (int y = 0; y < height; ++y) load_row(src, y, width, dst + y * row_bytes);
    return;
  }

  // The vertical pass follows the horizontal one through a band of rows that stays in cache. Each output
  // finds its taps in the band; when the band ends, rows still needed move to its top and new ones follow.
  rows_.prepare(src.height, height);
  kernels::ResizeAxis rows = rows_.axis();
  const int capacity = std::min(src.height, rows.max_taps + 16);
  band_.resize(capacity * row_bytes);
  in_band_.resize(height);
  const std::int32_t* first = std::exchange(rows.first, in_band_.data());
  int begin = 0, end = 0;  // source rows in the band
  for (int i = 0; i < height; ++i) {
    const int last = first[i] + rows.count[i];
    if (last > end) {
      const int kept = std::max(end - first[i], 0);
      if (kept > 0)
        std::memmove(band_.data(), band_.data() + (first[i] - begin) * row_bytes, kept * row_bytes);
      begin = first[i];
      end = begin + kept;
      const int limit = std::min(begin + capacity, src.height);
      for (; end < limit; ++end) load_row(src, end, width, band_.data() + (end - begin) * row_bytes);
    }
    in_band_[i] = first[i] - begin;
    kernels::select().resize_column(rows, i, band_.data(), static_cast<std::ptrdiff_t>(row_bytes),
                                    static_cast<int>(row_bytes), dst + i * row_bytes);
  }
}

Image resize_image(const ImageView& image, int width, int height) {
  image::check_view(image);
  Image result(width, height);
  Resizer().resize(image, width, height, result.row(0));
  return result;
}

}  // namespace adaface
