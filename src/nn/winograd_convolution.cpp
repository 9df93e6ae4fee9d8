#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/kernels.h"
#include "src/error.hpp"
#include "src/nn/arena.h"
#include "src/nn/blocks.h"
#include "src/nn/convolution.h"
#include "src/nn/thread_pool.h"

namespace adaface::nn {
namespace {

using kernels::WinogradAxis;
using kernels::WinogradGrid;
using kernels::WinogradKernels;
using kernels::WinogradType;

// Transformed inputs that are worked on together: they are read once for each panel of outputs, so they
// should stay in a second-level cache.
constexpr std::size_t kMostInputBytes = std::size_t{1} << 20;

constexpr float kMostHalf = 65504;

WinogradAxis divide(int outputs, WinogradTiles tiles) {
  const int rest = outputs % 4;
  if (tiles == WinogradTiles::two) return {0, divide_up(outputs, 2)};
  // Three outputs cost less in one tile of 4 than in two of 2.
  if (tiles == WinogradTiles::four || rest == 3) return {divide_up(outputs, 4), 0};
  return {outputs / 4, divide_up(rest, 2)};
}

class WinogradConvolution final : public Convolution {
 public:
  WinogradConvolution(const ConvolutionProblem& problem, const WinogradKernels& kernels, WinogradTiles tiles);

  std::string implementation() const override { return name_; }
  double executed_multiply_adds() const override;
  // Reserved, but not touched before a run keeps what it has transformed.
  std::size_t packed_bytes() const override { return keeps_ ? index(panels_) * panel_bytes_ : 0; }
  double weight_bytes() const override {
    return keeps_ ? static_cast<double>(panel_bytes_) * panels_
                  : 9.0 * in_.channels * out_.channels * sizeof(float);
  }
  int pack_tasks() const override { return in_place() ? 0 : panels_; }
  std::size_t plain_floats() const override {
    return in_place() ? 0 : index(kernels_.panel) * index(in_.channels) * 9;
  }
  void pack(int task, const ConvolutionWeights& weights, float* plain, std::byte* packed) const override;
  std::size_t scratch_bytes(int threads) const override;
  int keep_tasks() const override { return in_place() && keeps_ ? panels_ : 0; }
  void keep(int task, std::byte* packed) const override;
  std::unique_ptr<Bound> bind(std::byte* packed, const float* src, float* dst,
                              std::byte* scratch) const override;

 private:
  class BoundWinograd;

  void transform_panel(int panel, bool keep, std::byte* dst) const;
  void publish_panel(int panel) const;

  // Rows of tiles [first, first + count): those of 4 outputs come first.
  WinogradGrid band(int first, int count) const;
  int tile_rows() const { return grid_.rows.four + grid_.rows.two; }
  std::size_t input_bytes(const WinogradGrid& grid) const;
  std::size_t product_bytes(const WinogradGrid& grid) const;
  std::size_t row_bytes() const {
    return align_up(kernels::winograd_scratch(in_.width, kernels_.block) * sizeof(float));
  }
  // A thread's own part of the scratch: products, rows, and a transformed panel.
  std::size_t own_bytes() const {
    return product_bytes(largest_band_) + row_bytes() + (in_place() ? panel_bytes_ : 0);
  }
  bool in_place() const { return rows_ != nullptr; }

  const WinogradKernels& kernels_;
  Extent in_, out_;
  WinogradGrid grid_;
  bool bf16_, add_;
  WinogradType type_;
  std::string name_;
  int in_blocks_, out_blocks_, panels_;
  std::size_t panel_bytes_;
  int band_rows_;  // rows of tiles that are worked on together
  WinogradGrid largest_band_;
  std::vector<float> bias_, slope_, scale_, shift_;  // padded to whole blocks
  const float* rows_;  // the weights in their file, or null: packed when planned
  std::vector<float> row_scale_;
  bool keeps_;  // packed weights are kept
  int keep_after_;
  // Of each panel: how often it was transformed for a run, or one of these.
  static constexpr int kBeingKept = -1, kKept = -2;
  mutable std::vector<std::atomic<int>> panel_states_;
  mutable std::atomic<int> panels_to_keep_;
  std::function<void()> release_;
};

WinogradConvolution::WinogradConvolution(const ConvolutionProblem& problem, const WinogradKernels& kernels,
                                         WinogradTiles tiles)
    : kernels_(kernels),
      in_(problem.in),
      out_(problem.out),
      grid_{.rows = divide(out_.height, tiles), .columns = divide(out_.width, tiles)},
      bf16_(problem.precision == Precision::bf16),
      add_(problem.layer.residual >= 0),
      type_(bf16_                  ? WinogradType::bf16
            : problem.half_weights ? WinogradType::f16
                                   : WinogradType::f32),
      in_blocks_(divide_up(in_.channels, kernels.block)),
      out_blocks_(divide_up(out_.channels, kernels.block)),
      panels_(divide_up(out_.channels, kernels.panel)),
      rows_(problem.half_weights ? nullptr : problem.layer.weights.rows),
      row_scale_(problem.layer.weights.row_scale),
      keeps_(!rows_ || problem.kind == PlanKind::fast),
      keep_after_(problem.keep_after),
      panel_states_(index(panels_)),
      panels_to_keep_(panels_),
      release_(problem.layer.weights.release) {
  if (grid_.rows.four == 0) grid_.row_points = 4;
  if (grid_.columns.four == 0) grid_.column_points = 4;
  const bool four = grid_.rows.four > 0 && grid_.columns.four > 0;
  const bool two = grid_.rows.two > 0 || grid_.columns.two > 0;
  name_ = std::string("winograd ") +
          (four && two ? "4+2"
           : four      ? "4"
                       : "2") +
          (bf16_                  ? " bf16"
           : problem.half_weights ? " f16 weights"
                                  : "");
  panel_bytes_ = index(kernels::winograd_positions(grid_)) *
                 kernels::winograd_position_bytes(in_blocks_, kernels.block, kernels.panel, type_);
  const Layer& layer = problem.layer;
  bias_ = padded(layer.weights.bias, panels_ * kernels.panel);
  slope_ = padded(layer.weights.slope, panels_ * kernels.panel);
  scale_ = padded(layer.scale, in_blocks_ * kernels.block);
  shift_ = padded(layer.shift, in_blocks_ * kernels.block);

  const int by_size = static_cast<int>(kMostInputBytes / input_bytes(band(0, 1)));
  const int bands = divide_up(tile_rows(), std::clamp(by_size, 1, tile_rows()));
  band_rows_ = divide_up(tile_rows(), bands);
  largest_band_ = band(0, band_rows_);
  keep_after_ *= divide_up(tile_rows(), band_rows_);  // a run transforms a panel once for each band
}

WinogradGrid WinogradConvolution::band(int first, int count) const {
  WinogradGrid result = grid_;
  const int four = grid_.rows.four;
  result.rows.four = std::clamp(four - first, 0, count);
  result.rows.two = count - result.rows.four;
  result.first_row = first <= four ? 4 * first : 4 * four + 2 * (first - four);
  return result;
}

std::size_t WinogradConvolution::input_bytes(const WinogradGrid& grid) const {
  return align_up(index(kernels::winograd_positions(grid)) * index(kernels::winograd_tiles(grid)) *
                  index(in_blocks_ * kernels_.block) * (bf16_ ? 2 : 4));
}

std::size_t WinogradConvolution::product_bytes(const WinogradGrid& grid) const {
  return align_up(index(kernels::winograd_positions(grid)) * index(kernels::winograd_tiles(grid)) *
                  index(kernels_.panel) * sizeof(float));
}

double WinogradConvolution::executed_multiply_adds() const {
  double tiles = 0;
  for (int i = 0; i < grid_.row_points; ++i)
    for (int j = 0; j < grid_.column_points; ++j) {
      const auto range = kernels::winograd_range(grid_, kernels::winograd_point(grid_.row_points, i),
                                                 kernels::winograd_point(grid_.column_points, j));
      tiles += range.end - range.begin;
    }
  return tiles * (in_blocks_ * kernels_.block) * (panels_ * kernels_.panel);
}

void WinogradConvolution::pack(int task, const ConvolutionWeights& weights, float* plain,
                               std::byte* packed) const {
  const int first = task * kernels_.panel, rows = std::min(kernels_.panel, out_.channels - first);
  weights.fill(first, rows, plain);
  if (type_ == WinogradType::f16) {
    // No row of the transform's matrix adds up to more than 1 in magnitude: transformed weights are not
    // larger.
    const std::size_t count = index(rows) * index(in_.channels) * 9;
    if (std::any_of(plain, plain + count, [](float value) { return !(std::abs(value) <= kMostHalf); }))
      throw Error(ErrorCode::unsupported, "a weight passes 65504, which 16 bits cannot hold");
  }
  kernels_.weights(grid_, plain, nullptr, rows, in_.channels, in_blocks_, type_, true,
                   packed + index(task) * panel_bytes_);
}

void WinogradConvolution::transform_panel(int panel, bool keep, std::byte* dst) const {
  const int first = panel * kernels_.panel, rows = std::min(kernels_.panel, out_.channels - first);
  kernels_.weights(grid_, rows_ + index(first) * index(in_.channels) * 9, row_scale_.data() + first, rows,
                   in_.channels, in_blocks_, type_, keep, dst);
}

// To sessions on all threads; once all are there, the file's own pages are not needed.
void WinogradConvolution::publish_panel(int panel) const {
  panel_states_[index(panel)].store(kKept, std::memory_order_release);
  if (--panels_to_keep_ == 0 && release_) release_();
}

void WinogradConvolution::keep(int task, std::byte* packed) const {
  std::atomic<int>& state = panel_states_[index(task)];
  int seen = state.load(std::memory_order_relaxed);
  while (seen >= 0)
    if (state.compare_exchange_weak(seen, kBeingKept, std::memory_order_relaxed)) {
      transform_panel(task, true, packed + index(task) * panel_bytes_);
      return publish_panel(task);
    }
}

std::size_t WinogradConvolution::scratch_bytes(int threads) const {
  return index(threads) * (input_bytes(largest_band_) + own_bytes());
}

class WinogradConvolution::BoundWinograd final : public Bound {
 public:
  BoundWinograd(const WinogradConvolution& convolution, std::byte* packed, const float* src, float* dst,
                std::byte* scratch)
      : c_(convolution), packed_(packed), src_(src), dst_(dst), scratch_(scratch) {}

  void run(ThreadPool* pool, bool) override {
    const int bands = divide_up(c_.tile_rows(), c_.band_rows_), threads = pool ? pool->threads() : 1;
    if (threads == 1) {
      for (int b = 0; b < bands; ++b) run_band(b, 0);
    } else if (bands >= 2 * threads) {
      pool->run(bands, [&](int b, int worker) { run_band(b, worker); });
    } else {
      for (int b = 0; b < bands; ++b) share_band(b, *pool);
    }
  }

 private:
  WinogradGrid band(int b) const {
    const int first = b * c_.band_rows_;
    return c_.band(first, std::min(c_.band_rows_, c_.tile_rows() - first));
  }

  // On the calling thread alone.
  void run_band(int b, int worker) const {
    const WinogradGrid grid = band(b);
    std::byte* own = scratch_ + index(worker) * (c_.input_bytes(c_.largest_band_) + c_.own_bytes());
    std::byte* v = own + c_.own_bytes();
    for (int block = 0; block < c_.in_blocks_; ++block) transform(grid, block, v, own);
    for (int panel = 0; panel < c_.panels_; ++panel) multiply(grid, panel, v, own);
  }

  // The inputs' channels, then the outputs' are divided among the threads.
  void share_band(int b, ThreadPool& pool) const {
    const WinogradGrid grid = band(b);
    std::byte* v = scratch_;
    const auto own = [&](int worker) {
      return v + c_.input_bytes(c_.largest_band_) + index(worker) * c_.own_bytes();
    };
    pool.run(c_.in_blocks_, [&](int block, int worker) { transform(grid, block, v, own(worker)); });
    pool.run(c_.panels_, [&](int panel, int worker) { multiply(grid, panel, v, own(worker)); });
  }

  // Of a thread's own part of the scratch.
  static float* products(std::byte* own) { return reinterpret_cast<float*>(own); }
  float* rows(std::byte* own) const {
    return reinterpret_cast<float*>(own + c_.product_bytes(c_.largest_band_));
  }
  std::byte* panel_of(std::byte* own) const {
    return own + c_.product_bytes(c_.largest_band_) + c_.row_bytes();
  }

  void transform(const WinogradGrid& grid, int block, std::byte* v, std::byte* own) const {
    const int lanes = c_.kernels_.block;
    const float* src = src_ + index(block) * index(c_.in_.height * c_.in_.width) * index(lanes);
    const kernels::WinogradInput shape{
        .grid = grid,
        .height = c_.in_.height,
        .width = c_.in_.width,
        .in_blocks = c_.in_blocks_,
        .block = lanes,
        .images = 1,
        .image = 0,
        .channel_block = block,
        .scale = c_.scale_.empty() ? nullptr : c_.scale_.data() + block * lanes,
        .shift = c_.scale_.empty() ? nullptr : c_.shift_.data() + block * lanes};
    if (c_.bf16_)
      c_.kernels_.input_bf16(shape, src, reinterpret_cast<std::uint16_t*>(v), rows(own));
    else
      c_.kernels_.input(shape, src, reinterpret_cast<float*>(v), rows(own));
  }

  // Transformed weights of a panel. A plan's first runs transform them as they need them, which is all that a
  // single photograph pays for; later ones keep what they transform. Both are the same numbers.
  const std::byte* weights(int panel, std::byte* own) const {
    std::byte* kept = c_.keeps_ ? packed_ + index(panel) * c_.panel_bytes_ : nullptr;
    if (!c_.in_place()) return kept;
    std::atomic<int>& state = c_.panel_states_[index(panel)];
    int seen = state.load(std::memory_order_acquire);
    if (seen == kKept) return kept;
    bool keep = false;
    if (kept && seen >= 0) {
      const bool due = seen >= c_.keep_after_;
      // Another session may have been faster: then this one transforms for itself.
      const bool changed =
          state.compare_exchange_strong(seen, due ? kBeingKept : seen + 1, std::memory_order_relaxed);
      keep = due && changed;
    }
    std::byte* to = keep ? kept : panel_of(own);
    c_.transform_panel(panel, keep, to);
    if (keep) c_.publish_panel(panel);
    return to;
  }

  void multiply(const WinogradGrid& grid, int panel, const std::byte* v, std::byte* own) const {
    const WinogradKernels& k = c_.kernels_;
    const std::byte* u = weights(panel, own);
    float* m = products(own);
    if (c_.bf16_)
      k.multiply_bf16(grid, 1, c_.in_blocks_, u, reinterpret_cast<const std::uint16_t*>(v), m);
    else
      k.multiply(grid, 1, c_.in_blocks_, c_.type_, u, reinterpret_cast<const float*>(v), m);
    const std::size_t products =
        index(kernels::winograd_positions(grid)) * index(kernels::winograd_tiles(grid)) * index(k.block);
    const int first = panel * (k.panel / k.block), last = std::min(c_.out_blocks_, first + k.panel / k.block);
    for (int block = first; block < last; ++block, m += products)
      k.output({.grid = grid,
                .height = c_.out_.height,
                .width = c_.out_.width,
                .block = k.block,
                .images = 1,
                .image = 0,
                .bias = c_.bias_.data() + block * k.block,
                .slope = c_.slope_.empty() ? nullptr : c_.slope_.data() + block * k.block,
                .add = c_.add_},
               m, dst_ + index(block) * index(c_.out_.height * c_.out_.width) * index(k.block));
  }

  const WinogradConvolution& c_;
  std::byte* packed_;
  const float* src_;
  float* dst_;
  std::byte* scratch_;
};

std::unique_ptr<Convolution::Bound> WinogradConvolution::bind(std::byte* packed, const float* src, float* dst,
                                                              std::byte* scratch) const {
  return std::make_unique<BoundWinograd>(*this, packed, src, dst, scratch);
}

}  // namespace

std::unique_ptr<Convolution> make_winograd_convolution(const ConvolutionProblem& problem,
                                                       WinogradTiles tiles) {
  const Layer& layer = problem.layer;
  if (layer.kernel != 3 || layer.stride != 1 || layer.padding != 1 || problem.planar) return nullptr;
  const WinogradKernels* kernels = kernels::winograd(problem.block);
  if (!kernels || (problem.precision == Precision::bf16 && !kernels->multiply_bf16)) return nullptr;
  return std::make_unique<WinogradConvolution>(problem, *kernels, tiles);
}

}  // namespace adaface::nn
