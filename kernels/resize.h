// The arguments of the resampling kernels. A picture is resampled in a form of its own, "packed": four
// neighbours along the axis of the sums lie together, so that one instruction multiplies and adds them, and
// what lies across the axis fills the lanes of a vector.
#pragma once

#include <cstddef>
#include <cstdint>

namespace adaface::kernels {

// Weights are fixed point with this many fraction bits, in 0 .. 2^22; those of one output sum to about 2^22.
inline constexpr int kResizeFractionBits = 22;

// Weights of four neighbours, w = low + 2^16 high = digits[0] + 2^8 digits[1] + 2^16 digits[2], so that
// factors of 16 or of 8 bits do; all parts but the highest are signed. Sums of products may wrap around in 32
// bits: the whole does not reach 2^31.
struct ResizeGroup {
  std::int16_t low[4], high[4];
  std::int8_t digits[3][4];
};

// One axis. Output i is clip((2^21 + sum) >> 22) to 0..255 of the sum over g < counts[i] of the four
// neighbours of group first[i] + g times groups[i * max_groups + g].
struct ResizeAxis {
  int size;  // outputs
  int max_groups;
  const std::int32_t* first;
  const std::int32_t* counts;
  const ResizeGroup* groups;
};

// Rows of a picture are packed a strip at a time: planes of {ceil(width / 4), kStripRows, 4} bytes.
inline constexpr int kStripRows = 64;
// Lanes come in whole vectors: buffers have room for this many.
inline constexpr int kResizeLanes = 16;

constexpr std::ptrdiff_t strip_plane(int width) {
  return static_cast<std::ptrdiff_t>((width + 3) / 4) * kStripRows * 4;
}

}  // namespace adaface::kernels
