// Convolution of small pictures: a vector holds output channels; a few pixels by one or two blocks of
// them are summed in registers over all products.
#pragma once

#include "kernels/kernels.h"
#include "kernels/x86/tiles.h"

namespace adaface::kernels::x86 {
namespace {

struct Run {
  const SmallConvolution& layer;
  const float* weights;  // of the first block
  std::ptrdiff_t block_weights, row_stride;
  int channel;  // the first
  int dst_channels;
};

template <int kBlocks, int kPixels>
void run_pixels(const Run& run, const float* src, float* dst) {
  constexpr int kVectors = kBlocks * kBlockVectors;
  Vector sums[kPixels][kVectors];
  for (int p = 0; p < kPixels; ++p)
    for (int v = 0; v < kVectors; ++v) sums[p][v] = Vector::zero();
  const float* weights = run.weights;
  const int in = run.layer.in, row = run.layer.kernel * in;
  int y = 0;
  do {  // and not loops that might do nothing, for which g++ would write the sums to memory first
    int i = 0;
    do {
      Vector w[kVectors];
      for (int v = 0; v < kVectors; ++v)
        w[v] = Vector::load(weights + v / kBlockVectors * run.block_weights +
                            v % kBlockVectors * Vector::kLanes);
      for (int p = 0; p < kPixels; ++p) {
        const Vector x = Vector::all(src[p * in + i]);
        for (int v = 0; v < kVectors; ++v) sums[p][v] = Vector::multiply_add(w[v], x, sums[p][v]);
      }
      weights += kChannelBlock;
    } while (++i < row);
    src += run.row_stride;
  } while (++y < run.layer.kernel);
  for (int v = 0; v < kVectors; ++v) {
    const int channel = run.channel + v * Vector::kLanes;
    const Vector bias = Vector::load(run.layer.bias + channel),
                 slope = Vector::load(run.layer.slope + channel);
    for (int p = 0; p < kPixels; ++p)
      Vector::prelu(sums[p][v] + bias, slope).store(dst + p * run.dst_channels + channel);
  }
}

using PixelsFunction = void (*)(const Run& run, const float* src, float* dst);

template <int kBlocks, int kPixels>
struct Functions {
  static PixelsFunction get(int pixels) {
    return pixels == kPixels ? run_pixels<kBlocks, kPixels> : Functions<kBlocks, kPixels - 1>::get(pixels);
  }
};
template <int kBlocks>
struct Functions<kBlocks, 1> {
  static PixelsFunction get(int) { return run_pixels<kBlocks, 1>; }
};

template <int kBlocks>
void run_blocks(const Run& run, const ConvolutionSize& size, const float* src, float* dst) {
  const int kernel = run.layer.kernel, out_height = size.height - kernel + 1;
  const Pieces pieces(size.width - kernel + 1, kMostPixels<kBlocks>);
  const PixelsFunction functions[2] = {Functions<kBlocks, kMostPixels<kBlocks>>::get(pieces.size),
                                       Functions<kBlocks, kMostPixels<kBlocks>>::get(pieces[0])};
  for (int y = 0; y < out_height; ++y) {
    const float* from = src + y * run.row_stride;
    for (int i = 0; i < pieces.pieces; ++i) {
      functions[i < pieces.larger](run, from, dst);
      from += pieces[i] * run.layer.in;
      dst += static_cast<std::ptrdiff_t>(pieces[i]) * size.dst_channels;
    }
  }
}

template <int kPixel>
void run_tiles(const SmallConvolution& layer, const ConvolutionSize& size, const float* src, float* dst,
               float* scratch) {
  const int height = size.height - 2, width = size.width - 2;
  TileBatch<kPixel> batch(layer, size.dst_channels, scratch);
  for (int y = 0; y < height; y += kTile) {
    const float* rows[kTaps];
    for (int r = 0; r < kTaps; ++r)
      rows[r] =
          y + r < size.height ? src + static_cast<std::ptrdiff_t>(y + r) * size.width * layer.in : nullptr;
    for (int x = 0; x < width; x += kTile) {
      Destination to;
      for (int r = 0; r < kTile; ++r)
        to.rows[r] = y + r < height
                         ? dst + (static_cast<std::ptrdiff_t>(y + r) * width + x) * size.dst_channels
                         : nullptr;
      to.columns = width - x < kTile ? width - x : kTile;
      batch.add(rows, x, size.width, layer.in, to);
    }
  }
  batch.flush();
}

inline void run_convolution(const SmallConvolution& layer, const ConvolutionSize& size, const float* src,
                            float* dst, float* scratch) {
  if (layer.transformed) {
    if (layer.in <= 16) return run_tiles<16>(layer, size, src, dst, scratch);
    if (layer.in <= 32) return run_tiles<32>(layer, size, src, dst, scratch);
    if (layer.in <= 64) return run_tiles<64>(layer, size, src, dst, scratch);
  }
  const std::ptrdiff_t block_weights =
      static_cast<std::ptrdiff_t>(layer.kernel) * layer.kernel * layer.in * kChannelBlock;
  for (int block = 0; block < layer.blocks; block += kMostBlocks) {
    const Run run{layer,
                  layer.weights + block * block_weights,
                  block_weights,
                  static_cast<std::ptrdiff_t>(size.width) * layer.in,
                  block * kChannelBlock,
                  size.dst_channels};
    if (block + kMostBlocks <= layer.blocks)
      run_blocks<kMostBlocks>(run, size, src, dst);
    else
      run_blocks<1>(run, size, src, dst);
  }
}

inline int smaller_of(int a, int b) {
  return a < b ? a : b;
}

// Pixels are written in order, whole vectors: what is beyond a pixel's channels its successor overwrites.
inline void run_pool(const float* src, int height, int width, int src_channels, int window, int channels,
                     float* dst) {
  const int out_height = (height - window + 1) / 2 + 1, out_width = (width - window + 1) / 2 + 1;
  for (int y = 0; y < out_height; ++y)
    for (int x = 0; x < out_width; ++x, dst += channels)
      for (int k = 0; k < channels; k += Vector::kLanes) {
        const float* corner = src + (static_cast<std::ptrdiff_t>(2 * y) * width + 2 * x) * src_channels + k;
        Vector most = Vector::load(corner);
        for (int v = 0; v < smaller_of(window, height - 2 * y); ++v)
          for (int u = 0; u < smaller_of(window, width - 2 * x); ++u)
            most = Vector::max(
                most, Vector::load(corner + (static_cast<std::ptrdiff_t>(v) * width + u) * src_channels));
        most.store(dst + k);
      }
}

}  // namespace
}  // namespace adaface::kernels::x86
