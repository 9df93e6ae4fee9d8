// Each layer of a network by itself, its data in cache, and the whole network: kUsage says how to call it.
// Benchmarks are called NET/LAYER/batch:N/threads:N/PRECISION; one iteration is a batch, whose images run one
// after the other. Without --model the weights are made up.
// Within a network the weights come from further away: that, and what falls between the layers, is the table
// of `adaface bench --layers`.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "bench/arguments.h"
#include "src/machine_limits.h"
#include "src/nn/open_mp.h"
#include "src/profile.h"
#include "tools/synthetic/untrained.h"

namespace {

using namespace adaface;

constexpr char kUsage[] =
    "Times each layer of a network by itself, its data in cache, and the whole network.\n"
    "Usage: bench_layers [OPTION...]\n"
    "Example: bench_layers --net=ir_50 --benchmark_filter='stage3.*conv1' --benchmark_format=json\n";

struct Arguments {
  std::string nets, model, precision = "f32";
  int threads = 1, batch = 1;
};

// What all benchmarks of one network share.
struct Subject {
  Subject(const Weights& weights, const ProfileOptions& options)
      : weights(weights),
        options(options),
        pool(nn::thread_count(options.threads), nn::enter_worker_thread),
        plan(plan_to_profile(weights, options, pool)),
        session(plan->create_session(pool.threads())) {
    plan->keep_weights(&pool);
  }

  // A plan may read weights where they lie in the mapped file.
  Weights weights;
  ProfileOptions options;
  nn::ThreadPool pool;
  std::shared_ptr<const nn::Plan> plan;
  std::unique_ptr<nn::Session> session;
  // Made with the first benchmark that runs: the list alone needs none of its memory.
  std::unique_ptr<LimitsMeter> meter;

  void measure_limits() {
    if (!meter) meter = std::make_unique<LimitsMeter>(pool, options.precision);
    for (int i = 0; i < 3; ++i) meter->measure_all();
  }
};

using Clock = std::chrono::steady_clock;

// Of one iteration, after the loop that began at `start`.
double iteration_ms(const benchmark::State& state, Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count() /
         static_cast<double>(state.iterations());
}

void run_layer(benchmark::State& state, Subject& subject, int index) {
  const nn::LayerInfo& layer = subject.plan->layers()[static_cast<std::size_t>(index)];
  // Before and after: the machine is as busy as while the layer runs.
  subject.measure_limits();
  const int batch = subject.options.batch;
  subject.session->run_layer(index, &subject.pool);
  const Clock::time_point start = Clock::now();
  for (auto _ : state)
    for (int image = 0; image < batch; ++image) subject.session->run_layer(index, &subject.pool);
  const double ms = iteration_ms(state, start);
  subject.measure_limits();
  const MachineLimits& machine = subject.meter->limits();
  const LayerLimit limit = layer_limit(layer, layer.weight_bytes, machine);
  // Plain counters: of a rate Google Benchmark would print "/s" behind "GB/s".
  state.counters["GFLOP/s"] = 2e-6 * batch * layer.multiply_adds / ms;
  const double bytes = batch * (layer.activation_bytes + layer.weight_bytes);
  state.counters["bytes"] = bytes;
  state.counters["GB/s"] = 1e-6 * bytes / ms;
  // As fractions of the measured time.
  state.counters["of_peak"] = batch * limit.compute_ms / ms;
  state.counters["of_read"] = batch * limit.bandwidth_ms / ms;
  state.counters["peak_GFLOP/s"] = machine.peak_gflops;
  state.SetLabel(layer.shape + ", " + layer.implementation + ", bound by " +
                 (limit.compute_ms > limit.bandwidth_ms ? "compute" : limit.level));
}

void run_whole(benchmark::State& state, Subject& subject) {
  double multiply_adds = 0;
  for (const nn::LayerInfo& layer : subject.plan->layers()) multiply_adds += layer.multiply_adds;
  subject.session->run(&subject.pool);
  const Clock::time_point start = Clock::now();
  for (auto _ : state)
    for (int image = 0; image < subject.options.batch; ++image) subject.session->run(&subject.pool);
  state.counters["GFLOP/s"] = 2e-6 * subject.options.batch * multiply_adds / iteration_ms(state, start);
}

void add_network(const Arguments& arguments, const Weights& weights, const std::string& network) {
  const ProfileOptions options{.network = network,
                               .batch = arguments.batch,
                               .precision = arguments.precision == "bf16" ? Precision::bf16 : Precision::f32,
                               .threads = arguments.threads};
  const auto subject = std::make_shared<Subject>(weights, options);
  const std::string suffix = "/batch:" + std::to_string(options.batch) +
                             "/threads:" + std::to_string(subject->pool.threads()) + "/" +
                             arguments.precision;
  const auto add = [&](const std::string& name, auto body) {
    benchmark::RegisterBenchmark((network + "/" + name + suffix).c_str(), body)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  const int layers = static_cast<int>(subject->plan->layers().size());
  for (int i = 0; i < layers; ++i)
    add(subject->plan->layers()[static_cast<std::size_t>(i)].name,
        [subject, i](benchmark::State& state) { run_layer(state, *subject, i); });
  add("whole", [subject](benchmark::State& state) { run_whole(state, *subject); });
}

void add_networks(const Arguments& arguments) {
  std::string nets = arguments.nets;
  if (nets.empty())
    nets = arguments.model.empty() ? "ir_101" : Weights::load(arguments.model).info().architecture;
  if (nets == "mtcnn") nets = "pnet,rnet,onet";
  std::istringstream list(nets);
  for (std::string net; std::getline(list, net, ',');) {
    const weights::Architecture architecture = synthetic::architecture_of(net);
    add_network(arguments,
                arguments.model.empty() ? synthetic::untrained(architecture) : Weights::load(arguments.model),
                net);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  const bench::Option options[] = {
      {.name = "net",
       .text = &arguments.nets,
       .help = "ir_18 ... ir_101, ir_se_50, pnet, rnet, onet, by commas (default ir_101, or the model's)"},
      {.name = "model", .text = &arguments.model, .help = "its .afw file (default: made-up weights)"},
      {.name = "precision", .text = &arguments.precision, .help = "f32 (default) or bf16"},
      {.name = "threads", .number = &arguments.threads, .help = "inside a layer (default 1)"},
      {.name = "batch", .number = &arguments.batch, .help = "images of an iteration (default 1)"}};
  if (bench::help(argc, argv, kUsage, options)) return 0;
  benchmark::Initialize(&argc, argv);
  if (!bench::parse(argc, argv, options)) return 2;
  if (arguments.precision != "f32" && arguments.precision != "bf16") {
    std::fprintf(stderr, "error: --precision=%s: expected f32 or bf16\n", arguments.precision.c_str());
    return 2;
  }
  try {
    add_networks(arguments);
    if (benchmark::RunSpecifiedBenchmarks() == 0) return 2;  // the filter matched none, and that was said
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.code() == ErrorCode::invalid_argument ? 2 : 1;
  }
  return 0;
}
