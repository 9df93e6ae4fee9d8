// Pillow's 8-bit bilinear resize, bit for bit: a triangle filter as wide as the reduction, horizontal pass
// first, rounded to 8 bits between the passes.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "src/adaface.hpp"

namespace adaface {

// The taps and fixed-point weights of one axis.
class ResizeTable {
 public:
  // 1 <= source_size, size. Recomputes only when a size changes; allocates only when the table grows.
  void prepare(int source_size, int size);
  kernels::ResizeAxis axis() const;

 private:
  int source_size_ = 0, size_ = 0, max_taps_ = 0;
  std::vector<std::int32_t> first_, count_, weights_;
  std::vector<double> taps_;
};

// Tables and scratch for one thread; grows to the largest resize seen and then allocates nothing.
class Resizer {
 public:
  // Resizes all of src to dst[height * width * 3]: packed RGB whatever the channel order of src. A region of
  // a picture is a view with data moved to its corner and a smaller width and height; taps stop at the view's
  // edge, as if the region had been cropped first. Throws invalid_argument unless all sizes are >= 1.
  void resize(const ImageView& src, int width, int height, std::uint8_t* dst);

 private:
  void load_row(const ImageView& src, int y, int width, std::uint8_t* dst) const;

  ResizeTable columns_, rows_;
  std::vector<std::uint8_t> band_;     // source rows after the horizontal pass
  std::vector<std::int32_t> in_band_;  // first tap of each output row, counted from the band's top
};

}  // namespace adaface
