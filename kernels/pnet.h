// The arguments of the kernel that runs P-Net over a part of a pyramid level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/convolution.h"

namespace adaface::kernels {

// conv 3x3 {3 -> 10}, PReLU, max 2x2; conv 3x3 {10 -> 16}, PReLU; conv 3x3 {16 -> 32}, PReLU; conv 1x1
// {32 -> 6}: logits of no face and face, then four box offsets.
inline constexpr int kPnetChannels[4] = {3, 10, 16, 32};
inline constexpr int kPnetOutputs = 6;
// Rows and columns of cells in one call. They are computed in squares of kWinogradTile: a call starts at
// multiples of it.
inline constexpr int kPnetMaxRows = 64, kPnetMaxColumns = 256;
// How far vectors read and write beyond what they are asked for.
inline constexpr int kPnetSlack = 64;

struct PnetWeights {
  const float* conv1;              // {10, 3, 3, 3}
  const float* conv1_transformed;  // {6, 3, 3 (columns), 10}: F(4, 3) down the columns, see pnet_transform
  const float* bias1;
  const float* slope1;
  SmallConvolution conv2, conv3;  // with their transforms
  const float* heads;             // {kPnetOutputs, 32}
  const float* head_bias;
};

struct PnetPart {
  // A level: three planes, pixel (x, y) of plane c at y * row_stride + c * plane_stride + x. Rows are
  // readable for 2 * kPnetSlack bytes beyond `width`.
  const std::uint8_t* pixels;
  std::ptrdiff_t row_stride, plane_stride;
  int width, height;
  // The cells to compute, at most kPnetMaxRows x kPnetMaxColumns.
  int first_row, rows, first_column, columns;
  // Outputs are wanted of cells whose logits differ by more than this, as far as sums of 32 products can
  // tell; those of others are unspecified, but that their logits differ by no more. Minus infinity: of all.
  float least;
  // Of all cells the logit of a face is wanted, and nothing else.
  bool face_only;
  // {rows, kPnetOutputs, pitch}; pitch >= columns + kPnetSlack. Beyond `columns` it is scratch.
  float* dst;
  int pitch;
};

// Floats of scratch for any part.
inline constexpr std::size_t kPnetScratch = std::size_t{1} << 19;

// Of conv1's weights: G g / 128 of each column of three, in double, rounded once.
void pnet_transform(const float* weights, float* transformed);

}  // namespace adaface::kernels
