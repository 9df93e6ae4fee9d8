// Plans for CUDA devices against those for the CPU, layer by layer; sessions over many images; what a device
// that has no memory left does.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "src/error.hpp"
#include "src/nn/cpu_backend.h"
#include "src/nn/cuda_backend.h"
#include "src/nn/cuda_device.h"
#include "src/nn/cuda_tiles.h"
#include "src/nn/network.h"
#include "tests/cuda_main.h"
#if defined(ADAFACE_EMULATED)
#include "tests/cuda_emulation/cuda_runtime.h"
#endif

namespace {

using namespace adaface;
using namespace adaface::nn;

constexpr unsigned kSeed = 20261125;
constexpr int kHeight = 18, kWidth = 20;
using Floats = std::vector<float>;
using Random = std::mt19937;

Floats uniform(Random& random, int count, float low = -1, float high = 1) {
  std::uniform_real_distribution<float> distribution(low, high);
  Floats values(static_cast<std::size_t>(count));
  for (float& value : values) value = distribution(random);
  return values;
}

ConvolutionWeights weights(Random& random, int in, int out, int kernel, bool slope) {
  const int row = in * kernel * kernel;
  ConvolutionWeights result;
  // Sums of about the size of what goes in.
  const float size = std::sqrt(3.0f / static_cast<float>(row));
  auto rows = std::make_shared<Floats>(uniform(random, out * row, -size, size));
  result.fill = [rows, row](int first, int count, float* dst) {
    std::copy_n(rows->begin() + first * row, count * row, dst);
  };
  result.bias = uniform(random, out);
  if (slope) result.slope = uniform(random, out, 0, 0.5f);
  return result;
}

Value norm(Random& random, Network& net, const std::string& name, Value x) {
  const int channels = net.values[static_cast<std::size_t>(x)].channels;
  return net.scale_shift(name, x, uniform(random, channels, 0.5f, 1.5f), uniform(random, channels));
}

// A unit of each kind that the embedding networks have.
Network small_network(Random& random) {
  Network net;
  Value x =
      net.convolution("stem", net.add_input({3, kHeight, kWidth}), 3, 1, 1, weights(random, 3, 16, 3, true));
  // Same width, stride 2: every second pixel is the shortcut.
  Value y =
      net.convolution("a.conv1", norm(random, net, "a.bn", x), 3, 1, 1, weights(random, 16, 16, 3, true));
  x = net.convolution("a.conv2", y, 3, 2, 1, weights(random, 16, 16, 3, false),
                      net.subsample("a.shortcut", x, 2));
  // Wider: a convolution is the shortcut.
  y = net.convolution("b.conv1", norm(random, net, "b.bn", x), 3, 1, 1, weights(random, 16, 40, 3, true));
  Value shortcut = net.convolution("b.shortcut", x, 1, 2, 0, weights(random, 16, 40, 1, false));
  x = net.convolution("b.conv2", y, 3, 2, 1, weights(random, 40, 40, 3, false), shortcut);
  // Same width, squeeze-and-excite.
  y = net.convolution("c.conv1", norm(random, net, "c.bn", x), 3, 1, 1, weights(random, 40, 40, 3, true));
  y = net.convolution("c.conv2", y, 3, 1, 1, weights(random, 40, 40, 3, false));
  x = net.squeeze_excite("c.se", y, uniform(random, 4 * 40), uniform(random, 40 * 4), x);
  net.convolution("head", norm(random, net, "head.bn", x), 5, 1, 0, weights(random, 40, 24, 5, false));
  return net;
}

int layer_number(const Plan& plan, const std::string& name) {
  for (std::size_t i = 0; i < plan.layers().size(); ++i)
    if (plan.layers()[i].name == name) return static_cast<int>(i);
  return -1;
}

Floats layer_values(const Plan& plan, nn::Session& session, const Floats& src, const std::string& name) {
  std::copy(src.begin(), src.end(), session.input());
  Floats values;
  session.run_until(layer_number(plan, name), values);
  return values;
}

// Greatest difference over the greatest value.
double difference(const Floats& a, const Floats& b) {
  REQUIRE(a.size() == b.size());
  double most = 0, greatest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    greatest = std::max(greatest, std::abs(static_cast<double>(b[i])));
    most = std::max(most, std::isfinite(a[i]) ? std::abs(static_cast<double>(a[i]) - b[i]) : 1e9);
  }
  return most / greatest;
}

std::vector<std::uint8_t> random_crops(Random& random, int count) {
  std::vector<std::uint8_t> crops(static_cast<std::size_t>(count * kHeight * kWidth * 3));
  for (std::uint8_t& v : crops) v = static_cast<std::uint8_t>(random());
  return crops;
}

}  // namespace

TEST_CASE("every layer equals the CPU's, every precision") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  const Network net = small_network(random);
  const Floats src = uniform(random, 3 * kHeight * kWidth);
  const auto cpu = plan_cpu(net, {});
  const auto cpu_session = cpu->create_session();
  struct Rounding {
    Precision precision;
    double unit;  // half a unit in the last place of what is stored
  };
  for (const Rounding& rounding :
       {Rounding{Precision::f16, 0x1p-12}, {Precision::bf16, 0x1p-9}, {Precision::f32, 0x1p-12}}) {
    const auto plan = plan_cuda(net, 0, rounding.precision);
    const auto session = plan->create_session();
    for (std::size_t i = 0; i < plan->layers().size(); ++i) {
      const LayerInfo& layer = plan->layers()[i];
      CAPTURE(layer.name);
      CAPTURE(static_cast<int>(rounding.precision));
      // A layer rounds its factors, of which each input has been rounded by all before it, and its result.
      const double allowed = 4 * rounding.unit * static_cast<double>(i + 2);
      const double off = difference(layer_values(*plan, *session, src, layer.name),
                                    layer_values(*cpu, *cpu_session, src, layer.name));
      CHECK(off <= allowed);
      CHECK(off > 0);  // something was rounded
    }
    CHECK(plan->layers().size() == 10);
    std::copy(src.begin(), src.end(), session->input());
    session->run();
    Floats last(session->output(), session->output() + 24);
    CHECK(last == layer_values(*plan, *session, src, "head"));
  }
}

TEST_CASE("many images at once, in both places, from the host and on the device") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  const auto plan = plan_cuda(small_network(random), 0, Precision::f16);
  const int count = 5;
  const std::size_t crop_bytes = kHeight * kWidth * 3;
  const std::vector<std::uint8_t> crops = random_crops(random, count);
  const auto one = plan->create_cuda_session(1), batch = plan->create_cuda_session(count);
  CHECK(batch->most_images() == count);
  Floats units, norms;
  for (int i = 0; i < count; ++i) {
    std::memcpy(one->host_crops(i % 2), crops.data() + static_cast<std::size_t>(i) * crop_bytes, crop_bytes);
    one->submit(i % 2, 1, false);
    const CudaSession::Result result = one->wait(i % 2);
    units.insert(units.end(), result.units, result.units + 24);
    norms.push_back(result.norms[0]);
    double square = 0;
    for (int k = 0; k < 24; ++k) square += static_cast<double>(result.units[k]) * result.units[k];
    CHECK(square == doctest::Approx(1).epsilon(1e-6));
  }
  CHECK(one->graph_count() == 2);  // of both places
  // Of what was given, not of what lay there.
  CHECK(std::ranges::adjacent_find(norms) == norms.end());
  const auto check = [&](const CudaSession::Result& result, int images) {
    for (int i = 0; i < images; ++i) {
      CHECK(result.norms[i] == doctest::Approx(norms[static_cast<std::size_t>(i)]).epsilon(2e-3));
      for (int k = 0; k < 24; ++k)
        CHECK(result.units[i * 24 + k] ==
              doctest::Approx(units[static_cast<std::size_t>(i * 24 + k)]).epsilon(0.01).scale(0.2));
    }
  };
  std::vector<Floats> again;
  for (int round = 0; round < 2; ++round) {
    // Both under way before either is waited for; the channels of one given in the other order.
    std::memcpy(batch->host_crops(0), crops.data(), crops.size());
    batch->submit(0, count, false);
    std::uint8_t* swapped = batch->host_crops(1);
    for (std::size_t i = 0; i < 3 * crop_bytes; ++i) swapped[i] = crops[i / 3 * 3 + 2 - i % 3];
    batch->submit(1, 3, true);
    const CudaSession::Result first = batch->wait(0), second = batch->wait(1);
    check(first, count);
    check(second, 3);
    again.emplace_back(first.units, first.units + count * 24);
  }
  CHECK(again[0] == again[1]);
  // The crops of place 0 lie on the device.
  batch->submit_on_device(0, count, false, nullptr);
  const CudaSession::Result result = batch->wait(0);
  CHECK(Floats(result.units, result.units + count * 24) == again[0]);
  // To place 1 they come on a stream of the caller's.
  cuda::Stream stream;
  std::memcpy(batch->host_crops(0), crops.data(), crops.size());
  stream.upload(batch->device_crops(1), batch->host_crops(0), crops.size());
  batch->submit_on_device(1, count, false, &stream);
  const CudaSession::Result late = batch->wait(1);
  CHECK(Floats(late.units, late.units + count * 24) == again[0]);
}

TEST_CASE("threads with a session each over one plan get the same bits, while sessions come and go") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  const auto plan = plan_cuda(small_network(random), 0, Precision::f16);
  constexpr int kThreads = 6, kRounds = 3, kCount = 2;
  const std::vector<std::uint8_t> crops = random_crops(random, kCount);
  const auto embed = [&](CudaSession& session, int place) {
    std::memcpy(session.host_crops(place), crops.data(), crops.size());
    session.submit(place, kCount, false);
    const CudaSession::Result result = session.wait(place);
    return Floats(result.units, result.units + kCount * 24);
  };
  const Floats expected = embed(*plan->create_cuda_session(kCount), 0);
  std::atomic<int> same = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < kRounds; ++round) {
        const auto session = plan->create_cuda_session(kCount);
        // The second time from the graph that the first has captured.
        for (int i = 0; i < 2; ++i) same += embed(*session, (t + round) % 2) == expected;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(same == 2 * kThreads * kRounds);
}

TEST_CASE("the tile that is chosen can be used and takes least, on every kind of device") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  using kernels::cuda::ConvolutionTile;
  cuda::DeviceLimits clusters{.compute_major = 9, .multiprocessors = 132, .shared_bytes = 228 << 10};
  for (int blocks = 2; blocks <= kernels::cuda::kMostInCluster; ++blocks)
    for (int together = 1; together <= 2; ++together)
      clusters.clusters[together - 1][blocks] = 8 * (16 * together / blocks);
  const cuda::DeviceLimits devices[] = {
      clusters,
      {.compute_major = 8, .multiprocessors = 108, .shared_bytes = 164 << 10},
      {.compute_major = 8, .compute_minor = 9, .multiprocessors = 58, .shared_bytes = 100 << 10},
      {.compute_major = 12, .multiprocessors = 170, .shared_bytes = 100 << 10}};
  for (const cuda::DeviceLimits& device : devices)
    for (int i = 0; i < 100; ++i) {
      kernels::cuda::Convolution c{};
      c.channels = 64 << random() % 4;
      c.out_channels = 64 << random() % 4;
      c.height = c.width = c.out_height = c.out_width = 7 << random() % 5;
      c.kernel = random() % 2 ? 3 : 1;
      const int images = 1 << random() % 8;
      CAPTURE(device.compute_major);
      CAPTURE(c.channels);
      CAPTURE(images);
      const ConvolutionTile chosen = cuda::choose_tile(c, images, device);
      CHECK(cuda::can_use(c, chosen, images, device));
      const long long tiles =
          (static_cast<long long>(images) * c.out_height * c.out_width + chosen.rows - 1) / chosen.rows *
          ((c.out_channels + chosen.columns - 1) / chosen.columns);
      if (chosen.cluster) {
        CHECK(device.compute_major >= 9);
        CHECK(tiles <= device.clusters[cuda::blocks_together(chosen, device) - 1][chosen.splits]);
      }
      CHECK(chosen.splits * kernels::cuda::kDepthBytes <= c.row_bytes());
      CHECK((!chosen.warpgroups || device.compute_major == 9));
      for (const ConvolutionTile& other : kernels::cuda::kTiles)
        if (cuda::can_use(c, other, images, device))
          CHECK(cuda::estimate(c, chosen, images, device) <= cuda::estimate(c, other, images, device));
    }
}

TEST_CASE("no cluster is used where a device has no room for one, however few blocks there are") {
  kernels::cuda::Convolution c{};
  c.channels = c.out_channels = 64;
  c.height = c.width = c.out_height = c.out_width = 7;
  c.kernel = 3;
  cuda::DeviceLimits device{.compute_major = 9, .multiprocessors = 132, .shared_bytes = 228 << 10};
  for (kernels::cuda::ConvolutionTile tile : kernels::cuda::kTiles) {
    CAPTURE(tile.rows);
    CAPTURE(tile.columns);
    CAPTURE(tile.stages);
    tile.splits = 2;
    tile.cluster = true;
    int& count = device.clusters[cuda::blocks_together(tile, device) - 1][tile.splits];
    count = 0;
    CHECK(!cuda::can_use(c, tile, 1, device));
    count = 1;
    CHECK(cuda::can_use(c, tile, 1, device));
  }
}

TEST_CASE("a capture refuses what is no part of a graph, and leaves the stream to the next") {
  cuda::Stream stream, other;
  cuda::DeviceMemory memory(256, "test");
  const auto clear = [&] { stream.clear(memory.data(), memory.bytes()); };
  const cuda::Graph outside(stream, clear);
  CHECK(!outside.is_empty());
  cuda::Event event;
  other.record(event);
  const std::pair<const char*, std::function<void()>> forbidden[] = {
      {"memory", [] { cuda::DeviceMemory(256, "test"); }},
      {"a wait for the stream", [&] { stream.synchronize("test"); }},
      {"an event of another stream", [&] { stream.wait_for(event); }},
      {"a graph", [&] { outside.launch(stream); }}};
  for (const auto& [what, act] : forbidden) {
    CAPTURE(what);
    const auto enqueue = [&] {
      clear();
      act();
    };
    CHECK_THROWS_AS(cuda::Graph(stream, enqueue), Error);
    // Nor is there a graph of what was before, even if nobody was told.
    const auto swallow = [&] {
      clear();
      try {
        act();
      } catch (const Error&) {
      }
    };
    if (is_emulated()) CHECK(cuda::Graph(stream, swallow).is_empty());
    const cuda::Graph next(stream, clear);
    next.launch(stream);
    stream.synchronize("test");
  }
}

TEST_CASE("layers that no kernel here computes are refused by name") {
  Random random(kSeed);
  Network net;
  Value x = net.convolution("stem", net.add_input({3, 6, 6}), 3, 1, 1, weights(random, 3, 16, 3, true));
  net.convolution("odd", x, 3, 1, 1, weights(random, 16, 20, 3, true));
  CHECK_THROWS_WITH_AS(plan_cuda(net, 0, Precision::f16), doctest::Contains("layer odd"), Error);
  Network other;
  x = other.convolution("stem", other.add_input({3, 6, 6}), 3, 1, 1, weights(random, 3, 16, 3, true));
  norm(random, other, "alone", x);
  CHECK_THROWS_WITH_AS(plan_cuda(other, 0, Precision::f16), doctest::Contains("layer alone"), Error);
}

#if defined(ADAFACE_EMULATED)
TEST_CASE("the order of threads does not matter") {
  Random random(kSeed);
  const auto plan = plan_cuda(small_network(random), 0, Precision::f16);
  const Floats src = uniform(random, 3 * kHeight * kWidth);
  Floats first;
  for (const unsigned seed : {0u, 1u, 2u, 3u}) {
    emulation::set_schedule(seed);
    const auto session = plan->create_session();
    std::copy(src.begin(), src.end(), session->input());
    session->run();
    const Floats result(session->output(), session->output() + 24);
    if (first.empty()) first = result;
    CHECK(result == first);
  }
  emulation::set_schedule(0);
}

TEST_CASE(
    "a capture that another thread ends: the batch is computed all the same, and the next one captured") {
  Random random(kSeed);
  const auto plan = plan_cuda(small_network(random), 0, Precision::f16);
  constexpr int kCount = 2;
  const std::vector<std::uint8_t> crops = random_crops(random, kCount);
  const auto embed = [&](CudaSession& session) {
    std::memcpy(session.host_crops(0), crops.data(), crops.size());
    session.submit(0, kCount, false);
    const CudaSession::Result result = session.wait(0);
    return Floats(result.units, result.units + kCount * 24);
  };
  const Floats expected = embed(*plan->create_cuda_session(kCount));
  int operations = 0;
  for (bool undisturbed = false; !undisturbed; ++operations) {
    CAPTURE(operations);
    const auto session = plan->create_cuda_session(kCount);
    emulation::invalidate_capture(operations);
    CHECK(embed(*session) == expected);
    undisturbed = !emulation::was_invalidated();
    CHECK(session->graph_count() == (undisturbed ? 1 : 0));
    // Captured now, where it was not before; then from the graph.
    CHECK(embed(*session) == expected);
    CHECK(session->graph_count() == 1);
    emulation::invalidate_capture(-1);
    CHECK(embed(*session) == expected);
  }
  std::printf("%d operations of a capture\n", operations - 1);
  // At the least the input, ten layers, norms, results, and the end of the capture.
  CHECK(operations - 1 >= 14);
}

TEST_CASE("a plan on one device touches nothing of another") {
  Random random(kSeed);
  const std::size_t uses = emulation::uses(0), allocated = emulation::allocated(0);
  {
    const auto plan = plan_cuda(small_network(random), 1, Precision::f16);
    const auto session = plan->create_cuda_session(2);
    session->submit(0, 2, false);
    session->wait(0);
    CHECK(emulation::allocated(1) > 0);
  }
  CHECK(emulation::uses(0) == uses);
  CHECK(emulation::allocated(0) == allocated);
  CHECK(emulation::allocated(1) == 0);
}

TEST_CASE(
    "no memory for the n-th allocation: an error that says for what, nothing lost, and it works afterwards") {
  Random random(kSeed);
  const Network net = small_network(random);
  const std::size_t before = emulation::allocated();
  int allocations = 0;
  for (bool done = false; !done; ++allocations) {
    emulation::fail_allocation(allocations);
    try {
      const auto plan = plan_cuda(net, 0, Precision::bf16);
      const auto session = plan->create_cuda_session(2);
      done = true;
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::out_of_memory);
      CHECK(std::string(error.what()).find(" for ") != std::string::npos);
      CHECK(std::string(error.what()).find("CUDA device 0: ") == 0);
    }
    emulation::fail_allocation(-1);
    CHECK(emulation::allocated() == before);
  }
  std::printf("%d allocations\n", allocations - 1);
  CHECK(allocations > 10);
  CHECK_NOTHROW(plan_cuda(net, 0, Precision::bf16)->create_session()->run());
}
#endif
