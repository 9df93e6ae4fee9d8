#include "tools/adaface/layer_table.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

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
// repetitions, and not negative.
constexpr int kLeastRepetitions = 5;
std::optional<double> between_ms(const NetworkProfile& profile) {
  if (profile.repetitions < kLeastRepetitions || profile.between_ms_median < 0) return std::nullopt;
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

Json line_of(const LayerReport& report, const LayerProfile& layer, double all) {
  const Rates rates(layer);
  Json line = report.run;
  line["bench"] = "layer";
  line.update({{"layer", layer.name},
               {"kind", layer.kind},
               {"shape", layer.shape},
               {"implementation", layer.implementation},
               {"multiply_adds", layer.multiply_adds},
               {"executed_multiply_adds", layer.executed_multiply_adds},
               {"bytes", Rates::bytes(layer)},
               {"activation_bytes", layer.activation_bytes},
               {"weight_bytes", layer.weight_bytes},
               {"run_ms",
                {{"min", layer.run_ms_min},
                 {"q1", layer.run_ms_q1},
                 {"median", layer.run_ms_median},
                 {"q3", layer.run_ms_q3}}},
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
  return line;
}

Json line_of(const LayerReport& report, const NetworkProfile& profile) {
  const MachineLimits& limits = profile.limits;
  const std::optional<double> between = between_ms(profile);
  Json line = report.run;
  line.update({{"limits",
                {{"peak_gflops", limits.peak_gflops},
                 {"l1_gb_s", limits.l1_gb_s},
                 {"l2_gb_s", limits.l2_gb_s},
                 {"l3_gb_s", limits.l3_gb_s},
                 {"memory_gb_s", limits.memory_gb_s},
                 {"l1_bytes", limits.l1_bytes},
                 {"l2_bytes", limits.l2_bytes},
                 {"l3_bytes", limits.l3_bytes}}},
               {"total_ms",
                {{"min", profile.total_ms_min},
                 {"q1", profile.total_ms_q1},
                 {"median", profile.total_ms_median},
                 {"q3", profile.total_ms_q3}}},
               {"layers_ms", {{"min", profile.layers_ms_min}, {"median", profile.layers_ms_median}}},
               {"column_ms",
                {{"min", sum_of(profile, &LayerProfile::run_ms_min)},
                 {"median", sum_of(profile, &LayerProfile::run_ms_median)}}},
               {"convolutions_ms",
                {{"min", profile.convolutions_ms_min}, {"median", profile.convolutions_ms_median}}},
               {"between_ms", {{"median", between ? Json(*between) : Json()}}},
               {"limit_ms", limit_ms(profile)}});
  return line;
}

// All lines, the whole's last, each with its "against".
std::vector<Json> lines_of(const LayerReport& report, const NetworkProfile& profile) {
  const double all = sum_of(profile, &LayerProfile::run_ms_median);
  std::vector<Json> lines;
  for (const LayerProfile& layer : profile.layers) {
    lines.push_back(line_of(report, layer, all));
    if (report.against) lines.back()["against"] = report.against->ratios(lines.back(), "run_ms");
  }
  lines.push_back(line_of(report, profile));
  if (report.against) lines.back()["against"] = report.against->ratios(lines.back(), "total_ms");
  return lines;
}

void print_sums(const LayerReport& report, const NetworkProfile& profile, const Json& whole) {
  std::printf("\n%-44s %9s %9s%s\n", "sums", "min ms", "median ms",
              report.against ? "   min/old   med/old" : "");
  const auto row = [&](const char* what, const char* key) {
    std::printf("%-44s %9.3f %9.3f", what, whole[key]["min"].get<double>(),
                whole[key]["median"].get<double>());
    if (report.against)
      std::printf(" %9.3f %9.3f", report.against->ratio(whole, key, "min"),
                  report.against->ratio(whole, key, "median"));
    std::printf("\n");
  };
  row("whole network, of all runs", "total_ms");
  row("a pass layer by layer, of all passes", "layers_ms");
  row("the columns above, each added up", "column_ms");
  row("convolutions alone, of all repetitions", "convolutions_ms");
  const std::optional<double> between = between_ms(profile);
  char text[32] = "-";
  if (between) std::snprintf(text, sizeof text, "%.3f", *between);
  std::printf("%-44s %9s %9s\n", "between the layers: whole run less its pass", "", text);
  std::printf("%-44s %9.3f %9.3f\n", "whole network / convolutions alone, ratio",
              profile.total_ms_min / profile.convolutions_ms_min,
              profile.total_ms_median / profile.convolutions_ms_median);
  const double limit = limit_ms(profile);
  std::printf("%-44s %9.3f   reached by the whole network: %.0f%%\n", "the layers' limits, added up", limit,
              100 * limit / profile.total_ms_min);
}

}  // namespace

const char* const kLayerColumns =
    "Columns of --layers. min, median: ms between its neighbours; alone: least ms, repeated with its\n"
    "data in cache, of oneDNN's convolutions the primitive without the batch norm before and the PReLU\n"
    "after it, any other layer whole. GFLOP/s: of useful work, a direct convolution's. MB: weights and\n"
    "activations, each byte once; GB/s: these over min. of peak: the multiply-adds that are carried out\n"
    "against those in registers alone; of read: the bytes against reading them from where they lie\n"
    "(weights in the smallest cache that holds all of the network's). bound by: what takes longer of\n"
    "the two at the machine's best, and reached: that time over min. share: of the time of all layers.\n"
    "The limits are measured in the same run. Times on a busy machine mean little: compare figures of\n"
    "one run, or two runs that --against finds alike.\n"
    "shape: channels x height x width; k3 s2: kernel of 3x3, stride 2.\n"
    "implementation. Kernels of this library, for the instruction sets after 'kernels' in the heading:\n"
    "winograd 4, 2 or 4+2 (tiles of 4x4 outputs, 2x2, or both; bf16, f16 weights: what they multiply or\n"
    "keep), dense (the head, from the file's own weights), direct and one kernel (the detector's),\n"
    "kernels (all that is no convolution). Anything else is a convolution of oneDNN's by oneDNN's name\n"
    "for it, with its instruction set: jit:avx512_core.\n"
    "Sums: min is the best of the runs, passes or repetitions that the row names, median their median.\n"
    "In 'the columns above, each added up' every layer is at its own best, which come from different\n"
    "passes: no whole pass need be as fast. Convolutions alone are repeated with their data in cache, of\n"
    "which the mean counts: a busy machine may make that more than their time within the network. What\n"
    "falls between the layers is - in fewer than 5 repetitions, and where it comes out negative: less\n"
    "than the times scatter.\n"
    "--batch N: the crops run one after the other. The ms, multiply-adds and MB of a layer are the sums\n"
    "over its N passes: each reads the weights anew.\n"
    "--against OLD.json: min/old and med/old are min and median over those of the earlier run, of the\n"
    "same network, batch, precision, plan, device and threads; with --image of the same device, threads,\n"
    "mode, smallest face, size of the picture and number of faces in it.";

void print_layers(const LayerReport& report, const NetworkProfile& profile) {
  std::size_t name = 5, shape = 5, implementation = 14;
  for (const LayerProfile& layer : profile.layers) {
    name = std::max(name, layer.name.size());
    shape = std::max(shape, layer.shape.size());
    implementation = std::max(implementation, layer.implementation.size());
  }
  const auto widths = [](std::size_t width) { return static_cast<int>(width); };
  const std::vector<Json> lines = lines_of(report, profile);
  const MachineLimits& limits = profile.limits;
  std::printf("%s\n%s\n", run_text(report.run).c_str(), context_text(report.context).c_str());
  std::printf("limits: %.0f GFLOP/s; reads L1 %.0f, L2 %.0f, L3 %.0f, memory %.0f GB/s\n\n",
              limits.peak_gflops, limits.l1_gb_s, limits.l2_gb_s, limits.l3_gb_s, limits.memory_gb_s);
  std::printf("%-*s %-*s %-*s %8s %9s %8s %7s %7s %6s %7s %7s %-8s %7s %6s%s\n", widths(name), "layer",
              widths(shape), "shape", widths(implementation), "implementation", "min ms", "median ms",
              "alone ms", "GFLOP/s", "MB", "GB/s", "of peak", "of read", "bound by", "reached", "share",
              report.against ? " min/old med/old" : "");
  const double all = sum_of(profile, &LayerProfile::run_ms_median);
  for (std::size_t i = 0; i < profile.layers.size(); ++i) {
    const LayerProfile& layer = profile.layers[i];
    const Rates rates(layer);
    std::printf("%-*s %-*s %-*s %8.3f %9.3f %8.3f %7.1f %7.2f %6.1f %6.1f%% %6.1f%% %-8s %6.1f%% %5.1f%%",
                widths(name), layer.name.c_str(), widths(shape), layer.shape.c_str(), widths(implementation),
                layer.implementation.c_str(), layer.run_ms_min, layer.run_ms_median, layer.alone_ms_min,
                rates.gflops, Rates::bytes(layer) / 1e6, rates.gb_s, 100 * rates.of_peak,
                100 * rates.of_bandwidth, layer.bound_by().c_str(), 100 * rates.reached,
                100 * layer.run_ms_median / all);
    if (report.against) {
      const Json& ratios = lines[i]["against"];
      std::printf(" %7.3f %7.3f", ratios["min"].get<double>(), ratios["median"].get<double>());
    }
    std::printf("\n");
  }
  print_sums(report, profile, lines.back());
}

void print_layers_json(const LayerReport& report, const NetworkProfile& profile) {
  for (Json& line : lines_of(report, profile)) {
    line["context"] = report.context;
    print_line(line);
  }
}

}  // namespace adaface::cli
