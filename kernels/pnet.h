// The arguments of the kernel that runs P-Net over a part of a pyramid level.
#pragma once

#include <cstddef>
#include <cstdint>

namespace adaface::kernels {

// conv 3x3 {3 -> 10}, PReLU, max 2x2; conv 3x3 {10 -> 16}, PReLU; conv 3x3 {16 -> 32}, PReLU; conv 1x1
// {32 -> 6}: logits of no face and face, then four box offsets.
inline constexpr int kPnetChannels[4] = {3, 10, 16, 32};
inline constexpr int kPnetOutputs = 6;
// Rows and columns of cells in one call. Rows are computed kPnetTile at a time: a call starts at a multiple.
inline constexpr int kPnetTile = 4;
inline constexpr int kPnetMaxRows = 64, kPnetMaxColumns = 256;
// How far vectors read and write beyond what they are asked for.
inline constexpr int kPnetSlack = 64;

struct PnetLayer {
  const float* weights;      // {out, in, 3, 3}
  const float* transformed;  // the same for Winograd's F(4, 3) down the columns: see pnet_transform
  const float* bias;
  const float* slope;
};

struct PnetWeights {
  PnetLayer conv[3];
  const float* heads;  // {kPnetOutputs, 32}
  const float* head_bias;
};

struct PnetPart {
  // A level: three planes, pixel (x, y) of plane c at y * row_stride + c * plane_stride + x. Rows are
  // readable for 2 * kPnetSlack bytes beyond `width`.
  const std::uint8_t* pixels;
  std::ptrdiff_t row_stride, plane_stride;
  int width, height;
  // The cells to compute, at most kPnetMaxRows x kPnetMaxColumns; first_row is a multiple of kPnetTile.
  int first_row, rows, first_column, columns;
  // Offsets are only wanted of cells whose logits differ by more than this; of others they are unspecified.
  float offsets_above;
  // {rows, kPnetOutputs, pitch}; pitch >= columns + kPnetSlack. Beyond `columns` it is scratch.
  float* dst;
  int pitch;
};

// Floats of scratch for any part.
inline constexpr std::size_t kPnetScratch = std::size_t{1} << 19;

// Winograd's minimal filtering F(4, 3) (Lavin & Gray 2016): four outputs of three taps by six products, here
// down the columns alone. Output channels lie in groups of kPnetGroup:
// {out / group, 6, in, 3 (columns), group}, G g of each column of three, in double, rounded once.
inline constexpr int kPnetFilter = 6;
constexpr int pnet_group(int out) {
  return out % 8 == 0 ? 8 : out;
}
void pnet_transform(const float* weights, int in, int out, float* transformed);

}  // namespace adaface::kernels
