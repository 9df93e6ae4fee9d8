#include "bench/cuda/layers.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "src/error.hpp"
#include "src/nn/cuda_tiles.h"

namespace adaface::bench {
namespace {

using kernels::cuda::Convolution;
using kernels::cuda::ConvolutionRun;
using kernels::cuda::ConvolutionTile;
using nn::cuda::DeviceMemory;
using nn::cuda::Graph;
using nn::cuda::Step;
using nn::cuda::Stream;

constexpr int kSplits[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32};
// What one measured graph of launches should take at least, and may take at most.
constexpr double kLeastMs = 1, kMostMs = 20;
constexpr int kMostLaunches = 1024;

std::size_t size(long long value) {
  return static_cast<std::size_t>(value);
}

// Layers that differ in their weights alone.
struct Kind {
  const Step* step;  // the first of them
  int count = 1;
};

bool same_kind(const Step& a, const Step& b) {
  const Convolution &c = a.convolution, &d = b.convolution;
  return a.kind == b.kind && a.in == b.in && a.out == b.out && c.kernel == d.kernel && c.stride == d.stride &&
         c.border_bias == d.border_bias && (c.slope != nullptr) == (d.slope != nullptr) &&
         (a.residual_slot >= 0) == (b.residual_slot >= 0) && a.residual_stride == b.residual_stride &&
         a.last == b.last;
}

std::vector<Kind> kinds_of(const nn::cuda::Plan& plan, const std::string& matching) {
  std::vector<Kind> kinds;
  for (const Step& step : plan.steps()) {
    if (step.kind != nn::LayerKind::convolution || step.name.find(matching) == std::string::npos) continue;
    const auto known =
        std::ranges::find_if(kinds, [&](const Kind& kind) { return same_kind(*kind.step, step); });
    if (known == kinds.end())
      kinds.push_back({.step = &step});
    else
      ++known->count;
  }
  return kinds;
}

std::string text(const Step& step) {
  const Convolution& c = step.convolution;
  return std::to_string(step.in.channels) + "x" + std::to_string(c.height) + "x" + std::to_string(c.width) +
         " -> " + std::to_string(c.out_channels) + " k" + std::to_string(c.kernel) + " s" +
         std::to_string(c.stride);
}

std::string text(const ConvolutionTile& tile) {
  return std::to_string(tile.rows) + "x" + std::to_string(tile.columns) + (tile.warpgroups ? "w" : "") + "." +
         std::to_string(tile.stages) + (tile.splits > 1 ? "/" + std::to_string(tile.splits) : "") +
         (tile.cluster ? "c" : "");
}

// One kind of layer with its data: random activations, and random weights of which every launch reads
// others, as many as no cache holds, since a network comes back to a layer's only after all others.
class Subject {
 public:
  Subject(Stream& stream, const Step& step, int images, const DeviceFacts& facts,
          const nn::cuda::DeviceLimits& limits)
      : stream_(stream), step_(step), c_(step.convolution), images_(images), limits_(limits) {
    const std::size_t element = size(kernels::cuda::bytes_of(c_.storage));
    weight_bytes_ = size(c_.weight_rows()) * size(c_.row_bytes());
    const std::size_t read = size(c_.out_channels) * size(c_.row_bytes());
    places_ = static_cast<int>(std::clamp<std::size_t>(3 * facts.l2_bytes / 2 / read + 1, 1, kMostLaunches));
    weights_ = random_numbers(stream, c_.storage, weight_bytes_ * size(places_), "weights");
    src_ = random_numbers(stream, c_.storage, pixels(c_.height, c_.width) * size(c_.channels) * element,
                          "activations");
    const std::size_t outputs = pixels(c_.out_height, c_.out_width) * size(c_.out_channels);
    dst_ = DeviceMemory(outputs * (step.last ? sizeof(float) : element), "activations");
    if (step.residual_slot >= 0)
      residual_ = random_numbers(
          stream, c_.storage,
          pixels(step.residual.height, step.residual.width) * size(c_.out_channels) * element, "activations");
    std::size_t floats = 0, counters = 0;
    for (const ConvolutionTile& tile : allowed_tiles()) {
      floats = std::max(floats, partial_floats(c_, tile, images));
      counters = std::max(counters, counter_count(c_, tile, images));
    }
    partials_ = DeviceMemory(floats * sizeof(float), "sums in parts");
    counters_ = DeviceMemory(counters * sizeof(unsigned), "sums in parts");
    stream.clear(counters_.data(), counters_.bytes());
    bias_ = random_numbers(stream, kernels::cuda::Storage::f32, 9 * size(c_.out_channels) * sizeof(float),
                           "bias");
    c_.bias = bias_.as<float>();
    if (c_.slope) c_.slope = bias_.as<float>();
  }

  // The one that a plan chooses first.
  std::vector<ConvolutionTile> allowed_tiles() const {
    std::vector<ConvolutionTile> tiles = {choose_tile(c_, images_, limits_)};
    for (ConvolutionTile tile : kernels::cuda::kTiles)
      for (const int splits : kSplits)
        for (const bool cluster : {false, true}) {
          tile.splits = splits;
          tile.cluster = cluster;
          if (tile != tiles.front() && allows(tile)) tiles.push_back(tile);
        }
    return tiles;
  }

  void enqueue(const ConvolutionTile& tile) {
    c_.weights = next_weights();
    const ConvolutionRun run{.images = images_,
                             .src = src_.data(),
                             .residual = residual_.data(),
                             .residual_stride = step_.residual_stride,
                             .residual_height = step_.residual.height,
                             .residual_width = step_.residual.width,
                             .dst = dst_.data(),
                             .float_result = step_.last,
                             .partials = partials_.as<float>(),
                             .counters = counters_.as<unsigned>()};
    nn::cuda::check(kernels::cuda::convolve(c_, tile, run, stream_.get()),
                    step_.name + " with tile " + text(tile));
  }

  // Of one launch, in graphs of as many as there are different weights, where that does not take too long.
  Times time(const ConvolutionTile& tile, int samples) {
    return time([&] { enqueue(tile); }, samples);
  }
  Times time(Cudnn::Convolution& convolution, int samples) {
    return time([&] { convolution.enqueue(stream_, src_.data(), next_weights(), dst_.data()); }, samples);
  }
  std::unique_ptr<Cudnn::Convolution> find(Cudnn& cudnn) {
    return cudnn.find(stream_, c_, images_, src_.data(), weights_.data(), dst_.data());
  }

  double operations() const {
    return 2.0 * static_cast<double>(pixels(c_.out_height, c_.out_width)) * c_.out_channels *
           step_.in.channels * c_.kernel * c_.kernel;
  }
  // Weights; and activations where the second-level cache does not hold them.
  double memory_bytes(std::size_t l2_bytes) const {
    const std::size_t activations = src_.bytes() + dst_.bytes() + residual_.bytes();
    return static_cast<double>(c_.row_bytes()) * c_.out_channels +
           (activations > l2_bytes ? static_cast<double>(activations) : 0.0);
  }

 private:
  bool allows(const ConvolutionTile& tile) const { return nn::cuda::can_use(c_, tile, images_, limits_); }
  std::size_t pixels(int height, int width) const { return size(images_) * size(height) * size(width); }
  const std::byte* next_weights() {
    place_ = (place_ + 1) % places_;
    return weights_.data() + size(place_) * weight_bytes_;
  }

  template <typename Launch>
  Times time(const Launch& launch, int samples) {
    launch();  // what is made at first use
    const Graph few(stream_, [&] {
      for (int i = 0; i < 4; ++i) launch();
    });
    few.launch(stream_);
    const double each =
        std::max(times_of(time_on(stream_, 2, [&] { few.launch(stream_); })).min_ms / 4, 1e-4);
    const int enough = static_cast<int>(std::clamp(kLeastMs / each, 1.0, double{kMostLaunches}));
    const int launches = places_ * each <= kMostMs ? std::max(enough, places_) : enough;
    const Graph graph(stream_, [&] {
      for (int i = 0; i < launches; ++i) launch();
    });
    graph.launch(stream_);
    Times times = times_of(time_on(stream_, samples, [&] { graph.launch(stream_); }));
    times.min_ms /= launches;
    times.median_ms /= launches;
    return times;
  }

  Stream& stream_;
  const Step& step_;
  Convolution c_;
  const int images_;
  const nn::cuda::DeviceLimits limits_;
  std::size_t weight_bytes_ = 0;
  int places_ = 1, place_ = 0;
  DeviceMemory weights_, src_, dst_, residual_, partials_, counters_, bias_;
};

struct Timed {
  ConvolutionTile tile;
  Times times;
};

}  // namespace

void time_layers(const nn::cuda::Plan& plan, const DeviceFacts& facts, const DeviceLimits& limits,
                 Cudnn* cudnn, const LayerOptions& options,
                 const std::function<void(const nlohmann::json& rows)>& keep) {
  const nn::cuda::DeviceScope scope(plan.device());
  Stream stream;
  double chosen_sum = 0, best_sum = 0, cudnn_sum = 0, limit_sum = 0;
  std::printf("\nconvolutions, batch %d; medians in microseconds of one launch, weights from memory\n",
              options.batch);
  std::printf("%-26s %3s %10s %8s %8s %6s %6s  %-10s %8s  %8s\n", "layer", "n", "chosen", "us", "TFLOP/s",
              "peak", "limit", "fastest", "us", "cuDNN");
  for (const Kind& kind : kinds_of(plan, options.matching)) {
    const Convolution& c = kind.step->convolution;
    nlohmann::json rows = nlohmann::json::array();
    Subject subject(stream, *kind.step, options.batch, facts, plan.limits());
    std::vector<Timed> timed;
    for (const ConvolutionTile& tile : subject.allowed_tiles())
      timed.push_back({tile, subject.time(tile, options.samples)});
    const ConvolutionTile& chosen = timed.front().tile;
    const Timed& best =
        *std::ranges::min_element(timed, {}, [](const Timed& t) { return t.times.median_ms; });
    std::optional<Times> library;
    std::string algorithm;
    if (cudnn) try {
        if (const auto convolution = subject.find(*cudnn)) {
          library = subject.time(*convolution, options.samples);
          algorithm = convolution->algorithm();
        }
      } catch (const Error& error) {
        std::fprintf(stderr, "%s: %s\n", kind.step->name.c_str(), error.what());
      }
    const double operations = subject.operations(), bytes = subject.memory_bytes(facts.l2_bytes);
    const double limit_ms =
        std::max(limits.matrix_teraflops > 0 ? operations / limits.matrix_teraflops * 1e-9 : 0,
                 limits.copy_gigabytes > 0 ? bytes / limits.copy_gigabytes * 1e-6 : 0);
    const auto tile_row = [&](const Timed& t) {
      rows.push_back({{"layer", kind.step->name},
                      {"shape", text(*kind.step)},
                      {"count", kind.count},
                      {"batch", options.batch},
                      {"rows", static_cast<long long>(options.batch) * c.out_height * c.out_width},
                      {"columns", c.out_channels},
                      {"steps", c.row_bytes() / kernels::cuda::kDepthBytes},
                      {"taps_share", c.is_sliced() && c.kernel == 3},
                      {"element_bytes", kernels::cuda::bytes_of(c.storage)},
                      {"tile",
                       {{"rows", t.tile.rows},
                        {"columns", t.tile.columns},
                        {"warpgroups", t.tile.warpgroups},
                        {"stages", t.tile.stages},
                        {"together", nn::cuda::blocks_together(t.tile, plan.limits())},
                        {"multiprocessors", nn::cuda::usable_multiprocessors(t.tile, plan.limits())},
                        {"splits", t.tile.splits},
                        {"cluster", t.tile.cluster}}},
                      {"model_cycles", nn::cuda::estimate(c, t.tile, options.batch, plan.limits())},
                      {"min_ms", t.times.min_ms},
                      {"median_ms", t.times.median_ms},
                      {"teraflops", operations / t.times.median_ms * 1e-9},
                      {"limit_ms", limit_ms},
                      {"chosen", t.tile == chosen},
                      {"fastest", &t == &best}});
      if (library)
        rows.back()["cudnn"] = {
            {"min_ms", library->min_ms}, {"median_ms", library->median_ms}, {"algorithm", algorithm}};
      if (options.every_tile)
        std::printf("  %-14s %9.2f %9.2f%s%s\n", text(t.tile).c_str(), 1e3 * t.times.min_ms,
                    1e3 * t.times.median_ms, t.tile == chosen ? "  chosen" : "",
                    &t == &best ? "  fastest" : "");
    };
    for (const Timed& t : timed) tile_row(t);
    keep(rows);
    const double ms = timed.front().times.median_ms, teraflops = operations / ms * 1e-9;
    chosen_sum += kind.count * ms;
    best_sum += kind.count * best.times.median_ms;
    cudnn_sum += kind.count * (library ? library->median_ms : 0);
    limit_sum += kind.count * limit_ms;
    const auto share = [](double part, double whole) {
      char text[16] = "-";
      if (whole > 0) std::snprintf(text, sizeof text, "%.0f%%", 100 * part / whole);
      return std::string(text);
    };
    std::printf("%-26s %3d %10s %8.1f %8.1f %6s %6s  %-10s %8.1f  %8s\n", text(*kind.step).c_str(),
                kind.count, text(chosen).c_str(), 1e3 * ms, teraflops,
                share(teraflops, limits.matrix_teraflops).c_str(), share(limit_ms, ms).c_str(),
                text(best.tile).c_str(), 1e3 * best.times.median_ms,
                library ? std::to_string(1e3 * library->median_ms).substr(0, 6).c_str() : "-");
  }
  std::printf(
      "sum over the network's layers: chosen %.3f ms, fastest %.3f ms, cuDNN's convolutions %.3f ms, limit "
      "%.3f ms\n",
      chosen_sum, best_sum, cudnn_sum, limit_sum);
}

}  // namespace adaface::bench
