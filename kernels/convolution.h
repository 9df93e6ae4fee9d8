// The arguments of the convolution for small pictures with few channels, which R-Net and O-Net are made of.
// Channels of a pixel lie together, so a row of the kernel reads one stretch of memory.
#pragma once

#include <cstddef>

namespace adaface::kernels {

// Output channels come in blocks, padded with zero weights.
inline constexpr int kChannelBlock = 16;

// kernel x kernel, stride 1, no padding, bias, then PReLU.
struct Convolution {
  int in, kernel, blocks;  // blocks of output channels
  const float* weights;    // {blocks, kernel, kernel, in, kChannelBlock}
  const float* bias;       // {blocks * kChannelBlock}
  const float* slope;
};

// src{height, width, in} -> dst{height - kernel + 1, width - kernel + 1, dst_channels}, of which the first
// blocks * kChannelBlock <= dst_channels are written. With kernel 1, height x width pixels may as well be
// that many pictures' features: a linear layer. Each output is the same sequence of operations wherever it
// lies.
struct ConvolutionSize {
  int height, width, dst_channels;
};

}  // namespace adaface::kernels
