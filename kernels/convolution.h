// The arguments of the convolution for small pictures with few channels, which P-, R- and O-Net are made of.
// Channels of a pixel lie together, so a row of the kernel reads one stretch of memory.
#pragma once

#include <bit>
#include <cstddef>

namespace adaface::kernels {

// Output channels come in blocks, padded with zero weights.
inline constexpr int kChannelBlock = 16;

// kernel x kernel, stride 1, no padding, bias, then PReLU.
struct SmallConvolution {
  int in, kernel, blocks;  // blocks of output channels
  const float* weights;    // {blocks, kernel, kernel, in, kChannelBlock}
  // The same for Winograd's F(4x4, 3x3), see winograd_transform, of up to 64 channels; null: sum as it
  // stands.
  const float* transformed;
  const float* bias;  // {blocks * kChannelBlock}
  const float* slope;
};

// src{height, width, in} -> dst{height - kernel + 1, width - kernel + 1, dst_channels}, of which the first
// blocks * kChannelBlock <= dst_channels are written. src can be read for another kChannelBlock floats. With
// kernel 1, height x width pixels may as well be that many pictures' features: a linear layer. Each output
// is the same sequence of operations wherever it lies.
struct ConvolutionSize {
  int height, width, dst_channels;
};

// Winograd's minimal filtering F(4, 3): four outputs of three taps by six products.
inline constexpr int kWinogradTile = 4, kWinogradTaps = 6;

// {out, in, 3, 3} -> {blocks of out, 6 x 6, in, kChannelBlock}: G g G^T in double, rounded once.
void winograd_transform(const float* weights, int in, int out, float* transformed);

// Floats of scratch for a layer with a transform: 36 values of 24 tiles of each channel, before and after.
constexpr std::size_t convolution_scratch(int in, int blocks) {
  return std::size_t{36} * (24 * (std::bit_ceil(static_cast<std::size_t>(in + kChannelBlock - 1)) +
                                  static_cast<std::size_t>(blocks * kChannelBlock)) +
                            2 * kChannelBlock);
}

}  // namespace adaface::kernels
