// Convolution as a matrix product that is never laid out (implicit GEMM): rows are the outputs' pixels of all
// images, columns output channels, the sum runs over taps and input channels. On tensor cores, float32 sums;
// batch norm before it, bias, PReLU and residual sum included.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda.h"

namespace adaface::kernels::cuda {

// Bytes of a row of a matrix that a block holds at a time, in pieces of kPieceBytes, each of one tap.
inline constexpr int kDepthBytes = 128, kPieceBytes = 16;

struct Convolution {
  Storage storage;
  int height, width, channels;  // of the input; channels * bytes_of(storage) is a multiple of kPieceBytes
  int out_height, out_width, out_channels;  // a multiple of 8
  int kernel, stride, padding;

  // {weight_rows, row_bytes}: rows in the order of the sum, zero behind; see pack_weights. They are read
  // while the kernel before on the stream may still run: that must not be the one that writes them.
  const void* weights;
  // {out_channels}, or with a batch norm before a padded convolution {9, out_channels}: what that norm's
  // shift adds depends on the taps that lie on the padding. Row 3 y + x, each 0 where the first tap lies
  // before the image, 2 where the last lies behind it, else 1.
  const float* bias;
  bool border_bias;
  const float* slope;  // {out_channels}, of PReLU; null: none

  // The order of the sum. Where whole rows of kDepthBytes fill a tap's channels: all taps of the first such
  // slice of channels, then of the next, so that the same pixels are read again while they are in the
  // first-level cache. Else tap after tap.
  constexpr bool is_sliced() const { return channels * bytes_of(storage) % kDepthBytes == 0; }
  // Bytes of a row of weights, and rows: both filled with zeros to whole tiles, whatever tile is used.
  constexpr int row_bytes() const {
    const int bytes = kernel * kernel * channels * bytes_of(storage);
    return (bytes + kDepthBytes - 1) / kDepthBytes * kDepthBytes;
  }
  constexpr int weight_rows() const { return (out_channels + 255) / 256 * 256; }
};

// Whether a device multiplies by warpgroups: compute capability 9.0 alone.
constexpr bool has_warpgroup_products(int compute_major, int compute_minor) {
  return compute_major == 9 && compute_minor == 0;
}

// Whether blocks can form clusters, which read one another's shared memory: on 9.0 and newer, of kernels that
// are compiled for it.
bool has_clusters(int compute_major);
inline constexpr int kMostInCluster = 8;  // blocks, on every such device

// How a convolution is divided among blocks of threads.
struct ConvolutionTile {
  int rows, columns;
  bool warpgroups;  // products by warpgroups
  int stages;       // steps of the sum that have a place in shared memory
  int splits = 1;   // parts of the sum, each in a block of its own, that are added up in a fixed order
  // At most kMostInCluster parts: they form a cluster and each adds up a share of the outputs. Else they
  // leave their parts in memory, and the last to come adds them up.
  bool cluster = false;

  bool operator==(const ConvolutionTile&) const = default;
};
// What the kernels are built for, splits aside. Those of 96 KiB of stages share a multiprocessor of 9.0 with
// another block, which hides their first copies and epilogues.
inline constexpr ConvolutionTile kTiles[] = {{128, 128, false, 3}, {128, 64, false, 4}, {64, 64, false, 6},
                                             {128, 256, true, 4},  {128, 128, true, 5}, {128, 128, true, 3},
                                             {128, 64, true, 4}};

// Shared memory of a block.
std::size_t shared_bytes(const ConvolutionTile& tile);

struct ConvolutionRun {
  int images;
  const void* src;       // {images, height, width, channels}
  const void* residual;  // {images, residual_height, residual_width, out_channels}, added last; null: none.
                         // May be dst.
  int residual_stride, residual_height, residual_width;  // the pixel at stride times the output's place
  void* dst;                                             // {images, out_height, out_width, out_channels}
  bool float_result;                                     // dst is float32 whatever the storage
  float* partials;     // partial_floats(...) of scratch; may be null for none
  unsigned* counters;  // counter_count(...), zero before and after; may be null for none
};

// Output pixels and channels as whole tiles; none where nothing is left in memory.
std::size_t partial_floats(const Convolution& convolution, const ConvolutionTile& tile, int images);
std::size_t counter_count(const Convolution& convolution, const ConvolutionTile& tile, int images);

// Loads the kernels. For once on each device, before the first convolve and before a graph is captured.
Status prepare_convolutions(Storage storage);

// How many clusters of tile.splits blocks the device holds at the same time: the blocks of a cluster lie
// within one of its processing clusters, some 16 multiprocessors. Precondition: prepared.
Status count_clusters(Storage storage, const ConvolutionTile& tile, int* clusters);

// Precondition: images * height * width * channels, of input and output, fits 31 bits.
Status convolve(const Convolution& convolution, const ConvolutionTile& tile, const ConvolutionRun& run,
                cudaStream_t stream);

// Rows [first, first + count) of weights from rows of float32 {count, channels_in_file, kernel, kernel}:
// put into the order of the sum, rounded to nearest, zeros for channels that the file does not have.
Status pack_weights(const Convolution& convolution, const float* rows, int first, int count,
                    int channels_in_file, void* weights, cudaStream_t stream);

}  // namespace adaface::kernels::cuda
