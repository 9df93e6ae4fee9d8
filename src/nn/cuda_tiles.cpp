#include "src/nn/cuda_tiles.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "src/nn/blocks.h"

namespace adaface::nn::cuda {
namespace {

using kernels::cuda::Convolution;
using kernels::cuda::ConvolutionTile;

// Sums are split only where all blocks have a place at the same time: so many for each multiprocessor.
constexpr int kSplitBlocks = 2;
constexpr int kMostSplits = 32;

// In cycles of a multiprocessor. A step costs its products at the rate that the kind of products reaches, and
// no less than it takes to begin one; a block costs its first copies and its epilogue.
constexpr double kWarpRate = 1100, kWarpgroupRate = 1500;  // multiply-adds of 16 bits a cycle
constexpr double kLeastStep = 250;
constexpr double kBlock = 2500, kOutput = 0.15;   // a block; an output of it
constexpr double kSplit = 1500, kPartial = 0.05;  // parts: another trip to memory; an output of each part

double estimate(const Convolution& c, const ConvolutionTile& tile, long long rows,
                const DeviceLimits& limits) {
  const long long tiles = (rows + tile.rows - 1) / tile.rows * divide_up(c.out_channels, tile.columns);
  const long long blocks = tiles * tile.splits;
  const double steps = static_cast<double>(c.row_bytes()) / kernels::cuda::kDepthBytes / tile.splits;
  // A step is as many bytes in either storage: half as many products of float32, at half the rate.
  const double products = static_cast<double>(tile.rows) * tile.columns * kernels::cuda::kDepthBytes / 2;
  const double step = std::max(kLeastStep, products / (tile.warpgroups ? kWarpgroupRate : kWarpRate));
  const double outputs = static_cast<double>(tile.rows) * tile.columns;
  double block = kBlock + steps * step + outputs * kOutput;
  if (tile.splits > 1) block += kSplit + outputs * kPartial * (1 + tile.splits);
  // Whole rounds over the multiprocessors; blocks that share one hide each other's latency, not their
  // products.
  const auto rounds = static_cast<double>((blocks + limits.multiprocessors - 1) / limits.multiprocessors);
  return rounds * block;
}

}  // namespace

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
  for (const Convolution* c : shapes)
    for (int count = 1; count <= images; ++count) {
      const ConvolutionTile tile = choose_tile(*c, count, limits);
      sizes.floats = std::max(sizes.floats, kernels::cuda::partial_floats(*c, tile, count));
      sizes.counters = std::max(sizes.counters, kernels::cuda::counter_count(*c, tile, count));
    }
  return sizes;
}

ConvolutionTile choose_tile(const Convolution& convolution, int images, const DeviceLimits& limits) {
  const long long rows = static_cast<long long>(images) * convolution.out_height * convolution.out_width;
  const int steps = convolution.row_bytes() / kernels::cuda::kDepthBytes;
  const bool warpgroups = limits.compute_major == 9 && limits.compute_minor == 0;
  ConvolutionTile best{};
  double least = std::numeric_limits<double>::infinity();
  for (ConvolutionTile tile : kernels::cuda::kTiles) {
    if (tile.warpgroups && !warpgroups) continue;
    const long long tiles =
        (rows + tile.rows - 1) / tile.rows * divide_up(convolution.out_channels, tile.columns);
    for (tile.splits = 1; tile.splits <= std::min(steps, kMostSplits); ++tile.splits) {
      if (tile.splits > 1 &&
          tiles * tile.splits > static_cast<long long>(kSplitBlocks) * limits.multiprocessors)
        break;
      const double time = estimate(convolution, tile, rows, limits);
      if (time < least) least = time, best = tile;
    }
  }
  return best;
}

}  // namespace adaface::nn::cuda
