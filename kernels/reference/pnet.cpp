#include <algorithm>
#include <limits>

#include "kernels/reference/reference.h"

namespace adaface::kernels::reference {
namespace {

// The first convolution at one pixel of the level, with PReLU.
float convolve_pixel(const PnetWeights& weights, const PnetPart& part, int o, int x, int y) {
  constexpr int kIn = kPnetChannels[0];
  const float* w = weights.conv1 + o * kIn * 9;
  float sum = weights.bias1[o];
  for (int c = 0; c < kIn; ++c)
    for (int row = 0; row < 3; ++row)
      for (int column = 0; column < 3; ++column) {
        const float pixel = part.pixels[(y + row) * part.row_stride + c * part.plane_stride + x + column];
        sum += *w++ * ((pixel - 127.5f) * 0.0078125f);
      }
  return sum < 0 ? sum * weights.slope1[o] : sum;
}

// A pooling window that reaches past the level uses what is inside.
float pooled(const PnetWeights& weights, const PnetPart& part, int o, int x, int y) {
  float most = -std::numeric_limits<float>::infinity();
  for (int v = 2 * y; v < std::min(2 * y + 2, part.height - 2); ++v)
    for (int u = 2 * x; u < std::min(2 * x + 2, part.width - 2); ++u)
      most = std::max(most, convolve_pixel(weights, part, o, u, v));
  return most;
}

}  // namespace

void pnet(const PnetWeights& weights, const PnetPart& part, float* scratch) {
  constexpr int k1 = kPnetChannels[1], k2 = kPnetChannels[2], k3 = kPnetChannels[3];
  const int rows = part.rows, columns = part.columns;
  const auto size = [](int a, int b, int c) { return static_cast<std::ptrdiff_t>(a) * b * c; };
  float* const first = scratch;  // {rows + 4, columns + 4, k1}
  float* const second =
      first + size(rows + 4, columns + 4, k1) + kChannelBlock;  // {rows + 2, columns + 2, k2}
  float* const features =
      second + size(rows + 2, columns + 2, k2) + kChannelBlock;  // {columns, k3}, of one row
  float* to = first;
  for (int y = 0; y < rows + 4; ++y)
    for (int x = 0; x < columns + 4; ++x)
      for (int o = 0; o < k1; ++o)
        *to++ = pooled(weights, part, o, part.first_column + x, part.first_row + y);
  convolve(weights.conv2, {rows + 4, columns + 4, k2}, first, second, nullptr);
  for (int y = 0; y < rows; ++y) {
    convolve(weights.conv3, {3, columns + 2, k3}, second + size(y, columns + 2, k2), features, nullptr);
    for (int k = 0; k < kPnetOutputs; ++k)
      for (int x = 0; x < columns; ++x) {
        float sum = weights.head_bias[k];
        for (int c = 0; c < k3; ++c) sum += weights.heads[k * k3 + c] * features[size(x, k3, 1) + c];
        part.dst[size(y * kPnetOutputs + k, part.pitch, 1) + x] = sum;
      }
  }
}

}  // namespace adaface::kernels::reference
