// Pillow's 8-bit bilinear resize, bit for bit: a triangle filter as wide as the reduction, horizontal pass
// first, rounded to 8 bits between the passes.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "src/adaface.hpp"
#include "src/runtime/memory.h"

namespace adaface {

// The fixed-point weights of one axis, for neighbours in groups of four.
class ResizeTable {
 public:
  // Resizes the stretch [origin, origin + source_size) of [0, extent) to `size`. What lies outside the extent
  // is zero. All sizes >= 1. Recomputes only when an argument changes; allocates only when the table grows.
  void prepare(int origin, int source_size, int extent, int size);
  kernels::ResizeAxis axis() const;

  // Source positions that have any weight: [first, last), rounded outwards to groups.
  int first() const { return first_group_ * 4; }
  int last() const { return last_group_ * 4; }

 private:
  int origin_ = 0, source_size_ = 0, extent_ = 0, size_ = 0, max_groups_ = 0;
  int first_group_ = 0, last_group_ = 0;
  std::vector<std::int32_t> first_, counts_;
  std::vector<kernels::ResizeGroup> groups_;
  std::vector<double> taps_;
};

// A picture's strips of kStripRows rows in the packed form of kernels/resize.h, as planes of red, green and
// blue whatever the channel order of the view: all of them, or each when it is asked for.
class PackedStrips {
 public:
  // From here on the strips of `view`, whose pixels must stay. None is kept.
  void look_at(const ImageView& view);

  const ImageView& view() const { return view_; }
  int count() const { return (view_.height + kernels::kStripRows - 1) / kernels::kStripRows; }
  bool kept() const { return kept_; }

  // Makes room for all strips, of which each must then be packed by one call. Different strips may be packed
  // by different threads.
  void keep();
  void pack_kept(int strip) { pack(strip, all_.data() + static_cast<std::size_t>(strip) * bytes()); }
  // Gives memory back that is larger than `most` bytes.
  void shrink(std::size_t most);

  // One strip, packed into `scratch` unless it is kept. Plane c of it is plane(c).
  const std::uint8_t* strip(int strip, Buffer<std::uint8_t>& scratch) const;
  std::ptrdiff_t plane(int channel) const {
    return (view_.order == ChannelOrder::bgr ? 2 - channel : channel) * kernels::strip_plane(view_.width);
  }

 private:
  std::size_t bytes() const { return 3 * static_cast<std::size_t>(kernels::strip_plane(view_.width)); }
  void pack(int strip, std::uint8_t* dst) const;

  ImageView view_{};
  bool kept_ = false;
  Buffer<std::uint8_t> all_;
};

// How far a resize has come with one plane: groups of four rows after the horizontal pass.
struct ResizeBand {
  Buffer<std::uint8_t> rows;
  int begin = 0, end = 0;  // groups in the band
  int output = 0;          // the next row
};

// What a thread needs to resize; grows to the largest resize seen and then allocates nothing.
struct ResizeScratch {
  Buffer<std::uint8_t> strip;
  ResizeBand bands[3];
};

// A rectangle of the picture, which may reach outside of it: zero there.
struct ResizeWindow {
  int left, top, width, height;
};

// One resize: tables that any number of threads may use.
class PlaneResizer {
 public:
  // All sizes >= 1.
  void prepare(const ImageView& picture, const ResizeWindow& window, int width, int height);

  // All three planes of the window to dst{plane, height, width}. Each row has room for another kResizeLanes
  // bytes.
  void run(const PackedStrips& picture, std::uint8_t* dst, std::ptrdiff_t row_stride,
           std::ptrdiff_t plane_stride, ResizeScratch& scratch) const;

  // The same by strips, of one plane: start, then advance with each strip from first_strip() to last_strip().
  // Several resizes that advance together read a strip while it is in cache.
  void start(ResizeBand& band) const;
  void advance(int strip, const std::uint8_t* plane, ResizeBand& band, std::uint8_t* dst,
               std::ptrdiff_t row_stride) const;
  int first_strip() const { return rows_.first() / kernels::kStripRows; }
  int last_strip() const { return (rows_.last() - 1) / kernels::kStripRows; }

 private:
  void emit(ResizeBand& band, std::uint8_t* dst, std::ptrdiff_t row_stride) const;
  std::ptrdiff_t pitch() const;  // of the band

  int width_ = 0, height_ = 0;
  ResizeTable columns_, rows_;
};

// Tables and scratch for one thread.
class Resizer {
 public:
  // Resizes all of src to dst[height * width * 3]: packed RGB whatever the channel order of src. A region of
  // a picture is a view with data moved to its corner and a smaller width and height; taps stop at the view's
  // edge, as if the region had been cropped first. Throws invalid_argument unless all sizes are >= 1.
  void resize(const ImageView& src, int width, int height, std::uint8_t* dst);

 private:
  PlaneResizer planes_;
  ResizeScratch scratch_;
  Buffer<std::uint8_t> planar_;
};

}  // namespace adaface
