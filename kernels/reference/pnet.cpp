#include <algorithm>

#include "kernels/reference/reference.h"

namespace adaface::kernels::reference {
namespace {

struct Plane {
  float* data;  // {channels, height, width}
  int height, width;

  float* row(int c, int y) const {
    return data + (static_cast<std::ptrdiff_t>(c) * height + y) * static_cast<std::ptrdiff_t>(width);
  }
};

// One row of one output channel; src(c, y) is where row y of input channel c begins.
template <typename F>
void convolve_row(const PnetLayer& layer, int in, int o, F&& src, int width, float* dst) {
  std::fill_n(dst, width, layer.bias[o]);
  for (int c = 0; c < in; ++c)
    for (int row = 0; row < 3; ++row)
      for (int column = 0; column < 3; ++column) {
        const float weight = layer.weights[((o * in + c) * 3 + row) * 3 + column];
        const float* from = src(c, row) + column;
        for (int x = 0; x < width; ++x) dst[x] += weight * from[x];
      }
  for (int x = 0; x < width; ++x)
    if (dst[x] < 0) dst[x] *= layer.slope[o];
}

}  // namespace

void pnet(const PnetWeights& weights, const PnetPart& part, float* scratch) {
  constexpr int k1 = kPnetChannels[1], k2 = kPnetChannels[2], k3 = kPnetChannels[3];
  const Plane pooled{scratch, part.rows + 4, part.columns + 4};
  const Plane second{pooled.row(k1, 0), part.rows + 2, part.columns + 2};
  float* const features = second.row(k2, 0);  // {k3, columns}

  // A pooling window that reaches past the level uses what is inside.
  constexpr int kMaxPixels = 2 * (kPnetMaxColumns + 5);
  float pixels[3][kMaxPixels], line[kMaxPixels];
  const int columns = std::min(2 * pooled.width, part.width - 2 - 2 * part.first_column);
  for (int y = 0; y < 2 * pooled.height; ++y) {
    const int top = 2 * part.first_row + y;
    if (top >= part.height - 2) break;
    for (int o = 0; o < k1; ++o) {
      const auto input = [&](int c, int row) {
        const std::uint8_t* from =
            part.pixels + (top + row) * part.row_stride + c * part.plane_stride + 2 * part.first_column;
        for (int x = 0; x < columns + 2; ++x)
          pixels[c][x] = (static_cast<float>(from[x]) - 127.5f) * 0.0078125f;
        return pixels[c];
      };
      convolve_row(weights.conv[0], kPnetChannels[0], o, input, columns, line);
      float* to = pooled.row(o, y / 2);
      for (int x = 0; x < columns; ++x)
        to[x / 2] = x % 2 == 0 && y % 2 == 0 ? line[x] : std::max(to[x / 2], line[x]);
    }
  }
  for (int y = 0; y < second.height; ++y)
    for (int o = 0; o < k2; ++o)
      convolve_row(
          weights.conv[1], k1, o, [&](int c, int row) { return pooled.row(c, y + row); }, second.width,
          second.row(o, y));
  for (int y = 0; y < part.rows; ++y) {
    for (int o = 0; o < k3; ++o)
      convolve_row(
          weights.conv[2], k2, o, [&](int c, int row) { return second.row(c, y + row); }, part.columns,
          features + static_cast<std::ptrdiff_t>(o) * part.columns);
    for (int k = 0; k < kPnetOutputs; ++k) {
      float* to = part.dst + static_cast<std::ptrdiff_t>(y * kPnetOutputs + k) * part.pitch;
      std::fill_n(to, part.columns, weights.head_bias[k]);
      for (int c = 0; c < k3; ++c)
        for (int x = 0; x < part.columns; ++x)
          to[x] += weights.heads[k * k3 + c] * features[static_cast<std::ptrdiff_t>(c) * part.columns + x];
    }
  }
}

}  // namespace adaface::kernels::reference
