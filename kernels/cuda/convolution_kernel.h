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
#include "kernels/cuda/last_block.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace adaface::kernels::cuda {

struct ConvolutionArguments {
  Convolution layer;
  ConvolutionRun run;
  int rows;           // outputs' pixels of all images
  int pieces_of_tap;  // pieces of one tap's channels
  int steps, splits;  // of the whole sum; parts of it
  bool cluster;       // that the parts' blocks form
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
  // Products of the step before may still be under way when copies are asked for: its stage is not free yet,
  // that of the step before that is.
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

// Eight channels of one output's pixel: bias, PReLU, residual sum, rounding.
template <typename Element>
class Output {
  using Stored = typename Element::Storage;

 public:
  explicit __device__ Output(const ConvolutionArguments& a) : a_(a) {}

  // Asks for what is added, all of it at once, long before it is wanted where that can be.
  __device__ void prepare(int row, int column) {
    const Convolution& c = a_.layer;
    const ConvolutionRun& run = a_.run;
    const int pixels = c.out_height * c.out_width;
    const int image = row / pixels, pixel = row - image * pixels;
    const int y = pixel / c.out_width, x = pixel - y * c.out_width;
    const int border = c.border_bias ? border_row(c, y * c.stride - c.padding, x * c.stride - c.padding) : 0;
    at_ = static_cast<std::ptrdiff_t>(row) * c.out_channels + column;
    bias_.load_floats(c.bias + border * c.out_channels + column);
    if (c.slope) slope_.load_floats(c.slope + column);
    if (run.residual) {
      const std::ptrdiff_t from =
          (static_cast<std::ptrdiff_t>(image) * run.residual_height + y * run.residual_stride) *
              run.residual_width +
          x * run.residual_stride;
      residual_.load(static_cast<const Stored*>(run.residual) + from * c.out_channels + column);
    }
  }

  __device__ void store(Eight<Element> sums) const {
#pragma unroll
    for (int i = 0; i < 8; ++i) sums.values[i] += bias_.values[i];
    if (a_.layer.slope) {
#pragma unroll
      for (int i = 0; i < 8; ++i)
        sums.values[i] = sums.values[i] < 0 ? sums.values[i] * slope_.values[i] : sums.values[i];
    }
    if (a_.run.residual) {
#pragma unroll
      for (int i = 0; i < 8; ++i) sums.values[i] += residual_.values[i];
    }
    if (a_.run.float_result)
      sums.store_floats(static_cast<float*>(a_.run.dst) + at_);
    else
      sums.store(static_cast<Stored*>(a_.run.dst) + at_);
  }

 private:
  const ConvolutionArguments& a_;
  std::ptrdiff_t at_ = 0;
  Eight<Element> bias_{}, slope_{}, residual_{};
};

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
    }
    if (step + Tile::kAhead < steps) {
      loader.load_weights(stage(step + Tile::kAhead));
      loader.load_source(stage(step + Tile::kAhead));
    }
    loader.advance();
    ptx::commit_copies();
    if constexpr (Tile::kWarpgroups)
      ptx::wait_for_products<1>();
    else
      sums.multiply(now, warp_row, warp_column);
  }
  if constexpr (Tile::kWarpgroups) ptx::wait_for_products<0>();
  ptx::wait_for_copies<0>();
  __syncthreads();
  sums.store(reinterpret_cast<float*>(shared), warp_row, warp_column);
  __syncthreads();
}

// A tile of outputs as the threads of a block walk through it: items of eight channels of a pixel.
template <typename Tile>
struct Items {
  static constexpr int kGroups = Tile::kColumns / 8;  // of a row
  const ConvolutionArguments& a;
  int first_row, first_column;

  // The rows that are pixels.
  __device__ int count() const {
    const int rows = a.rows - first_row;
    return (rows < Tile::kRows ? rows : Tile::kRows) * kGroups;
  }
  __device__ int row(int item) const { return first_row + item / kGroups; }
  __device__ int column(int item) const { return first_column + item % kGroups * 8; }
  __device__ bool is_output(int item) const { return column(item) < a.layer.out_channels; }
  // Among the block's sums.
  __device__ static int place(int item) {
    return item / kGroups * TileMemory<Tile>::kPitch + item % kGroups * 8;
  }
};

// Outputs of a sum in parts that blocks leave in memory, by the last of them.
template <typename Tile>
__device__ void add_up_memory(const Items<Tile>& items, const float* sums, bool* flag) {
  using Element = typename Tile::Element;
  const std::ptrdiff_t tile = Tile::kRows * Tile::kColumns,
                       stride = static_cast<std::ptrdiff_t>(gridDim.x) * tile;
  float* const parts = items.a.run.partials + static_cast<std::ptrdiff_t>(blockIdx.x) * tile;
  float* const mine = parts + static_cast<std::ptrdiff_t>(blockIdx.y) * stride;
  for (int i = static_cast<int>(threadIdx.x); i < items.count(); i += Tile::kThreads) {
    Eight<Tf32> eight;
    eight.load_floats(sums + items.place(i));
    eight.store_floats(mine + i * 8);
  }
  if (!is_last_block(items.a.run.counters + blockIdx.x, gridDim.y, flag)) return;
  for (int i = static_cast<int>(threadIdx.x); i < items.count(); i += Tile::kThreads) {
    if (!items.is_output(i)) continue;
    Output<Element> output(items.a);
    output.prepare(items.row(i), items.column(i));
    Eight<Element> total;
    total.load_floats_of_others(parts + i * 8);
#pragma unroll 4
    for (int split = 1; split < items.a.splits; ++split) {
      Eight<Element> other;
      other.load_floats_of_others(parts + split * stride + i * 8);
#pragma unroll
      for (int k = 0; k < 8; ++k) total.values[k] += other.values[k];
    }
    output.store(total);
  }
}

// Outputs of a sum in parts that lie in a cluster's blocks: a share of the outputs each.
template <typename Tile>
__device__ void add_up_cluster(const Items<Tile>& items, const float* sums) {
  using Element = typename Tile::Element;
  ptx::arrive_at_cluster();
  const int splits = items.a.splits, rank = static_cast<int>(blockIdx.y);
  const int begin = items.count() * rank / splits, end = items.count() * (rank + 1) / splits;
  // All threads of a warp wait together, those without an output as well.
  for (int at = begin; at == begin || at < end; at += Tile::kThreads) {
    const int i = at + static_cast<int>(threadIdx.x);
    const bool is_output = i < end && items.is_output(i);
    Output<Element> output(items.a);
    if (is_output) output.prepare(items.row(i), items.column(i));
    if (at == begin) ptx::wait_for_cluster();
    if (!is_output) continue;
    Eight<Element> total{};
    // Each begins with its own part: if all read the same block's they would wait for one another.
#pragma unroll 4
    for (int i_split = 0; i_split < splits; ++i_split) {
      const int split = rank + i_split < splits ? rank + i_split : rank + i_split - splits;
      Eight<Element> other;
      other.load_floats_of_block(sums + items.place(i), split);
#pragma unroll
      for (int k = 0; k < 8; ++k) total.values[k] += other.values[k];
    }
    output.store(total);
  }
  // A block's sums are there until all have read them.
  ptx::arrive_at_cluster_for_leaving();
  ptx::wait_for_cluster();
}

// Shared memory of a block: the stages, and whether it is the last.
template <typename Tile>
constexpr std::size_t shared_bytes() {
  return TileMemory<Tile>::kBytes + 16;
}

// Two blocks of up to 100 KiB share the registers of a multiprocessor, too.
template <typename Tile>
__global__ void __launch_bounds__(Tile::kThreads, shared_bytes<Tile>() <= (100 << 10) ? 2 : 1)
    convolution_kernel(const __grid_constant__ ConvolutionArguments a) {
  using Element = typename Tile::Element;
  std::byte* shared = ptx::dynamic_shared();
  // Columns vary fastest, so that blocks that run at the same time read the same pixels.
  const int across = (a.layer.out_channels + Tile::kColumns - 1) / Tile::kColumns;
  const Items<Tile> items{a, static_cast<int>(blockIdx.x) / across * Tile::kRows,
                          static_cast<int>(blockIdx.x) % across * Tile::kColumns};
  sum_up<Tile>(a, items.first_row, items.first_column, shared);
  const auto* sums = reinterpret_cast<const float*>(shared);
  if (a.cluster) return add_up_cluster<Tile>(items, sums);
  if (a.splits > 1)
    return add_up_memory<Tile>(items, sums, reinterpret_cast<bool*>(shared + TileMemory<Tile>::kBytes));
  for (int i = static_cast<int>(threadIdx.x); i < items.count(); i += Tile::kThreads) {
    if (!items.is_output(i)) continue;
    Output<Element> output(a);
    output.prepare(items.row(i), items.column(i));
    Eight<Element> total;
    total.load_floats(sums + items.place(i));
    output.store(total);
  }
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
  if (tile.columns == 64) return f(std::type_identity<WarpgroupTile<Element, 128, 64, 4>>());
  if (tile.stages == 3) return f(std::type_identity<WarpgroupTile<Element, 128, 128, 3>>());
  return f(std::type_identity<WarpgroupTile<Element, 128, 128, 5>>());
}

// What is done with the kernel of a tile.
struct TileCall {
  const ConvolutionArguments* arguments = nullptr;  // launch it; null: prepare it
  cudaStream_t stream = nullptr;
  int splits = 0;
  int* clusters = nullptr;  // not null: instead, how many of `splits` blocks there can be at once
};

// Each element type's kernels are instantiated in files of their own.
template <typename Tile>
Status with_kernel(const TileCall& call) {
  if (call.clusters)
    return count_clusters(call.splits, convolution_kernel<Tile>, dim3(Tile::kThreads), shared_bytes<Tile>(),
                          call.clusters);
  if (!call.arguments) return prepare_kernel(convolution_kernel<Tile>, shared_bytes<Tile>());
  const ConvolutionArguments& a = *call.arguments;
  const dim3 grid(blocks_for(a.layer.out_channels, Tile::kColumns) * blocks_for(a.rows, Tile::kRows),
                  static_cast<unsigned>(a.splits));
  return launch_clusters(a.cluster ? grid.y : 1, convolution_kernel<Tile>, grid, dim3(Tile::kThreads),
                         shared_bytes<Tile>(), call.stream, a);
}

template <typename Element>
Status with_warp_kernel(const ConvolutionTile& tile, const TileCall& call) {
  return with_warp_tile<Element>(tile,
                                 [&](auto type) { return with_kernel<typename decltype(type)::type>(call); });
}
template <typename Element>
Status with_warpgroup_kernel(const ConvolutionTile& tile, const TileCall& call) {
  return with_warpgroup_tile<Element>(
      tile, [&](auto type) { return with_kernel<typename decltype(type)::type>(call); });
}

}  // namespace adaface::kernels::cuda
