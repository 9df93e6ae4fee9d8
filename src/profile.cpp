#include "src/profile.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <string>

#include "src/machine_limits.h"
#include "src/mtcnn/timed_nets.h"
#include "src/nn/open_mp.h"
#include "src/quartile.h"
#include "src/weights_state.h"

namespace adaface {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point since) {
  return std::chrono::duration<double, std::milli>(Clock::now() - since).count();
}

struct Times {
  std::vector<double> all;
  void add(double ms) { all.push_back(ms); }
  double min() const { return *std::min_element(all.begin(), all.end()); }
  double quartile(int quarters) const { return adaface::quartile(all, quarters); }
  double median() const { return quartile(2); }
};

[[noreturn]] void reject(const std::string& option, const std::string& value, const std::string& expected) {
  throw Error(ErrorCode::invalid_argument, option + " is " + value + ", expected " + expected);
}

// Measures among the layers, as densely in time as they are measured, so that both keep their best moments.
class Interleaved {
 public:
  Interleaved(nn::ThreadPool& pool, Precision precision) : meter_(pool, precision) {}

  const MachineLimits& limits() const { return meter_.limits(); }
  void measure_all() { meter_.measure_all(); }
  // After a layer whose neighbour finds its data where they are.
  void between_neighbours(double ms) {
    if (due(compute_, ms)) meter_.measure_compute();
  }
  // After a layer whose successor brings its data into the caches itself.
  void between_strangers(double ms) {
    if (due(levels_, ms)) meter_.measure_next_level();
  }

 private:
  static constexpr double kEvery = 5;  // ms
  static bool due(double& since, double ms) {
    since += ms;
    if (since < kEvery) return false;
    since = 0;
    return true;
  }

  LimitsMeter meter_;
  double compute_ = 0, levels_ = 0;
};

// The times of a network and its layers, one round after the other.
struct Rounds {
  Rounds(std::span<const nn::LayerInfo> infos, int batch)
      : infos(infos), batch(batch), within(infos.size()), alone(infos.size()) {}

  void run_whole(nn::Session& session, nn::ThreadPool& pool) {
    const Clock::time_point start = Clock::now();
    for (int image = 0; image < batch; ++image) session.run(&pool);
    whole.add(milliseconds(start));
  }

  // Right after run_whole.
  void run_layers(nn::Session& session, nn::ThreadPool& pool, Interleaved& machine) {
    std::vector<double> sums(infos.size());
    for (int image = 0; image < batch; ++image)
      for (std::size_t i = 0; i < infos.size(); ++i) {
        const Clock::time_point start = Clock::now();
        session.run_layer(static_cast<int>(i), &pool);
        const double ms = milliseconds(start);
        sums[i] += ms;
        machine.between_neighbours(ms);
      }
    double sum = 0;
    for (std::size_t i = 0; i < infos.size(); ++i) {
      within[i].add(sums[i]);
      sum += sums[i];
    }
    layers.add(sum);
    between.add(whole.all.back() - sum);
  }

  void run_each_alone(nn::Session& session, nn::ThreadPool& pool, Interleaved& machine) {
    constexpr int kRepeats = 2;
    double sum = 0;
    for (std::size_t i = 0; i < infos.size(); ++i) {
      // The first brings the layer's data into the cache.
      session.run_layer(static_cast<int>(i), &pool, true);
      double all = 0;
      for (int repeat = 0; repeat < kRepeats; ++repeat) {
        const Clock::time_point start = Clock::now();
        for (int image = 0; image < batch; ++image) session.run_layer(static_cast<int>(i), &pool, true);
        const double ms = milliseconds(start);
        alone[i].add(ms);
        all += ms;
      }
      // The mean, not the better of them: whole runs meet a busy machine as often.
      if (infos[i].kind == nn::LayerKind::convolution) sum += all / kRepeats;
      machine.between_strangers(all);
    }
    convolutions.add(sum);
  }

  std::span<const nn::LayerInfo> infos;
  int batch;
  std::vector<Times> within, alone;
  Times whole, layers, between, convolutions;
};

}  // namespace

LayerLimit layer_limit(const nn::LayerInfo& layer, double resident_weight_bytes,
                       const MachineLimits& machine) {
  struct Level {
    const char* name;
    double bytes, gb_s;
  };
  const std::array<Level, 4> levels = {{{"L1", static_cast<double>(machine.l1_bytes), machine.l1_gb_s},
                                        {"L2", static_cast<double>(machine.l2_bytes), machine.l2_gb_s},
                                        {"L3", static_cast<double>(machine.l3_bytes), machine.l3_gb_s},
                                        {"memory", HUGE_VAL, machine.memory_gb_s}}};
  const double executed =
      layer.executed_multiply_adds > 0 ? layer.executed_multiply_adds : layer.multiply_adds;
  const double activations = layer.activation_bytes;
  LayerLimit limit{2e-6 * executed / machine.peak_gflops, 0, "L1"};
  double nearer = 0;  // the size of the level before
  for (const Level& level : levels) {
    double bytes = 0;
    if (activations > nearer) bytes += activations;
    if (resident_weight_bytes > nearer) bytes += layer.weight_bytes;
    const double ms = 1e-6 * bytes / level.gb_s;
    if (ms > limit.bandwidth_ms) {
      limit.bandwidth_ms = ms;
      limit.level = level.name;
    }
    nearer = level.bytes;
  }
  return limit;
}

NetworkProfile profile(const nn::Plan& plan, nn::Session& session, nn::ThreadPool& pool,
                       const ProfileOptions& options) {
  const nn::Extent in = plan.input();
  std::fill_n(session.input(),
              static_cast<std::size_t>(in.channels) * static_cast<std::size_t>(in.height * in.width), 0.25f);
  Rounds rounds(plan.layers(), options.batch);
  Interleaved machine(pool, options.precision);
  session.run(&pool);
  int passes = 1;
  // Everything in turn in every round: what slows the machine for a while slows each of the figures alike.
  for (int round = 0; round < options.repetitions; ++round) {
    machine.measure_all();
    rounds.run_each_alone(session, pool, machine);
    // After the measurements above, what a small network keeps in the caches comes back.
    session.run(&pool);
    for (int pass = 0; pass < passes; ++pass) {
      rounds.run_whole(session, pool);
      rounds.run_layers(session, pool, machine);
    }
    // A small network is run more often in a round: a millisecond alone says little.
    if (round == 0) passes = static_cast<int>(std::clamp(20 / rounds.whole.min(), 1.0, 100.0));
  }
  NetworkProfile result{.layers = {},
                        .limits = machine.limits(),
                        .total_ms_min = rounds.whole.min(),
                        .total_ms_q1 = rounds.whole.quartile(1),
                        .total_ms_median = rounds.whole.median(),
                        .total_ms_q3 = rounds.whole.quartile(3),
                        .layers_ms_min = rounds.layers.min(),
                        .layers_ms_median = rounds.layers.median(),
                        .between_ms_median = rounds.between.median(),
                        .convolutions_ms_min = rounds.convolutions.min(),
                        .convolutions_ms_median = rounds.convolutions.median(),
                        .batch = options.batch,
                        .precision = options.precision,
                        .threads = pool.threads(),
                        .repetitions = options.repetitions};
  double weight_bytes = 0;
  for (const nn::LayerInfo& info : rounds.infos) weight_bytes += info.weight_bytes;
  for (std::size_t i = 0; i < rounds.infos.size(); ++i) {
    const nn::LayerInfo& info = rounds.infos[i];
    const LayerLimit limit = layer_limit(info, weight_bytes, result.limits);
    const double executed =
        info.executed_multiply_adds > 0 ? info.executed_multiply_adds : info.multiply_adds;
    result.layers.push_back({.name = info.name,
                             .kind = nn::to_string(info.kind),
                             .shape = info.shape,
                             .implementation = info.implementation,
                             .multiply_adds = options.batch * info.multiply_adds,
                             .executed_multiply_adds = options.batch * executed,
                             .activation_bytes = options.batch * info.activation_bytes,
                             .weight_bytes = options.batch * info.weight_bytes,
                             .run_ms_min = rounds.within[i].min(),
                             .run_ms_q1 = rounds.within[i].quartile(1),
                             .run_ms_median = rounds.within[i].median(),
                             .run_ms_q3 = rounds.within[i].quartile(3),
                             .alone_ms_min = rounds.alone[i].min(),
                             .alone_ms_median = rounds.alone[i].median(),
                             .compute_ms = options.batch * limit.compute_ms,
                             .bandwidth_ms = options.batch * limit.bandwidth_ms,
                             .level = limit.level});
  }
  return result;
}

std::shared_ptr<const nn::Plan> plan_to_profile(const Weights& weights, const ProfileOptions& options,
                                                nn::ThreadPool& pool) {
  if (options.batch < 1) reject("batch", std::to_string(options.batch), "1 or more");
  Weights::State& state = *weights.state();
  const std::string held(weights::to_string(state.file.info().architecture));
  const bool detector = state.file.info().architecture == weights::Architecture::mtcnn;
  const std::string network = options.network.empty() && !detector ? held : options.network;
  if (options.side != 0 && network != "pnet")
    reject("side", std::to_string(options.side), "0: only pnet takes inputs of another size");
  if (!detector) {
    if (network != held) reject("network", network, held + ", which " + state.name + " holds");
    return plan_embedder(state, {.precision = options.precision, .plan = options.plan}, pool);
  }
  if (options.precision != Precision::f32)
    reject("precision", options.precision == Precision::f16 ? "f16" : "bf16",
           "f32, in which a detector computes");
  if (options.plan != PlanKind::fast) reject("plan", "small", "fast, the only one of a detector");
  return mtcnn::plan_timed_net(state, network, options.side, pool);
}

NetworkProfile profile_layers(const Weights& weights, const ProfileOptions& options) {
  if (options.device.kind != DeviceKind::cpu)
    throw Error(ErrorCode::unsupported,
                "device is " + to_string(options.device) + ", expected cpu, whose layers alone are timed");
  if (options.repetitions < 1) reject("repetitions", std::to_string(options.repetitions), "1 or more");
  nn::ThreadPool pool(nn::thread_count(options.threads), nn::enter_worker_thread);
  const std::shared_ptr<const nn::Plan> plan = plan_to_profile(weights, options, pool);
  plan->keep_weights(&pool);
  const std::unique_ptr<nn::Session> session = plan->create_session(pool.threads());
  return profile(*plan, *session, pool, options);
}

}  // namespace adaface
