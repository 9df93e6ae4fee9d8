#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>

#include "src/quartile.h"
#include "tools/adaface/bench_line.h"
#include "tools/adaface/layer_table.h"
#include "tools/adaface/options.h"
#include "tools/adaface/pictures.h"
#include "tools/adaface/verbs.h"
#include "tools/synthetic/untrained.h"

namespace adaface::cli {
namespace {

struct Arguments : Options {
  bool layers = false;
  int batch = 1, repetitions = 10, side = 0;
  std::string net, image, against;
};

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

struct Timing {
  double min, q1, median, q3, max;
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
  return {quartile(times, 0), quartile(times, 1), quartile(times, 2), quartile(times, 3), quartile(times, 4)};
}

bool is_on_device(const Arguments& arguments) {
  return arguments.computing_device().kind != DeviceKind::cpu;
}

// The keys of every line, after those that say what is timed. A device is fed by the one thread that
// measures.
Json run_of(const Arguments& arguments, Json run) {
  run["device"] = to_string(arguments.computing_device());
  run["threads"] = is_on_device(arguments) ? 1 : arguments.thread_count();
  run["repetitions"] = arguments.repetitions;
  return run;
}
Json network_run(const Arguments& arguments, const char* kind, const std::string& network) {
  return run_of(arguments, {{"bench", kind},
                            {"net", network},
                            {"batch", arguments.batch},
                            {"precision", arguments.precision},
                            {"plan", arguments.plan}});
}

// Before anything is timed: what cannot be compared with is refused.
std::optional<Against> earlier_run(const Arguments& arguments, const Json& run, const Json& context) {
  if (arguments.against.empty()) return std::nullopt;
  Against against(arguments.against);
  against.warn(run, context);
  return against;
}

// Times `compute` once for each repetition; it computes `count` of `things`.
template <typename F>
void time_whole(const Arguments& arguments, Json line, int count, const char* things, F&& compute) {
  const Json context = bench_context(arguments.computing_device());
  const std::optional<Against> against = earlier_run(arguments, line, context);
  const std::string what = run_text(line);
  const Timing timing = measure(arguments.repetitions, compute);
  line["count"] = count;
  line["ms"] = {{"min", timing.min},
                {"q1", timing.q1},
                {"median", timing.median},
                {"q3", timing.q3},
                {"max", timing.max}};
  if (against) line["against"] = against->ratios(line, "ms");
  line["context"] = context;
  if (arguments.json) return print_line(line);
  std::printf("%s: %.2f ms (min), %.2f ms (median), %.2f to %.2f (quartiles), %.1f %s a second\n",
              what.c_str(), timing.min, timing.median, timing.q1, timing.q3, 1000 * count / timing.median,
              things);
  if (against)
    std::printf("new / old (below 1 is faster): %.3f (min), %.3f (median)\n",
                line["against"]["min"].get<double>(), line["against"]["median"].get<double>());
  if (!arguments.quiet) std::printf("%s\n", context_text(context).c_str());
}

void bench_detection(const Arguments& arguments) {
  const Image image = read_picture({arguments.image, arguments.image}, arguments);
  Detector detector = make_detector(load_detector(arguments), arguments, arguments.thread_count());
  time_whole(arguments,
             run_of(arguments, {{"bench", "detection"},
                                {"width", image.width()},
                                {"height", image.height()},
                                {"mode", arguments.mode},
                                {"min_face", arguments.min_face},
                                {"image", arguments.image},
                                {"faces", detector.detect(image).size()}}),
             1, "pictures", [&] { detector.detect(image); });
}

bool is_detector_net(const std::string& net) {
  return net == "pnet" || net == "rnet" || net == "onet";
}

// The weights to time: --model (of a detector's network --detector), else NET.afw (mtcnn.afw) of the data
// directory, else made-up ones; without --net its model.afw.
Weights weights_to_time(const Arguments& arguments) {
  const bool detector = is_detector_net(arguments.net);
  Options options = arguments;
  std::string& given = detector ? options.detector : options.model;
  const auto load = [&] { return detector ? load_detector(options) : load_model(options); };
  if (!given.empty() || arguments.net.empty()) return load();
  const std::filesystem::path path = data_directory(detector ? "--detector FILE" : "--model FILE") /
                                     (detector ? "mtcnn.afw" : arguments.net + ".afw");
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    if (!arguments.quiet)
      std::fprintf(stderr, "%s: not there; times are those of made-up weights\n", printable(path).c_str());
    return synthetic::untrained(synthetic::architecture_of(arguments.net));
  }
  given = path.string();
  return load();
}

void bench_layers(const Arguments& arguments, const Weights& weights, const std::string& network) {
  LayerReport report{network_run(arguments, "layers", network), bench_context(Device{}), nullptr};
  const std::optional<Against> against = earlier_run(arguments, report.run, report.context);
  if (against) report.against = &*against;
  try {
    const NetworkProfile profile = profile_layers(weights, {.network = network,
                                                            .side = arguments.side,
                                                            .batch = arguments.batch,
                                                            .precision = arguments.arithmetic(),
                                                            .plan = arguments.plan_kind(),
                                                            .threads = arguments.thread_count(),
                                                            .repetitions = arguments.repetitions});
    arguments.json ? print_layers_json(report, profile) : print_layers(report, profile);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::invalid_argument || error.code() == ErrorCode::unsupported)
      throw UsageError(std::string("bench: ") + error.what());
    throw ModelError(error.what());
  }
}

void bench_network(const Arguments& arguments) {
  const bool detector = is_detector_net(arguments.net);
  if (detector && !arguments.layers)
    throw UsageError("--net " + arguments.net + ": is timed by layer only, expected --layers too");
  if (detector && !arguments.model.empty())
    throw UsageError("--net " + arguments.net + ": --model names an embedding network, expected --detector");
  if (!detector && !arguments.detector.empty())
    throw UsageError("--detector " + printable(arguments.detector) +
                     ": is for --image, or --layers of pnet, rnet or onet");
  if (arguments.side != 0 && arguments.net != "pnet")
    throw UsageError("--side " + std::to_string(arguments.side) + ": only --net pnet takes other sizes");
  const Weights weights = weights_to_time(arguments);
  const std::string architecture = weights.info().architecture;
  if (!detector && !arguments.net.empty() && arguments.net != architecture)
    throw ModelError("--net " + arguments.net + ": the weight file holds " + architecture);
  if (arguments.layers) return bench_layers(arguments, weights, detector ? arguments.net : architecture);
  Embedder embedder = make_embedder(weights, arguments, arguments.thread_count());
  const Image crop(kCropSize, kCropSize);
  const std::vector<ImageView> crops(static_cast<std::size_t>(arguments.batch), crop);
  embedder.prepare();
  time_whole(arguments, network_run(arguments, "network", architecture), arguments.batch, "crops",
             [&] { embedder.embed(crops); });
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("bench", "Time a network, its layers, or detection");
  verb->add_flag("--layers", arguments->layers, "The table of layers and the machine's limits");
  verb->add_option("--batch", arguments->batch, "Crops in one call (default 1)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  verb->add_option("--repetitions", arguments->repetitions, "How often to measure (default 10)")
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  verb->add_option("--net", arguments->net,
                   "Take NET.afw of the data directory, or made-up weights: ir_18, ir_34, ir_50, ir_101, "
                   "ir_se_50; with --layers also pnet, rnet, onet of mtcnn.afw")
      ->check(CLI::IsMember({"ir_18", "ir_34", "ir_50", "ir_101", "ir_se_50", "pnet", "rnet", "onet"}))
      ->type_name("NET");
  verb->add_option("--side", arguments->side, "With --net pnet: side of its input, even (default 106)")
      ->check(CLI::Range(12, 1024))
      ->type_name("PX");
  CLI::Option* image = verb->add_option("--image", arguments->image, "Time detection on this picture instead")
                           ->type_name("IMAGE");
  verb->add_option("--against", arguments->against,
                   "Compare with an earlier run of the same: what 'bench ... --json > FILE' wrote")
      ->type_name("FILE");
  add_model_option(*verb, *arguments);
  add_detection_options(*verb, *arguments, {});
  add_embedding_options(*verb, *arguments);
  for (const char* option : {"--layers", "--batch", "--net", "--side", "--model", "--precision", "--plan"})
    image->excludes(option);
  for (const char* option : {"--mode", "--min-face"}) verb->get_option(option)->needs(image);
  add_run_options(*verb, *arguments);
  add_output_options(*verb, *arguments);
  verb->footer(std::string("Example:\n"
                           "  adaface bench --layers --net ir_101 --threads 1\n"
                           "  taskset -c 1 adaface bench --json > old.json    # on CPU 1 alone\n"
                           "  taskset -c 1 adaface bench --against old.json\n"
                           "\n") +
               kLayerColumns);
  verb->callback([arguments, &exit_code] {
    check_run_options(*arguments);
    if (arguments->layers && is_on_device(*arguments))
      throw UsageError("--device " + arguments->device +
                       ": --layers times the CPU's, expected cpu; bench_cuda times a device's layers");
    arguments->image.empty() ? bench_network(*arguments) : bench_detection(*arguments);
    exit_code = kDone;
  });
}

}  // namespace adaface::cli
