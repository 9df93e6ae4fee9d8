#include <algorithm>
#include <limits>

#include "kernels/reference/reference.h"

namespace adaface::kernels::reference {

void convolve(const SmallConvolution& layer, const ConvolutionSize& size, const float* src, float* dst,
              float*) {
  const int out_height = size.height - layer.kernel + 1, out_width = size.width - layer.kernel + 1;
  const int row = layer.kernel * layer.in;  // products in one row of the kernel
  for (int y = 0; y < out_height; ++y)
    for (int x = 0; x < out_width; ++x, dst += size.dst_channels) {
      const float* weights = layer.weights;
      for (int block = 0; block < layer.blocks; ++block) {
        float sums[kChannelBlock] = {};
        for (int v = 0; v < layer.kernel; ++v) {
          const float* from = src + (static_cast<std::ptrdiff_t>(y + v) * size.width + x) * layer.in;
          for (int i = 0; i < row; ++i, weights += kChannelBlock)
            for (int k = 0; k < kChannelBlock; ++k) sums[k] += weights[k] * from[i];
        }
        for (int k = 0; k < kChannelBlock; ++k) {
          const int channel = block * kChannelBlock + k;
          const float value = sums[k] + layer.bias[channel];
          dst[channel] = value < 0 ? value * layer.slope[channel] : value;
        }
      }
    }
}

void pool(const float* src, int height, int width, int src_channels, int window, int channels, float* dst) {
  const int out_height = (height - window + 1) / 2 + 1, out_width = (width - window + 1) / 2 + 1;
  for (int y = 0; y < out_height; ++y)
    for (int x = 0; x < out_width; ++x, dst += channels) {
      std::fill_n(dst, channels, -std::numeric_limits<float>::infinity());
      for (int v = 2 * y; v < std::min(2 * y + window, height); ++v)
        for (int u = 2 * x; u < std::min(2 * x + window, width); ++u) {
          const float* from = src + (static_cast<std::ptrdiff_t>(v) * width + u) * src_channels;
          for (int k = 0; k < channels; ++k) dst[k] = std::max(dst[k], from[k]);
        }
    }
}

}  // namespace adaface::kernels::reference
