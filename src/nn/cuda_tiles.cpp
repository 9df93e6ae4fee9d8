#include "src/nn/cuda_tiles.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "src/nn/blocks.h"

namespace adaface::nn::cuda {
namespace {

using kernels::cuda::Convolution;
using kernels::cuda::ConvolutionTile;

constexpr int kMostSplits = 32;

// In cycles of a multiprocessor. A step takes as long as its products at the rate that their kind reaches,
// what passes through shared memory, or what comes from the second-level cache, whichever is longest, and no
// less than it takes to begin one; a block costs its first copies and its epilogue besides.
constexpr double kWarpRate = 1100, kWarpgroupRate = 1900;  // multiply-adds of 16 bits a cycle
constexpr double kSharedRate = 128;                        // bytes a cycle
constexpr double kCacheRate = 32, kMostCacheRate = 64;     // where all multiprocessors read; where few do
constexpr double kTapMisses = 0.25;  // of a pixel's reads by the taps of 3x3, what the first level has not
constexpr double kLeastStep = 350;
constexpr double kBlock = 2500, kOutput = 0.15;   // a block; an output of it
constexpr double kSplit = 1500, kPartial = 0.05;  // parts: another trip to memory; an output of each part
constexpr double kCluster = 900, kShare = 0.15;   // in a cluster: its barriers; an output of the tile

bool can_multiply(const ConvolutionTile& tile, const DeviceLimits& limits) {
  return !tile.warpgroups ||
         kernels::cuda::has_warpgroup_products(limits.compute_major, limits.compute_minor);
}

// Of products by warps. The multiprocessors of devices for pictures and games have half of the tensor cores
// of those for computing, or less.
double warp_rate(const DeviceLimits& limits) {
  if (limits.compute_major >= 9 && limits.compute_major <= 10) return kWarpRate;
  return limits.compute_major == 8 && limits.compute_minor == 0 ? kWarpRate * 0.8 : kWarpRate * 0.4;
}

// Bytes of a step that are written to shared memory, and read by the warps or warpgroups that share it.
double shared_traffic(const ConvolutionTile& tile) {
  double rows_and_columns = tile.rows + tile.columns;
  if (tile.warpgroups)
    rows_and_columns += tile.rows / 64.0 * (64 + tile.columns);
  else if (tile.rows == 128 && tile.columns == 128)
    rows_and_columns += 8 * (64 + 32);
  else
    rows_and_columns += tile.rows * tile.columns / 1024.0 * (32 + 32);
  return rows_and_columns * kernels::cuda::kDepthBytes;
}

}  // namespace

double estimate(const Convolution& c, const ConvolutionTile& tile, int images, const DeviceLimits& limits) {
  const long long rows = static_cast<long long>(images) * c.out_height * c.out_width;
  const long long tiles = (rows + tile.rows - 1) / tile.rows * divide_up(c.out_channels, tile.columns);
  const long long blocks = tiles * tile.splits;
  const double steps = static_cast<double>(c.row_bytes()) / kernels::cuda::kDepthBytes / tile.splits;
  const double outputs = static_cast<double>(tile.rows) * tile.columns;
  // A step is as many bytes in either storage: half as many products of float32, at half the rate.
  const double products = outputs * kernels::cuda::kDepthBytes / 2;
  const double pixels = c.is_sliced() && c.kernel == 3 ? tile.rows * kTapMisses : tile.rows;
  const double busy = std::min(1.0, static_cast<double>(blocks) / limits.multiprocessors);
  const double step = std::max(
      {kLeastStep, products / (tile.warpgroups ? kWarpgroupRate : warp_rate(limits)),
       shared_traffic(tile) / kSharedRate,
       (pixels + tile.columns) * kernels::cuda::kDepthBytes / std::min(kMostCacheRate, kCacheRate / busy)});
  double around = kBlock;
  if (tile.cluster)
    around += kCluster + outputs * (kShare + kOutput / tile.splits);
  else
    around += outputs * kOutput + (tile.splits > 1 ? kSplit + outputs * kPartial * (1 + tile.splits) : 0);
  // Whole rounds over the multiprocessors; blocks that share one hide what is around each other's steps.
  const int places = usable_multiprocessors(tile, limits);
  const auto rounds = static_cast<int>((blocks + places - 1) / places);
  return rounds * steps * step + divide_up(rounds, blocks_together(tile, limits)) * around;
}

DeviceLimits prepare_device(int device, kernels::cuda::Storage storage) {
  const DeviceScope scope(device);
  check(kernels::cuda::prepare_convolutions(storage), "preparing the convolutions");
  DeviceLimits found = limits(device);
  if (!kernels::cuda::has_clusters(found.compute_major)) return found;
  for (ConvolutionTile tile : kernels::cuda::kTiles) {
    if (!can_multiply(tile, found)) continue;
    int* const clusters = found.clusters[blocks_together(tile, found) - 1];
    for (tile.splits = 2; tile.splits <= kernels::cuda::kMostInCluster; ++tile.splits)
      if (clusters[tile.splits] == 0)
        check(kernels::cuda::count_clusters(storage, tile, clusters + tile.splits), "asking for clusters");
  }
  return found;
}

int usable_multiprocessors(const ConvolutionTile& tile, const DeviceLimits& limits) {
  if (!tile.cluster) return limits.multiprocessors;
  const int together = blocks_together(tile, limits);
  return std::max(limits.clusters[together - 1][tile.splits] * tile.splits / together, 1);
}

int blocks_together(const ConvolutionTile& tile, const DeviceLimits& limits) {
  constexpr std::size_t kOfSystem = 1024;  // for each block
  return static_cast<int>(
      std::clamp<std::size_t>(limits.shared_bytes / (kernels::cuda::shared_bytes(tile) + kOfSystem), 1, 2));
}

PartialSizes partial_sizes(std::span<const Step> steps, int images, const DeviceLimits& limits) {
  PartialSizes sizes;
  std::vector<const Convolution*> shapes;
  for (const Step& step : steps) {
    const Convolution& c = step.convolution;
    const bool is_known = std::ranges::any_of(shapes, [&](const Convolution* other) {
      return other->out_height == c.out_height && other->out_width == c.out_width &&
             other->out_channels == c.out_channels && other->row_bytes() == c.row_bytes();
    });
    if (step.kind == LayerKind::convolution && !is_known) shapes.push_back(&c);
  }
  for (const Step& step : steps)
    for (int count = 1; step.kind == LayerKind::squeeze_excite && count <= images; ++count) {
      sizes.floats = std::max(sizes.floats, step.squeeze(count).partial_floats());
      sizes.counters = std::max(sizes.counters, index(count));
    }
  for (const Convolution* c : shapes)
    for (int count = 1; count <= images; ++count) {
      const ConvolutionTile tile = choose_tile(*c, count, limits);
      sizes.floats = std::max(sizes.floats, kernels::cuda::partial_floats(*c, tile, count));
      sizes.counters = std::max(sizes.counters, kernels::cuda::counter_count(*c, tile, count));
    }
  return sizes;
}

bool can_use(const Convolution& convolution, const ConvolutionTile& tile, int images,
             const DeviceLimits& limits) {
  if (!can_multiply(tile, limits)) return false;
  if (tile.cluster && (!kernels::cuda::has_clusters(limits.compute_major) || tile.splits == 1 ||
                       tile.splits > kernels::cuda::kMostInCluster ||
                       limits.clusters[blocks_together(tile, limits) - 1][tile.splits] == 0))
    return false;
  if (tile.splits == 1) return true;
  const long long rows = static_cast<long long>(images) * convolution.out_height * convolution.out_width;
  const long long tiles =
      (rows + tile.rows - 1) / tile.rows * divide_up(convolution.out_channels, tile.columns);
  return tile.splits <= std::min(convolution.row_bytes() / kernels::cuda::kDepthBytes, kMostSplits) &&
         tiles * tile.splits <=
             static_cast<long long>(blocks_together(tile, limits)) * usable_multiprocessors(tile, limits);
}

ConvolutionTile choose_tile(const Convolution& convolution, int images, const DeviceLimits& limits) {
  ConvolutionTile best{};
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](const ConvolutionTile& tile) {
    const double time = estimate(convolution, tile, images, limits);
    if (time < least) least = time, best = tile;
  };
  for (ConvolutionTile tile : kernels::cuda::kTiles)
    for (tile.splits = 1; can_use(convolution, tile, images, limits); ++tile.splits) {
      consider(tile);
      ConvolutionTile in_cluster = tile;
      in_cluster.cluster = true;
      if (can_use(convolution, in_cluster, images, limits)) consider(in_cluster);
    }
  return best;
}

}  // namespace adaface::nn::cuda
