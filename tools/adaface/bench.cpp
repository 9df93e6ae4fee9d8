#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "tools/adaface/json.h"
#include "tools/adaface/options.h"
#include "tools/adaface/pictures.h"
#include "tools/adaface/verbs.h"

namespace adaface::cli {
namespace {

struct Arguments : Options {
  bool layers = false;
  int batch = 1, repetitions = 10;
  std::string net, image;
};

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

struct Timing {
  double min, median;
};

template <typename F>
Timing measure(int repetitions, F&& f) {
  f();
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) {
    const Clock::time_point start = Clock::now();
    f();
    times.push_back(milliseconds(start));
  }
  std::ranges::sort(times);
  return {times.front(), times[times.size() / 2]};
}

double gflops(const LayerProfile& layer, double ms) {
  return ms > 0 ? 2e-6 * layer.multiply_adds / ms : 0;
}

void print_layers(const std::string& architecture, const NetworkProfile& profile) {
  double sum_run = 0, run_min = 0;
  for (const LayerProfile& layer : profile.layers) {
    sum_run += layer.run_ms_median;
    run_min += layer.run_ms_min;
  }
  std::printf("%s, one crop, %d thread%s, f32, %d rounds, peak %.0f GFLOP/s\n\n", architecture.c_str(),
              profile.threads, profile.threads == 1 ? "" : "s", profile.repetitions, profile.peak_gflops);
  std::printf("%-24s %-34s %-22s %8s %8s %8s %8s %7s %7s %8s %6s\n", "layer", "shape", "implementation",
              "run min", "median", "alone", "median", "GFLOP/s", "of peak", "MB moved", "share");
  for (const LayerProfile& layer : profile.layers)
    std::printf("%-24s %-34s %-22s %8.3f %8.3f %8.3f %8.3f %7.1f %6.1f%% %8.2f %5.1f%%\n", layer.name.c_str(),
                layer.shape.c_str(), layer.implementation.c_str(), layer.run_ms_min, layer.run_ms_median,
                layer.alone_ms_min, layer.alone_ms_median, gflops(layer, layer.run_ms_min),
                100 * gflops(layer, layer.run_ms_min) / profile.peak_gflops, layer.bytes / 1e6,
                100 * layer.run_ms_median / sum_run);
  std::printf("\n%-44s %9s %9s\n", "ms", "min", "median");
  std::printf("%-44s %9.2f %9.2f\n", "convolutions, each alone", profile.convolutions_ms_min,
              profile.convolutions_ms_median);
  std::printf("%-44s %9.2f %9.2f\n", "sum of all layers, within runs", run_min, sum_run);
  std::printf("%-44s %9.2f %9.2f\n", "whole network", profile.total_ms_min, profile.total_ms_median);
  std::printf("%-44s %9.3f %9.3f\n", "whole / convolutions alone",
              profile.total_ms_min / profile.convolutions_ms_min,
              profile.total_ms_median / profile.convolutions_ms_median);
}

void print_layers_json(const std::string& architecture, const NetworkProfile& profile) {
  for (const LayerProfile& layer : profile.layers)
    print_line({{"net", architecture},
                {"layer", layer.name},
                {"kind", layer.kind},
                {"shape", layer.shape},
                {"implementation", layer.implementation},
                {"multiply_adds", layer.multiply_adds},
                {"bytes", layer.bytes},
                {"run_ms", {{"min", layer.run_ms_min}, {"median", layer.run_ms_median}}},
                {"alone_ms", {{"min", layer.alone_ms_min}, {"median", layer.alone_ms_median}}}});
  print_line({{"net", architecture},
              {"threads", profile.threads},
              {"rounds", profile.repetitions},
              {"peak_gflops", profile.peak_gflops},
              {"convolutions_ms",
               {{"min", profile.convolutions_ms_min}, {"median", profile.convolutions_ms_median}}},
              {"total_ms", {{"min", profile.total_ms_min}, {"median", profile.total_ms_median}}}});
}

void print_timing(const Arguments& arguments, const std::string& what, int count, const Timing& timing) {
  if (arguments.json)
    return print_line({{"bench", what},
                       {"count", count},
                       {"threads", arguments.thread_count()},
                       {"ms", {{"min", timing.min}, {"median", timing.median}}}});
  std::printf("%s, %d thread%s: %.2f ms (min), %.2f ms (median), %.1f a second\n", what.c_str(),
              arguments.thread_count(), arguments.thread_count() == 1 ? "" : "s", timing.min, timing.median,
              1000 * count / timing.median);
}

void bench_detection(const Arguments& arguments) {
  const Image image = read_picture({arguments.image, arguments.image}, arguments);
  Detector detector = make_detector(load_detector(arguments), arguments, arguments.thread_count());
  std::size_t faces = 0;
  const Timing timing = measure(arguments.repetitions, [&] { faces = detector.detect(image).size(); });
  print_timing(arguments,
               "detect " + std::to_string(image.width()) + "x" + std::to_string(image.height()) + ", " +
                   count_text(faces),
               1, timing);
}

// The weights to time: --model, else NET.afw of the data directory, else its model.afw.
Options model_options(const Arguments& arguments) {
  Options options = arguments;
  if (options.model.empty() && !arguments.net.empty())
    options.model = data_directory() / (arguments.net + ".afw");
  return options;
}

void bench_network(const Arguments& arguments) {
  const Weights weights = load_model(model_options(arguments));
  const std::string architecture = weights.info().architecture;
  if (!arguments.net.empty() && arguments.net != architecture)
    throw ModelError("--net " + arguments.net + ": the weight file holds " + architecture);
  Embedder embedder = make_embedder(weights, arguments, arguments.thread_count());
  if (arguments.layers) {
    const NetworkProfile profile = embedder.profile(arguments.repetitions);
    return arguments.json ? print_layers_json(architecture, profile) : print_layers(architecture, profile);
  }
  const Image crop(kCropSize, kCropSize);
  const std::vector<ImageView> crops(static_cast<std::size_t>(arguments.batch), crop);
  const Timing timing = measure(arguments.repetitions, [&] { embedder.embed(crops); });
  print_timing(arguments, architecture + ", batch " + std::to_string(arguments.batch), arguments.batch,
               timing);
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("bench", "Time a network, its layers, or detection");
  CLI::Option* layers = verb->add_flag("--layers", arguments->layers, "The table of layers, for one crop");
  CLI::Option* batch =
      verb->add_option("--batch", arguments->batch, "Crops in one call (default 1; not with --layers)")
          ->check(CLI::Range(1, 4096))
          ->type_name("N");
  verb->add_option("--repetitions", arguments->repetitions, "Rounds (default 10)")
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  verb->add_option("--net", arguments->net,
                   "Take NET.afw of the data directory: ir_18, ir_34, ir_50, ir_101, ir_se_50")
      ->check(CLI::IsMember({"ir_18", "ir_34", "ir_50", "ir_101", "ir_se_50"}))
      ->type_name("NET");
  CLI::Option* image = verb->add_option("--image", arguments->image, "Time detection on this picture instead")
                           ->type_name("IMAGE");
  layers->excludes(batch);
  add_model_option(*verb, *arguments);
  for (const char* option : {"--layers", "--batch", "--net", "--model"}) image->excludes(option);
  add_detection_options(*verb, *arguments);
  add_run_options(*verb, *arguments);
  add_output_options(*verb, *arguments);
  verb->footer(
      "Example:\n"
      "  adaface bench --layers --model ir_101.afw --threads 1\n"
      "\n"
      "'run' times a layer between its neighbours; 'alone' repeats it with its data in cache, a convolution "
      "without its\n"
      "PReLU. 'of peak' compares with multiply-adds in registers alone; 'share' is of the time. Times on a "
      "busy machine mean little: compare figures of one run.");
  verb->callback([arguments, &exit_code] {
    check_run_options(*arguments);
    arguments->image.empty() ? bench_network(*arguments) : bench_detection(*arguments);
    exit_code = kDone;
  });
}

}  // namespace adaface::cli
