// Many runs hold no more memory than few.
//
// ADAFACE_ENDURANCE: how many embeddings, and a hundredth of it detections and decoded pictures; 300 without
// it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <malloc.h>

#include <algorithm>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <doctest/doctest.h>

#include "src/error.hpp"
#include "src/nn/cpu_backend.h"
#include "src/nn/network.h"
#include "src/nn/open_mp.h"
#include "src/nn/plan.h"
#include "src/nn/thread_pool.h"
#include "tests/allocations.h"
#include "tests/cpu.h"
#include "tests/small_models.h"

namespace {

using namespace adaface;
using namespace adaface::testing;

constexpr unsigned kSeed = 1112;

// A layer keeps its weights by its ninth run.
constexpr int kWarmUp = 12;

// What the C library keeps of memory that was given back: up to 128 KiB at the top of each of its heaps with
// the settings below, of which each thread has one, and as much again that lies between blocks in use.
constexpr std::int64_t kResidentSlack = std::int64_t{1} << 20;

int embeddings() {
  const char* text = std::getenv("ADAFACE_ENDURANCE");
  return text ? std::atoi(text) : 300;
}

// Without these the C library would raise both to the largest block that it has seen freed.
void keep_little() {
  REQUIRE(::mallopt(M_MMAP_THRESHOLD, 128 << 10) == 1);
  REQUIRE(::mallopt(M_TRIM_THRESHOLD, 128 << 10) == 1);
}

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * 4096;
}

struct Memory {
  Holdings held = holdings();
  std::int64_t resident = resident_bytes();
};

void check_growth(const char* what, int runs, const Memory& before, const Memory& after) {
  std::printf(
      "%s: %d runs, held %lld bytes in %lld blocks, then %lld in %lld; resident %lld KiB, then %lld\n", what,
      runs, static_cast<long long>(before.held.bytes), static_cast<long long>(before.held.blocks),
      static_cast<long long>(after.held.bytes), static_cast<long long>(after.held.blocks),
      static_cast<long long>(before.resident >> 10), static_cast<long long>(after.resident >> 10));
  // The C library gives a block 16 bytes more than asked for where they would be too few for another block.
  Holdings held = after.held;
  held.bytes = before.held.bytes;
  CHECK(held == before.held);
  CHECK(std::abs(after.held.bytes - before.held.bytes) <= 16 * 8);
  CHECK(after.resident - before.resident <= kResidentSlack);
}

// Every kind of layer and of convolution that an IR network has, on 16x16 pixels.
nn::Network small_network(std::vector<float>& weights) {
  constexpr int kChannels = 16, kSide = 16;
  std::mt19937 random(kSeed);
  std::uniform_real_distribution<float> uniform(-0.1f, 0.1f);
  weights.resize(512 * kChannels * kSide * kSide / 4);
  for (float& weight : weights) weight = uniform(random);
  const auto convolution = [&](int in, int kernel, int out, bool in_place) {
    nn::ConvolutionWeights result;
    result.fill = [&weights, row = in * kernel * kernel](int first, int count, float* dst) {
      std::copy_n(weights.begin() + first * row, count * row, dst);
    };
    result.bias.assign(static_cast<std::size_t>(out), 0.1f);
    if (kernel == 3) result.slope.assign(static_cast<std::size_t>(out), 0.25f);
    if (in_place) result.rows = weights.data();
    if (in_place) result.row_scale.assign(static_cast<std::size_t>(out), 1.0f);
    return result;
  };
  const std::vector<float> ones(kChannels, 1.0f), zeros(kChannels, 0.0f);
  const std::vector<float> squeeze(4 * kChannels, 0.1f);
  nn::Network net;
  nn::Value x =
      net.convolution("stem", net.add_input({3, kSide, kSide}), 3, 1, 1, convolution(3, 3, kChannels, false));
  nn::Value shortcut = net.subsample("shortcut", x, 2);
  nn::Value y = net.scale_shift("bn", x, ones, zeros);
  y = net.convolution("winograd", y, 3, 1, 1, convolution(kChannels, 3, kChannels, true));
  y = net.convolution("strided", y, 3, 2, 1, convolution(kChannels, 3, kChannels, false));
  y = net.squeeze_excite("se", y, squeeze, squeeze, shortcut);
  net.convolution("head", y, kSide / 2, 1, 0, convolution(kChannels, kSide / 2, 512, true));
  return net;
}

}  // namespace

TEST_CASE("a small network of every layer: what is held stays the same") {
  keep_little();
  std::printf("seed %u\n", kSeed);
  const int runs = std::max(10000, embeddings());
  std::vector<float> weights;
  const nn::Network network = small_network(weights);
  for (const int threads : {1, 2}) {
    nn::ThreadPool pool(threads, nn::enter_worker_thread);
    const auto plan = nn::plan_cpu(network, {.threads = threads});
    const auto session = plan->create_session(threads);
    const auto run = [&] {
      std::fill_n(session->input(), 3 * 16 * 16, 0.5f);
      session->run(&pool);
    };
    for (int i = 0; i < kWarmUp; ++i) run();
    // OpenMP keeps a block for each thread that has entered: wait until all have.
    std::barrier all(threads);
    pool.run(threads, [&](int, int) { all.arrive_and_wait(); });
    const Memory before;
    for (int i = 0; i < runs; ++i) run();
    check_growth(threads == 1 ? "small network, 1 thread" : "small network, 2 threads", runs, before, {});
  }
}

TEST_CASE("embeddings, detections and decoded pictures: what is held stays the same") {
  keep_little();
  const Weights model = Weights::load(small_models().embedder);
  const Precision precision = onednn_isa() >= Isa::avx512_bf16 ? Precision::bf16 : Precision::f32;
  Embedder embedder(model, {.threads = 1, .precision = precision});
  Detector detector(Weights::load(small_models().detector), small_detection(1));
  Image crops[] = {noise(kCropSize, kCropSize, kSeed), noise(kCropSize, kCropSize, kSeed + 1)};
  Image pictures[] = {noise(90, 70, kSeed), noise(40, 120, kSeed + 1), noise(200, 150, kSeed + 2)};
  std::vector<std::byte> files[] = {encode_jpeg(pictures[0]), encode_png(pictures[1]),
                                    encode_jpeg(pictures[2])};
  const auto run = [&](int i) {
    embedder.embed(crops[i % 2]);
    if (i % 100 != 0) return;
    const auto turn = static_cast<std::size_t>(i / 100) % std::size(files);
    detector.detect(decode_image(files[turn]));
  };
  for (int i = 0; i < kWarmUp; ++i) run(100 * i);
  const Memory before;
  // A detector keeps what it needed for the last picture: the last one is the same as before.
  const int runs = (embeddings() + 299) / 300 * 300;
  for (int i = 0; i < runs; ++i) run(i);
  check_growth("ir_18, one crop at a time, and mtcnn", runs, before, {});
}
