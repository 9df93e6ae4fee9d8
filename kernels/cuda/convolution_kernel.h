// The kernel of convolution.h, for any tile. A block of threads computes kRows x kColumns outputs: it walks
// along the sum in steps of kDepthBytes, with the next steps' pieces of both matrices on their way to shared
// memory.
//
// There a row of kDepthBytes lies swizzled: piece p of row r at place p ^ (r % 8), so that the eight rows of
// a matrix that a warp reads at once fall into different banks, and as the tensor cores of compute
// capability 9.0 read it.
#pragma once

#include <type_traits>

#include "kernels/cuda/convolution.h"
#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace adaface::kernels::cuda {

struct ConvolutionArguments {
  Convolution layer;
  ConvolutionRun run;
  int rows;           // outputs' pixels of all images
  int pieces_of_tap;  // pieces of one tap's channels
  int steps, splits;  // of the whole sum; parts of it
};

template <typename Element_, int kRows_, int kColumns_, int kWarpRows_, int kWarpColumns_, int kStages_>
struct WarpTile {
  using Element = Element_;
  static constexpr int kRows = kRows_, kColumns = kColumns_, kStages = kStages_;
  static constexpr int kWarpRows = kWarpRows_, kWarpColumns = kWarpColumns_;  // of one warp's outputs
  static constexpr bool kWarpgroups = false;
  static constexpr int kAcross = kColumns / kWarpColumns;  // warps side by side
  static constexpr int kThreads = kRows / kWarpRows * kAcross * 32;
  // How many steps ahead copies are: all stages but the one that is being multiplied.
  static constexpr int kAhead = kStages - 1;
};

template <typename Element_, int kRows_, int kColumns_, int kStages_>
struct WarpgroupTile {
  using Element = Element_;
  static constexpr int kRows = kRows_, kColumns = kColumns_, kStages = kStages_;
  static constexpr int kWarpRows = 16, kWarpColumns = kColumns;
  static constexpr bool kWarpgroups = true;
  static constexpr int kAcross = 1;
  static constexpr int kThreads = kRows / 64 * 128;
  // One step's products are still under way while the next is begun: its stage is not free yet.
  static constexpr int kAhead = kStages - 2;
};

template <typename Tile>
struct TileMemory {
  static constexpr int kSourceBytes = Tile::kRows * kDepthBytes, kWeightBytes = Tile::kColumns * kDepthBytes;
  static constexpr int kStageBytes = kSourceBytes + kWeightBytes;
  // The sums on their way out take the same place. The pitch keeps a warp's fragments in different banks.
  static constexpr int kPitch = Tile::kColumns + 8;
  static constexpr int kSumBytes = Tile::kRows * kPitch * 4;
  static constexpr int kBytes =
      Tile::kStages * kStageBytes > kSumBytes ? Tile::kStages* kStageBytes : kSumBytes;
};

__device__ inline int swizzled(int row, int piece) {
  return row * kDepthBytes + ((piece ^ (row & 7)) * kPieceBytes);
}

// What one thread copies: one piece of every kStride-th row of both matrices, always at the same place in the
// row.
template <typename Tile>
class Loader {
  static constexpr int kPieces = kDepthBytes / kPieceBytes, kStride = Tile::kThreads / kPieces;
  static constexpr int kSourceRows = Tile::kRows / kStride, kWeightRows = Tile::kColumns / kStride;
  static_assert(Tile::kRows % kStride == 0 && Tile::kColumns % kStride == 0);

 public:
  __device__ Loader(const ConvolutionArguments& a, int first_row, int first_column, int first_step)
      : a_(a),
        piece_(static_cast<int>(threadIdx.x) % kPieces),
        row_(static_cast<int>(threadIdx.x) / kPieces) {
    const Convolution& c = a.layer;
    const int pixels = c.out_height * c.out_width;
#pragma unroll
    for (int i = 0; i < kSourceRows; ++i) {
      const int row = first_row + row_ + i * kStride;
      const int image = row / pixels, pixel = row - image * pixels;
      const int out_y = pixel / c.out_width, out_x = pixel - out_y * c.out_width;
      // A row behind the last has no pixel inside the image.
      y_[i] = row < a.rows ? out_y * c.stride - c.padding : -(1 << 20);
      x_[i] = out_x * c.stride - c.padding;
      const int first = image * c.height * c.width + (row < a.rows ? y_[i] * c.width + x_[i] : 0);
      first_[i] = static_cast<const std::byte*>(a.run.src) + first * pixel_bytes();
    }
    const int at = first_step * kPieces + piece_, taps = c.kernel * c.kernel;
    const int tap = c.is_sliced() ? first_step % taps : at / a.pieces_of_tap;
    tap_y_ = tap / c.kernel;
    tap_x_ = tap - tap_y_ * c.kernel;
    piece_of_tap_ = c.is_sliced() ? first_step / taps * kPieces + piece_ : at - tap * a.pieces_of_tap;
    weights_ = static_cast<const std::byte*>(c.weights) +
               static_cast<std::ptrdiff_t>(first_column + row_) * c.row_bytes() + at * kPieceBytes;
  }

  __device__ void load_weights(std::byte* stage) const {
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(kStride) * a_.layer.row_bytes();
    std::byte* to = stage + TileMemory<Tile>::kSourceBytes;
#pragma unroll
    for (int i = 0; i < kWeightRows; ++i)
      ptx::copy_async_streaming(to + swizzled(row_ + i * kStride, piece_), weights_ + i * stride,
                                kPieceBytes);
  }

  // Behind the last tap the weights are zeros: what lies there in the image does not matter.
  __device__ void load_source(std::byte* stage) const {
    const Convolution& c = a_.layer;
    const std::ptrdiff_t offset = (tap_y_ * c.width + tap_x_) * pixel_bytes() + piece_of_tap_ * kPieceBytes;
#pragma unroll
    for (int i = 0; i < kSourceRows; ++i) {
      const bool inside = static_cast<unsigned>(y_[i] + tap_y_) < static_cast<unsigned>(c.height) &&
                          static_cast<unsigned>(x_[i] + tap_x_) < static_cast<unsigned>(c.width);
      const void* from = inside ? first_[i] + offset : a_.run.src;
      ptx::copy_async(stage + swizzled(row_ + i * kStride, piece_), from, inside ? kPieceBytes : 0);
    }
  }

  __device__ void advance() {
    weights_ += kDepthBytes;
    if (a_.layer.is_sliced()) {
      next_tap();
      if (tap_y_ == a_.layer.kernel) tap_y_ = 0, piece_of_tap_ += kPieces;
      return;
    }
    piece_of_tap_ += kPieces;
    while (piece_of_tap_ >= a_.pieces_of_tap) {
      piece_of_tap_ -= a_.pieces_of_tap;
      next_tap();
    }
  }

 private:
  __device__ void next_tap() {
    if (++tap_x_ == a_.layer.kernel) tap_x_ = 0, ++tap_y_;
  }
  __device__ std::ptrdiff_t pixel_bytes() const {
    return static_cast<std::ptrdiff_t>(a_.pieces_of_tap) * kPieceBytes;
  }

  const ConvolutionArguments& a_;
  int piece_, row_;
  int tap_y_, tap_x_, piece_of_tap_;
  int y_[kSourceRows], x_[kSourceRows];  // of the first tap
  const std::byte* first_[kSourceRows];
  const std::byte* weights_;
};

// The sums of one warp: kTall x kWide squares of 16 x 8, as the tensor cores hold them.
template <typename Tile>
struct Sums {
  static constexpr int kTall = Tile::kWarpRows / 16, kWide = Tile::kWarpColumns / 8;
  float values[kTall][kWide][4] = {};

  __device__ void multiply(const std::byte* stage, int warp_row, int warp_column) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const std::byte* weights = stage + TileMemory<Tile>::kSourceBytes;
#pragma unroll
    for (int step = 0; step < kDepthBytes / 32; ++step) {
      std::uint32_t a[kTall][4], b[kWide][2];
#pragma unroll
      for (int i = 0; i < kTall; ++i)
        ptx::load_matrices(a[i], stage + swizzled(warp_row + 16 * i + lane % 16, 2 * step + lane / 16));
#pragma unroll
      for (int j = 0; j < kWide; j += 2) {
        std::uint32_t four[4];
        ptx::load_matrices(four, weights + swizzled(warp_column + 8 * j + lane / 16 * 8 + lane % 8,
                                                    2 * step + lane / 8 % 2));
        b[j][0] = four[0], b[j][1] = four[1], b[j + 1][0] = four[2], b[j + 1][1] = four[3];
      }
#pragma unroll
      for (int i = 0; i < kTall; ++i)
#pragma unroll
        for (int j = 0; j < kWide; ++j) ptx::multiply<Tile::Element::kProduct>(values[i][j], a[i], b[j]);
    }
  }

  __device__ void store(float* sums, int warp_row, int warp_column) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kTall; ++i)
#pragma unroll
      for (int j = 0; j < kWide; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = warp_row + 16 * i + 8 * half + lane / 4,
                    column = warp_column + 8 * j + lane % 4 * 2;
          *reinterpret_cast<float2*>(sums + row * TileMemory<Tile>::kPitch + column) =
              make_float2(values[i][j][2 * half], values[i][j][2 * half + 1]);
        }
  }
};

// Row 3 y + x of a border bias, where an output's taps begin at (y, x) of the input.
__device__ inline int border_row(const Convolution& c, int y, int x) {
  const int down = y < 0                     ? 0
                   : y + c.kernel > c.height ? 2
                                             : 1,
            right = x < 0                    ? 0
                    : x + c.kernel > c.width ? 2
                                             : 1;
  return 3 * down + right;
}

// Bias, PReLU, residual sum, rounding: of eight channels of one pixel.
template <typename Element>
__device__ void finish(const ConvolutionArguments& a, int row, int column, Eight<Element> sums) {
  const Convolution& c = a.layer;
  const int pixels = c.out_height * c.out_width;
  const int image = row / pixels, pixel = row - image * pixels;
  const int y = pixel / c.out_width, x = pixel - y * c.out_width;
  Eight<Element> other;
  const int border = c.border_bias ? border_row(c, y * c.stride - c.padding, x * c.stride - c.padding) : 0;
  other.load_floats(c.bias + border * c.out_channels + column);
#pragma unroll
  for (int i = 0; i < 8; ++i) sums.values[i] += other.values[i];
  if (c.slope) {
    other.load_floats(c.slope + column);
#pragma unroll
    for (int i = 0; i < 8; ++i)
      sums.values[i] = sums.values[i] < 0 ? sums.values[i] * other.values[i] : sums.values[i];
  }
  using Stored = typename Element::Storage;
  if (a.run.residual) {
    const std::ptrdiff_t at =
        (static_cast<std::ptrdiff_t>(image) * a.run.residual_height + y * a.run.residual_stride) *
            a.run.residual_width +
        x * a.run.residual_stride;
    other.load(static_cast<const Stored*>(a.run.residual) + at * c.out_channels + column);
#pragma unroll
    for (int i = 0; i < 8; ++i) sums.values[i] += other.values[i];
  }
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * c.out_channels + column;
  if (a.run.float_result)
    sums.store_floats(static_cast<float*>(a.run.dst) + at);
  else
    sums.store(static_cast<Stored*>(a.run.dst) + at);
}

template <typename Tile>
__device__ void sum_up(const ConvolutionArguments& a, int first_row, int first_column, std::byte* shared) {
  using Memory = TileMemory<Tile>;
  const int split = static_cast<int>(blockIdx.y);
  const int first_step = static_cast<int>(static_cast<long long>(a.steps) * split / a.splits);
  const int steps = static_cast<int>(static_cast<long long>(a.steps) * (split + 1) / a.splits) - first_step;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp / Tile::kAcross * Tile::kWarpRows,
            warp_column = warp % Tile::kAcross * Tile::kWarpColumns;
  Loader<Tile> loader(a, first_row, first_column, first_step);
  const auto stage = [&](int step) { return shared + step % Tile::kStages * Memory::kStageBytes; };

  // Weights are the model's: they need not wait for the layer before.
  {
    Loader<Tile> ahead = loader;
    for (int step = 0; step < Tile::kAhead && step < steps; ++step) {
      ahead.load_weights(stage(step));
      ahead.advance();
    }
  }
  ptx::wait_for_previous_kernel();
  for (int step = 0; step < Tile::kAhead; ++step) {
    if (step < steps) loader.load_source(stage(step));
    loader.advance();
    ptx::commit_copies();
  }
  ptx::allow_next_kernel();

  Sums<Tile> sums;
  for (int step = 0; step < steps; ++step) {
    ptx::wait_for_copies<Tile::kAhead - 1>();
    if constexpr (Tile::kWarpgroups) ptx::fence_shared_for_products();
    __syncthreads();
    const std::byte* now = stage(step);
    if constexpr (Tile::kWarpgroups) {
      auto& flat = *reinterpret_cast<float(*)[Tile::kColumns / 2]>(&sums.values);
      const std::uint64_t source = ptx::describe_matrix(now + warp / 4 * 64 * kDepthBytes);
      const std::uint64_t weights = ptx::describe_matrix(now + Memory::kSourceBytes);
      ptx::begin_products();
#pragma unroll
      for (int i = 0; i < kDepthBytes / 32; ++i)
        ptx::multiply_warpgroup<Tile::Element::kProduct, Tile::kColumns>(flat, ptx::along(source, 32 * i),
                                                                         ptx::along(weights, 32 * i));
      ptx::commit_products();
      ptx::wait_for_products<1>();
    }
    if (step + Tile::kAhead < steps) {
      loader.load_weights(stage(step + Tile::kAhead));
      loader.load_source(stage(step + Tile::kAhead));
    }
    loader.advance();
    ptx::commit_copies();
    if constexpr (!Tile::kWarpgroups) sums.multiply(now, warp_row, warp_column);
  }
  if constexpr (Tile::kWarpgroups) ptx::wait_for_products<0>();
  ptx::wait_for_copies<0>();
  __syncthreads();
  sums.store(reinterpret_cast<float*>(shared), warp_row, warp_column);
  __syncthreads();
}

// Of a sum in parts: leaves this block's, and true when it was the last.
template <typename Tile>
__device__ bool leave_part(const ConvolutionArguments& a, const float* sums, bool* is_last) {
  constexpr int kGroups = Tile::kColumns / 8;
  const unsigned tile = blockIdx.x;
  float* part = a.run.partials +
                (static_cast<std::ptrdiff_t>(blockIdx.y) * gridDim.x + tile) * (Tile::kRows * Tile::kColumns);
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kRows * kGroups; i += Tile::kThreads) {
    Eight<Tf32> eight;
    eight.load_floats(sums + i / kGroups * TileMemory<Tile>::kPitch + i % kGroups * 8);
    eight.store_floats(part + i * 8);
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    const unsigned before = atomicAdd(a.run.counters + tile, 1u);
    *is_last = before + 1 == gridDim.y;
    if (*is_last) a.run.counters[tile] = 0;
  }
  __syncthreads();
  if (*is_last) __threadfence();
  return *is_last;
}

template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads)
    convolution_kernel(const __grid_constant__ ConvolutionArguments a) {
  using Element = typename Tile::Element;
  constexpr int kGroups = Tile::kColumns / 8;
  std::byte* shared = ptx::dynamic_shared();
  // Columns vary fastest, so that blocks that run at the same time read the same pixels.
  const int across = (a.layer.out_channels + Tile::kColumns - 1) / Tile::kColumns;
  const int first_row = static_cast<int>(blockIdx.x) / across * Tile::kRows;
  const int first_column = static_cast<int>(blockIdx.x) % across * Tile::kColumns;
  sum_up<Tile>(a, first_row, first_column, shared);
  const auto* sums = reinterpret_cast<const float*>(shared);
  const bool in_parts = a.splits > 1;
  if (in_parts && !leave_part<Tile>(a, sums, reinterpret_cast<bool*>(shared + TileMemory<Tile>::kBytes)))
    return;
  const std::ptrdiff_t part_stride = static_cast<std::ptrdiff_t>(gridDim.x) * (Tile::kRows * Tile::kColumns);
  for (int i = static_cast<int>(threadIdx.x); i < Tile::kRows * kGroups; i += Tile::kThreads) {
    const int row = first_row + i / kGroups, column = first_column + i % kGroups * 8;
    if (row >= a.rows || column >= a.layer.out_channels) continue;
    Eight<Element> total;
    if (in_parts) {
      const float* part =
          a.run.partials + static_cast<std::ptrdiff_t>(blockIdx.x) * (Tile::kRows * Tile::kColumns) + i * 8;
      total.load_floats_of_others(part);
      for (int split = 1; split < a.splits; ++split) {
        Eight<Element> other;
        other.load_floats_of_others(part + split * part_stride);
#pragma unroll
        for (int k = 0; k < 8; ++k) total.values[k] += other.values[k];
      }
    } else {
      total.load_floats(sums + i / kGroups * TileMemory<Tile>::kPitch + i % kGroups * 8);
    }
    finish<Element>(a, row, column, total);
  }
}

// Shared memory of a block: the stages, and whether it is the last.
template <typename Tile>
constexpr std::size_t shared_bytes() {
  return TileMemory<Tile>::kBytes + 16;
}

// f(std::type_identity<Tile>) for the tile of an element type that matches.
template <typename Element, typename F>
Status with_warp_tile(const ConvolutionTile& tile, F&& f) {
  if (tile.rows == 128 && tile.columns == 128)
    return f(std::type_identity<WarpTile<Element, 128, 128, 64, 32, 3>>());
  if (tile.rows == 128) return f(std::type_identity<WarpTile<Element, 128, 64, 32, 32, 4>>());
  return f(std::type_identity<WarpTile<Element, 64, 64, 32, 32, 6>>());
}
template <typename Element, typename F>
Status with_warpgroup_tile(const ConvolutionTile& tile, F&& f) {
  if (tile.columns == 256) return f(std::type_identity<WarpgroupTile<Element, 128, 256, 4>>());
  if (tile.columns == 128) return f(std::type_identity<WarpgroupTile<Element, 128, 128, 5>>());
  return f(std::type_identity<WarpgroupTile<Element, 128, 64, 6>>());
}

// Launches the kernel of a tile, or prepares it where `arguments` is null. Each element type's are
// instantiated in files of their own.
template <typename Tile>
Status launch_tile(const ConvolutionArguments* arguments, cudaStream_t stream) {
  if (!arguments) return allow_shared(convolution_kernel<Tile>, shared_bytes<Tile>());
  const ConvolutionArguments& a = *arguments;
  const dim3 grid(blocks_for(a.layer.out_channels, Tile::kColumns) * blocks_for(a.rows, Tile::kRows),
                  static_cast<unsigned>(a.splits));
  return launch(convolution_kernel<Tile>, grid, dim3(Tile::kThreads), shared_bytes<Tile>(), stream, a);
}

template <typename Element>
Status launch_warps(const ConvolutionTile& tile, const ConvolutionArguments* arguments, cudaStream_t stream) {
  return with_warp_tile<Element>(
      tile, [&](auto type) { return launch_tile<typename decltype(type)::type>(arguments, stream); });
}
template <typename Element>
Status launch_warpgroups(const ConvolutionTile& tile, const ConvolutionArguments* arguments,
                         cudaStream_t stream) {
  return with_warpgroup_tile<Element>(
      tile, [&](auto type) { return launch_tile<typename decltype(type)::type>(arguments, stream); });
}

}  // namespace adaface::kernels::cuda
