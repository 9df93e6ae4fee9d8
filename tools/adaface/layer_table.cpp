#include "tools/adaface/layer_table.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "tools/adaface/json.h"

namespace adaface::cli {
namespace {

// Figures of one layer, at its least time between its neighbours.
struct Rates {
  double gflops, gb_s, of_peak, of_bandwidth, reached;

  explicit Rates(const LayerProfile& layer)
      : gflops(2e-6 * layer.multiply_adds / layer.run_ms_min),
        gb_s(1e-6 * bytes(layer) / layer.run_ms_min),
        of_peak(layer.compute_ms / layer.run_ms_min),
        of_bandwidth(layer.bandwidth_ms / layer.run_ms_min),
        reached(layer.limit_ms() / layer.run_ms_min) {}

  static double bytes(const LayerProfile& layer) { return layer.activation_bytes + layer.weight_bytes; }
};

// The median of differences between neighbouring times, where it says more than how they scatter: of enough
// rounds, and not negative.
constexpr int kLeastRounds = 5;
std::optional<double> between_ms(const NetworkProfile& profile) {
  if (profile.repetitions < kLeastRounds || profile.between_ms_median < 0) return std::nullopt;
  return profile.between_ms_median;
}

double limit_ms(const NetworkProfile& profile) {
  double sum = 0;
  for (const LayerProfile& layer : profile.layers) sum += layer.limit_ms();
  return sum;
}

double sum_of(const NetworkProfile& profile, double LayerProfile::*ms) {
  double sum = 0;
  for (const LayerProfile& layer : profile.layers) sum += layer.*ms;
  return sum;
}

const char* precision(const NetworkProfile& profile) {
  return profile.precision == Precision::bf16 ? "bf16" : "f32";
}

void print_heading(const std::string& network, const NetworkProfile& profile) {
  const MachineLimits& limits = profile.limits;
  std::printf("%s, batch %d, %d thread%s, %s, %d rounds\n", network.c_str(), profile.batch, profile.threads,
              profile.threads == 1 ? "" : "s", precision(profile), profile.repetitions);
  std::printf("limits: %.0f GFLOP/s; reads L1 %.0f, L2 %.0f, L3 %.0f, memory %.0f GB/s\n\n",
              limits.peak_gflops, limits.l1_gb_s, limits.l2_gb_s, limits.l3_gb_s, limits.memory_gb_s);
}

void print_sums(const NetworkProfile& profile) {
  const auto row = [](const char* what, double min, double median) {
    std::printf("%-46s %9.3f %9.3f\n", what, min, median);
  };
  std::printf("\n%-46s %9s %9s\n", "ms", "min", "median");
  row("convolutions, each alone", profile.convolutions_ms_min, profile.convolutions_ms_median);
  row("every layer at its own", sum_of(profile, &LayerProfile::run_ms_min),
      sum_of(profile, &LayerProfile::run_ms_median));
  row("sum of all layers in one pass", profile.layers_ms_min, profile.layers_ms_median);
  row("whole network", profile.total_ms_min, profile.total_ms_median);
  const std::optional<double> between = between_ms(profile);
  char text[32] = "-";
  if (between) std::snprintf(text, sizeof text, "%.3f", *between);
  std::printf("%-46s %9s %9s\n", "between the layers: a whole run less their sum", "", text);
  row("whole / convolutions alone", profile.total_ms_min / profile.convolutions_ms_min,
      profile.total_ms_median / profile.convolutions_ms_median);
  const double limit = limit_ms(profile);
  std::printf("%-46s %9.3f   reached by the whole: %.0f%%\n", "the layers' limits", limit,
              100 * limit / profile.total_ms_min);
}

}  // namespace

const char* const kLayerColumns =
    "Columns of --layers. min, median: ms between its neighbours; alone: least, repeated with its data\n"
    "in cache, of oneDNN's convolutions the primitive without the batch norm before and the PReLU after\n"
    "it, any other layer whole. GFLOP/s: of useful work, a direct convolution's. MB: weights and\n"
    "activations, each byte once; GB/s: these over min. of peak: the multiply-adds that are carried out\n"
    "against those in registers alone; of read: the bytes against reading them from where they lie\n"
    "(weights in the smallest cache that holds all of the network's). bound by: what takes longer of\n"
    "the two at the machine's best, and reached: that time over min. share: of the time of all layers.\n"
    "The limits are measured in the same run. Times on a busy machine mean little: compare figures of\n"
    "one run. What falls between the layers is - in fewer than 5 rounds, and where it comes out\n"
    "negative: less than the times scatter.\n"
    "--batch N: the crops run one after the other. The ms, multiply-adds and MB of a layer are the sums\n"
    "over its N passes: each reads the weights anew.";

void print_layers(const std::string& network, const NetworkProfile& profile) {
  std::size_t name = 5, shape = 5, implementation = 14;
  for (const LayerProfile& layer : profile.layers) {
    name = std::max(name, layer.name.size());
    shape = std::max(shape, layer.shape.size());
    implementation = std::max(implementation, layer.implementation.size());
  }
  const auto widths = [](std::size_t width) { return static_cast<int>(width); };
  print_heading(network, profile);
  std::printf("%-*s %-*s %-*s %8s %8s %8s %7s %7s %6s %7s %7s %-8s %7s %6s\n", widths(name), "layer",
              widths(shape), "shape", widths(implementation), "implementation", "min", "median", "alone",
              "GFLOP/s", "MB", "GB/s", "of peak", "of read", "bound by", "reached", "share");
  const double all = sum_of(profile, &LayerProfile::run_ms_median);
  for (const LayerProfile& layer : profile.layers) {
    const Rates rates(layer);
    std::printf("%-*s %-*s %-*s %8.3f %8.3f %8.3f %7.1f %7.2f %6.1f %6.1f%% %6.1f%% %-8s %6.1f%% %5.1f%%\n",
                widths(name), layer.name.c_str(), widths(shape), layer.shape.c_str(), widths(implementation),
                layer.implementation.c_str(), layer.run_ms_min, layer.run_ms_median, layer.alone_ms_min,
                rates.gflops, Rates::bytes(layer) / 1e6, rates.gb_s, 100 * rates.of_peak,
                100 * rates.of_bandwidth, layer.bound_by().c_str(), 100 * rates.reached,
                100 * layer.run_ms_median / all);
  }
  print_sums(profile);
}

void print_layers_json(const std::string& network, const NetworkProfile& profile) {
  const double all = sum_of(profile, &LayerProfile::run_ms_median);
  for (const LayerProfile& layer : profile.layers) {
    const Rates rates(layer);
    print_line({{"net", network},
                {"layer", layer.name},
                {"kind", layer.kind},
                {"shape", layer.shape},
                {"implementation", layer.implementation},
                {"multiply_adds", layer.multiply_adds},
                {"executed_multiply_adds", layer.executed_multiply_adds},
                {"bytes", Rates::bytes(layer)},
                {"activation_bytes", layer.activation_bytes},
                {"weight_bytes", layer.weight_bytes},
                {"run_ms", {{"min", layer.run_ms_min}, {"median", layer.run_ms_median}}},
                {"alone_ms", {{"min", layer.alone_ms_min}, {"median", layer.alone_ms_median}}},
                {"gflops", rates.gflops},
                {"gb_s", rates.gb_s},
                {"compute_ms", layer.compute_ms},
                {"bandwidth_ms", layer.bandwidth_ms},
                {"level", layer.level},
                {"of_peak", rates.of_peak},
                {"of_read", rates.of_bandwidth},
                {"bound_by", layer.bound_by()},
                {"reached", rates.reached},
                {"share", layer.run_ms_median / all}});
  }
  const MachineLimits& limits = profile.limits;
  const std::optional<double> between = between_ms(profile);
  print_line({{"net", network},
              {"batch", profile.batch},
              {"threads", profile.threads},
              {"precision", precision(profile)},
              {"rounds", profile.repetitions},
              {"limits",
               {{"peak_gflops", limits.peak_gflops},
                {"l1_gb_s", limits.l1_gb_s},
                {"l2_gb_s", limits.l2_gb_s},
                {"l3_gb_s", limits.l3_gb_s},
                {"memory_gb_s", limits.memory_gb_s},
                {"l1_bytes", limits.l1_bytes},
                {"l2_bytes", limits.l2_bytes},
                {"l3_bytes", limits.l3_bytes}}},
              {"convolutions_ms",
               {{"min", profile.convolutions_ms_min}, {"median", profile.convolutions_ms_median}}},
              {"layers_ms", {{"min", profile.layers_ms_min}, {"median", profile.layers_ms_median}}},
              {"between_ms", {{"median", between ? Json(*between) : Json()}}},
              {"total_ms", {{"min", profile.total_ms_min}, {"median", profile.total_ms_median}}},
              {"limit_ms", limit_ms(profile)}});
}

}  // namespace adaface::cli
