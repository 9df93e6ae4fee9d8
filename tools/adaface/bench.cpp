#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "tools/adaface/json.h"
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

// A device is fed by the one thread that measures.
bool is_on_device(const Arguments& arguments) {
  return arguments.computing_device().kind != DeviceKind::cpu;
}

void print_timing(const Arguments& arguments, const std::string& what, int count, const Timing& timing) {
  const std::string device = to_string(arguments.computing_device());
  const int threads = is_on_device(arguments) ? 1 : arguments.thread_count();
  if (arguments.json)
    return print_line({{"bench", what},
                       {"count", count},
                       {"device", device},
                       {"threads", threads},
                       {"ms", {{"min", timing.min}, {"median", timing.median}}}});
  const std::string where = is_on_device(arguments)
                                ? "on " + device
                                : std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  std::printf("%s, %s: %.2f ms (min), %.2f ms (median), %.1f a second\n", what.c_str(), where.c_str(),
              timing.min, timing.median, 1000 * count / timing.median);
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
  try {
    const NetworkProfile profile =
        profile_layers(weights, {.network = network,
                                 .side = arguments.side,
                                 .batch = arguments.batch,
                                 .precision = arguments.arithmetic(),
                                 .plan = arguments.plan == "small" ? PlanKind::small : PlanKind::fast,
                                 .threads = arguments.thread_count(),
                                 .repetitions = arguments.repetitions});
    arguments.json ? print_layers_json(network, profile) : print_layers(network, profile);
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
  const Timing timing = measure(arguments.repetitions, [&] { embedder.embed(crops); });
  print_timing(arguments, architecture + ", batch " + std::to_string(arguments.batch), arguments.batch,
               timing);
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("bench", "Time a network, its layers, or detection");
  verb->add_flag("--layers", arguments->layers, "The table of layers and the machine's limits");
  verb->add_option("--batch", arguments->batch, "Crops in one call (default 1)")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  verb->add_option("--repetitions", arguments->repetitions, "Rounds (default 10)")
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
  add_model_option(*verb, *arguments);
  add_detection_options(*verb, *arguments);
  add_embedding_options(*verb, *arguments);
  for (const char* option : {"--layers", "--batch", "--net", "--side", "--model", "--precision", "--plan"})
    image->excludes(option);
  add_run_options(*verb, *arguments);
  add_output_options(*verb, *arguments);
  verb->footer(std::string("Example:\n"
                           "  adaface bench --layers --net ir_101 --threads 1\n"
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
