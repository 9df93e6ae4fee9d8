// The machine's limits, and the layers' times beside them. Nothing here depends on how long anything takes.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "src/machine_limits.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "src/profile.h"
#include "tests/golden.h"
#include "tests/synthetic_weights.h"

namespace {

namespace fs = std::filesystem;
using namespace adaface;
using adaface::testing::Scratch;
using doctest::Approx;

Weights untrained(const Scratch& scratch, weights::Architecture architecture) {
  const fs::path path = scratch.path / (std::string(to_string(architecture)) + ".afw");
  if (!fs::exists(path)) adaface::testing::write_weights(architecture, path);
  return Weights::load(path);
}

void add_cache(const fs::path& directory, int index, const std::string& level, const std::string& type,
               const std::string& size, const std::string& cpus) {
  const fs::path cache = directory / ("index" + std::to_string(index));
  fs::create_directories(cache);
  std::ofstream(cache / "level") << level << "\n";
  std::ofstream(cache / "type") << type << "\n";
  std::ofstream(cache / "size") << size << "\n";
  std::ofstream(cache / "shared_cpu_list") << cpus << "\n";
}

constexpr MachineLimits kMachine{.peak_gflops = 100,
                                 .l1_gb_s = 400,
                                 .l2_gb_s = 200,
                                 .l3_gb_s = 100,
                                 .memory_gb_s = 20,
                                 .l1_bytes = 32 << 10,
                                 .l2_bytes = 1 << 20,
                                 .l3_bytes = 32 << 20};

// Multiply-adds along one axis for each of a direct convolution's: a tile of 4 outputs takes 6, one of 2
// takes 4, and a 3x3 kernel 3 an output.
double winograd_share(const std::string& implementation, int outputs) {
  const bool mixed = implementation.starts_with("winograd 4+2");
  const int four = mixed ? outputs / 4 : implementation.starts_with("winograd 4") ? (outputs + 3) / 4 : 0;
  const int two = mixed ? (outputs % 4 + 1) / 2 : four == 0 ? (outputs + 1) / 2 : 0;
  return (6.0 * four + 4.0 * two) / (3.0 * outputs);
}

// The work of an IR network's layer for `batch` images, from its shape alone: no channels are padded.
void check_work(const LayerProfile& layer, int batch) {
  int in, in_height, in_width, out, height, width, kernel, stride;
  if (layer.kind != "convolution") return;
  REQUIRE(std::sscanf(layer.shape.c_str(), "%dx%dx%d -> %dx%dx%d k%d s%d", &in, &in_height, &in_width, &out,
                      &height, &width, &kernel, &stride) == 8);
  const double useful = static_cast<double>(batch) * in * out * kernel * kernel * height * width;
  CHECK(layer.multiply_adds == useful);
  CHECK(layer.weight_bytes >= 2.0 * batch * in * out * kernel * kernel);
  const bool winograd = layer.implementation.starts_with("winograd");
  const double expected = winograd ? useful * winograd_share(layer.implementation, height) *
                                         winograd_share(layer.implementation, width)
                                   : useful;
  CHECK(layer.executed_multiply_adds == Approx(expected).epsilon(1e-12));
}

// A network of a convolution and a pooling that does nothing but count.
struct CountingPlan final : nn::Plan {
  CountingPlan() {
    infos[0].name = "conv";
    infos[0].kind = nn::LayerKind::convolution;
    infos[0].multiply_adds = 1000;
    infos[0].executed_multiply_adds = 250;
    infos[0].activation_bytes = 100;
    infos[0].weight_bytes = 10;
    infos[1].name = "pool";
    infos[1].kind = nn::LayerKind::max_pool;
    infos[1].activation_bytes = 50;
  }
  std::unique_ptr<nn::Session> create_session(int) const override { return nullptr; }
  void keep_weights(nn::ThreadPool*, const nn::Progress*) const override {}
  std::span<const nn::LayerInfo> layers() const override { return infos; }
  nn::Extent input() const override { return {1, 1, 1}; }
  nn::Extent output() const override { return {1, 1, 1}; }
  std::array<nn::LayerInfo, 2> infos{};
};

struct CountingSession final : nn::Session {
  float* input() override { return &value; }
  const float* output() const override { return &value; }
  void run(nn::ThreadPool*, const nn::Progress*) override { ++runs; }
  void run_layer(int index, nn::ThreadPool*, bool bare) override { ++layers[bare][index]; }
  void run_until(int, std::vector<float>&) override {}
  float value = 0;
  int runs = 0, layers[2][2] = {};
};

}  // namespace

TEST_CASE("read_words: every version reads every word once") {
  constexpr unsigned kSeed = 20;
  std::printf("seed %u\n", kSeed);
  std::mt19937_64 random(kSeed);
  std::vector<std::uint64_t> words(1000);
  for (std::uint64_t& word : words) word = random();
  const kernels::Kernels &best = kernels::select(), &reference = kernels::definitions();
  CHECK(reference.read_words(words.data(), 0, false) == 0);
  CHECK(reference.read_words(words.data(), 2, false) == (words[0] ^ words[1]));
  // Around multiples of what a turn of the faster loops reads, from every alignment within a line.
  for (std::size_t count = 0; count <= 300; ++count)
    for (std::size_t first = 0; first < 8; ++first) {
      CAPTURE(count);
      CAPTURE(first);
      for (const bool from_memory : {false, true})
        REQUIRE(best.read_words(words.data() + first, count, from_memory) ==
                reference.read_words(words.data() + first, count, from_memory));
    }
}

TEST_CASE("multiply_adds: in proportion to the rounds") {
  for (const kernels::Kernels* table : {&kernels::select(), &kernels::definitions()})
    for (const auto multiply_adds : {table->multiply_adds, table->multiply_adds_bf16}) {
      CHECK(multiply_adds(1) >= 32);
      CHECK(multiply_adds(100) == 100 * multiply_adds(1));
    }
}

TEST_CASE("cache sizes from the kernel's files") {
  const Scratch scratch("caches");
  const CacheSizes defaults;
  const auto same = [](const CacheSizes& a, const CacheSizes& b) {
    return a.l1 == b.l1 && a.l2 == b.l2 && a.l3 == b.l3 && a.l3_cpus == b.l3_cpus;
  };
  CHECK(same(read_cache_sizes(scratch.path / "missing"), defaults));

  add_cache(scratch.path, 0, "1", "Data", "48K", "0-1");
  add_cache(scratch.path, 1, "1", "Instruction", "64K", "0-1");
  add_cache(scratch.path, 2, "2", "Unified", "2048K", "0-1");
  add_cache(scratch.path, 3, "3", "Unified", "96M", "0-3,8,10-11");
  CHECK(same(read_cache_sizes(scratch.path), {.l1 = 48 << 10, .l2 = 2 << 20, .l3 = 96 << 20, .l3_cpus = 7}));

  // What is no size leaves the default; sizes ascend.
  for (const char* size : {"", "-1K", "lots", "99999999999999999999K", "0K", "4G"}) {
    CAPTURE(size);
    add_cache(scratch.path, 0, "1", "Data", size, "0");
    CHECK(read_cache_sizes(scratch.path).l1 == defaults.l1);
  }
  add_cache(scratch.path, 3, "3", "Unified", "1M", "5-2");
  CHECK(
      same(read_cache_sizes(scratch.path), {.l1 = defaults.l1, .l2 = 2 << 20, .l3 = 4 << 20, .l3_cpus = 1}));
}

TEST_CASE("a layer's limit is the slowest of what it must do") {
  nn::LayerInfo layer{.name = "x", .kind = nn::LayerKind::convolution, .shape = "", .implementation = ""};
  layer.multiply_adds = 1e9;
  layer.weight_bytes = 4e6;
  layer.activation_bytes = 4e5;
  // 2e9 operations at 100 GFLOP/s; weights from memory at 20 GB/s.
  LayerLimit limit = layer_limit(layer, 200e6, kMachine);
  CHECK(limit.compute_ms == Approx(20));
  CHECK(limit.bandwidth_ms == Approx(0.2));
  CHECK(limit.level == std::string("memory"));
  // A network that the last cache holds; then one whose activations it does not.
  limit = layer_limit(layer, 10e6, kMachine);
  CHECK(limit.bandwidth_ms == Approx(0.04));
  CHECK(limit.level == std::string("L3"));
  layer.activation_bytes = 40e6;
  limit = layer_limit(layer, 10e6, kMachine);
  CHECK(limit.bandwidth_ms == Approx(2));
  CHECK(limit.level == std::string("memory"));
  // Winograd does with less.
  layer.executed_multiply_adds = 0.5e9;
  layer.activation_bytes = 12e5;
  limit = layer_limit(layer, 10e6, kMachine);
  CHECK(limit.compute_ms == Approx(10));
  CHECK(limit.bandwidth_ms == Approx((4e6 + 1.2e6) / 100e6));
  CHECK(limit.level == std::string("L3"));
  // All in the first cache.
  layer.weight_bytes = layer.activation_bytes = 4e3;
  limit = layer_limit(layer, 4e3, kMachine);
  CHECK(limit.bandwidth_ms == Approx(8e3 / 400e6));
  CHECK(limit.level == std::string("L1"));
}

TEST_CASE("every limit is found, on more threads than CPUs too") {
  for (const int threads : {1, 2, 5}) {
    CAPTURE(threads);
    nn::ThreadPool pool(threads);
    LimitsMeter meter(pool, Precision::f32, {.l1 = 16 << 10, .l2 = 64 << 10, .l3 = 256 << 10, .l3_cpus = 4});
    meter.measure_all();
    const MachineLimits first = meter.limits();
    for (const double rate :
         {first.peak_gflops, first.l1_gb_s, first.l2_gb_s, first.l3_gb_s, first.memory_gb_s})
      CHECK(rate > 0);
    // The best counts.
    for (int i = 0; i < 3; ++i) meter.measure_all();
    CHECK(meter.limits().peak_gflops >= first.peak_gflops);
    CHECK(meter.limits().memory_gb_s >= first.memory_gb_s);
    CHECK(first.l1_bytes == static_cast<std::size_t>(threads) * (16 << 10));
    CHECK(first.l3_bytes == (threads <= 4 ? 1u : 2u) * (256 << 10));
  }
}

TEST_CASE("the profile names every layer and adds up") {
  const Scratch scratch("profile");
  const Weights ir = untrained(scratch, weights::Architecture::ir_18);
  const Weights mtcnn = untrained(scratch, weights::Architecture::mtcnn);
  struct Case {
    const Weights& weights;
    std::string network, first, last;
    double multiply_adds;
  };
  // P-Net at 12x12: 10x10 pixels of 27 x 10, 3x3 of 90 x 16, 1 of 144 x 32 and of 32 x 6.
  // IR-18: 64 channels at 112x112 from 3 by 3x3, four stages of two units, 25088 x 512 at its end.
  for (const Case& c : {Case{ir, "", "stem", "head", 2597109760},
                        Case{mtcnn, "pnet", "pnet", "pnet", 27000 + 12960 + 4608 + 192},
                        Case{mtcnn, "rnet", "rnet.conv1", "rnet.heads", 1530768},
                        Case{mtcnn, "onet", "onet.conv1", "onet.heads", 12909952}}) {
    CAPTURE(c.network);
    const NetworkProfile profile = profile_layers(
        c.weights,
        {.network = c.network, .side = c.network == "pnet" ? 12 : 0, .threads = 2, .repetitions = 2});
    double multiply_adds = 0, run_min = 0;
    REQUIRE(profile.layers.size() >= (c.network == "pnet" ? 1 : 5));
    for (const LayerProfile& layer : profile.layers) {
      CAPTURE(layer.name);
      multiply_adds += layer.multiply_adds;
      run_min += layer.run_ms_min;
      CHECK(layer.run_ms_min > 0);
      CHECK(layer.alone_ms_min > 0);
      CHECK(layer.activation_bytes > 0);
      if (layer.kind == "convolution") CHECK(layer.weight_bytes > 0);
      if (c.network.empty()) check_work(layer, 1);
      CHECK(layer.compute_ms == Approx(2e-6 * layer.executed_multiply_adds / profile.limits.peak_gflops));
      CHECK(layer.bandwidth_ms > 0);
    }
    CHECK(profile.layers.front().name == c.first);
    CHECK(profile.layers.back().name == c.last);
    CHECK(multiply_adds == c.multiply_adds);
    // Least times come from several passes, so they add up to no more than any one pass.
    CHECK(run_min <= profile.layers_ms_min * (1 + 1e-9));
    CHECK(profile.total_ms_min > 0);
    CHECK(profile.limits.peak_gflops > 0);
    CHECK(profile.threads == 2);
  }
}

TEST_CASE("the images of a batch run one after the other, and add up") {
  nn::ThreadPool pool(1);
  const CountingPlan plan;
  for (const int batch : {1, 3}) {
    CAPTURE(batch);
    CountingSession session;
    const NetworkProfile result =
        profile(plan, session, pool, {.batch = batch, .threads = 1, .repetitions = 1});
    // Two whole runs that are not timed; what brings a layer's data into the cache, and two repeats of it
    // alone; one pass.
    CHECK(session.runs == 2 + batch);
    for (int layer = 0; layer < 2; ++layer) {
      CHECK(session.layers[false][layer] == batch);
      CHECK(session.layers[true][layer] == 1 + 2 * batch);
    }
    CHECK(result.batch == batch);
    REQUIRE(result.layers.size() == 2);
    const LayerProfile& conv = result.layers[0];
    CHECK(conv.multiply_adds == batch * 1000.0);
    CHECK(conv.executed_multiply_adds == batch * 250.0);
    CHECK(conv.activation_bytes == batch * 100.0);
    CHECK(conv.weight_bytes == batch * 10.0);
    CHECK(conv.compute_ms == Approx(2e-6 * batch * 250 / result.limits.peak_gflops));
    CHECK(conv.bandwidth_ms == Approx(1e-6 * batch * 110 / result.limits.l1_gb_s));
    CHECK(result.layers[1].activation_bytes == batch * 50.0);
  }
  const Scratch scratch("profile");
  const NetworkProfile result = profile_layers(untrained(scratch, weights::Architecture::ir_18),
                                               {.batch = 3, .threads = 2, .repetitions = 1});
  for (const LayerProfile& layer : result.layers) check_work(layer, 3);
}

TEST_CASE("what cannot be profiled is named") {
  const Scratch scratch("profile");
  const Weights ir = untrained(scratch, weights::Architecture::ir_18);
  const Weights mtcnn = untrained(scratch, weights::Architecture::mtcnn);
  const auto message = [](const Weights& weights, const ProfileOptions& options) -> std::string {
    try {
      profile_layers(weights, options);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      return error.what();
    }
    return "";
  };
  const auto has = [](const std::string& text, const std::string& part) {
    CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  };
  has(message(ir, {.network = "ir_50"}), "network is ir_50, expected ir_18");
  has(message(ir, {.network = "pnet"}), "network is pnet, expected ir_18");
  has(message(mtcnn, {}), "expected pnet, rnet or onet");
  has(message(mtcnn, {.network = "qnet"}), "network is qnet, expected pnet, rnet or onet");
  for (const int side : {10, 13, -4, 2000})
    has(message(mtcnn, {.network = "pnet", .side = side}), "side is " + std::to_string(side));
  has(message(mtcnn, {.network = "rnet", .side = 24}), "side is 24");
  for (const int batch : {0, -1})
    has(message(ir, {.batch = batch}), "batch is " + std::to_string(batch) + ", expected 1 or more");
  has(message(mtcnn, {.network = "onet", .plan = PlanKind::small}), "plan is small, expected fast");
  has(message(ir, {.threads = -1}), "-1");
  has(message(ir, {.repetitions = 0}), "repetitions is 0");
}
