// Layers against plain loops in double, on shapes chosen to be awkward; the pool; the planner.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <stdexcept>
#include <thread>

#include <doctest/doctest.h>

#include "src/error.hpp"
#include "src/nn/cpu_backend.h"
#include "src/nn/network.h"
#include "src/nn/open_mp.h"
#include "src/nn/plan.h"
#include "src/nn/thread_pool.h"

namespace {

using namespace adaface;
using namespace adaface::nn;

constexpr unsigned kSeed = 20161124;
using Random = std::mt19937;
using Floats = std::vector<float>;

Floats uniform(Random& random, std::size_t count) {
  std::uniform_real_distribution<float> distribution(-1, 1);
  Floats values(count);
  for (float& value : values) value = distribution(random);
  return values;
}

struct Case {
  int in, out, height, width, kernel, stride, padding;
  bool prelu;
};

struct Filled {
  Floats weights, bias, slope;
  ConvolutionWeights describe(std::size_t row) const {
    ConvolutionWeights result;
    result.fill = [this, row](int first, int count, float* dst) {
      std::copy_n(weights.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(first) * row),
                  static_cast<std::size_t>(count) * row, dst);
    };
    result.bias = bias;
    result.slope = slope;
    return result;
  }
};

Filled fill(Random& random, const Case& c) {
  const auto out = static_cast<std::size_t>(c.out);
  return {uniform(random, out * static_cast<std::size_t>(c.in * c.kernel * c.kernel)), uniform(random, out),
          c.prelu ? uniform(random, out) : Floats{}};
}

// {channels, height, width} in and out. `bound` receives the sum of |products| for each output: what rounding
// scales with.
Floats convolve(const Case& c, const Floats& src, const Filled& f, const Floats& residual, Floats& bound) {
  const int oh = (c.height + 2 * c.padding - c.kernel) / c.stride + 1,
            ow = (c.width + 2 * c.padding - c.kernel) / c.stride + 1;
  Floats dst;
  for (int o = 0; o < c.out; ++o)
    for (int y = 0; y < oh; ++y)
      for (int x = 0; x < ow; ++x) {
        double sum = f.bias[static_cast<std::size_t>(o)], size = std::abs(sum);
        for (int i = 0; i < c.in; ++i)
          for (int v = 0; v < c.kernel; ++v)
            for (int u = 0; u < c.kernel; ++u) {
              const int sy = y * c.stride + v - c.padding, sx = x * c.stride + u - c.padding;
              if (sy < 0 || sx < 0 || sy >= c.height || sx >= c.width) continue;
              const double product =
                  static_cast<double>(src[static_cast<std::size_t>((i * c.height + sy) * c.width + sx)]) *
                  f.weights[static_cast<std::size_t>(((o * c.in + i) * c.kernel + v) * c.kernel + u)];
              sum += product;
              size += std::abs(product);
            }
        if (c.prelu && sum < 0) sum *= f.slope[static_cast<std::size_t>(o)];
        if (!residual.empty()) {
          sum += residual[dst.size()];
          size += std::abs(residual[dst.size()]);
        }
        dst.push_back(static_cast<float>(sum));
        bound.push_back(static_cast<float>(size));
      }
  return dst;
}

// {height, width, channels} to {channels, height, width}.
Floats planar(const float* hwc, const Extent& e) {
  Floats chw;
  for (int c = 0; c < e.channels; ++c)
    for (int p = 0; p < e.height * e.width; ++p) chw.push_back(hwc[p * e.channels + c]);
  return chw;
}

// A 1x1 convolution of planes, two 3x3 convolutions between which the residual stream runs, and one that
// brings it to four channels. The 3x3 weights lie in memory, as those of a mapped file do, with a scale for
// each output channel.
struct InPlace {
  Case middle;
  Filled first, second, third, last;
  Floats scale, src;

  InPlace(Random& random, const Case& c)
      : middle(c),
        first(fill(random, {3, c.in, c.height, c.width, 1, 1, 0, true})),
        second(fill(random, c)),
        third(fill(random, {c.out, c.in, c.height, c.width, 3, 1, 1, false})),
        last(fill(random, {c.in, 4, c.height, c.width, 1, 1, 0, false})),
        scale(uniform(random, static_cast<std::size_t>(std::max(c.in, c.out)))),
        src(uniform(random, static_cast<std::size_t>(3 * c.height * c.width))) {}

  ConvolutionWeights scaled(const Filled& f, int in, bool in_place) const {
    const std::size_t row = static_cast<std::size_t>(in) * 9;
    ConvolutionWeights result = f.describe(row);
    result.fill = [this, &f, row](int first_row, int count, float* dst) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(count) * row; ++i) {
        const std::size_t at = static_cast<std::size_t>(first_row) * row + i;
        dst[i] = f.weights[at] * scale[at / row];
      }
    };
    if (!in_place) return result;
    result.rows = f.weights.data();
    result.row_scale.assign(scale.begin(), scale.begin() + static_cast<std::ptrdiff_t>(f.bias.size()));
    return result;
  }

  Network describe(bool in_place) const {
    Network net;
    const Value x =
        net.convolution("first", net.add_input({3, middle.height, middle.width}), 1, 1, 0, first.describe(3));
    const Value y = net.convolution("second", x, 3, 1, 1, scaled(second, middle.in, in_place));
    const Value z = net.convolution("third", y, 3, 1, 1, scaled(third, middle.out, in_place), x);
    net.convolution("last", z, 1, 1, 0, last.describe(static_cast<std::size_t>(middle.in)));
    return net;
  }
};

// A fast plan keeps a layer's weights in its second to ninth run.
constexpr int kRunsUntilKept = 12;

bool same_bits(const float* actual, const Floats& expected) {
  return std::memcmp(actual, expected.data(), expected.size() * sizeof(float)) == 0;
}

Floats run_once(const Plan& plan, const Floats& src, int threads) {
  ThreadPool pool(threads, enter_worker_thread);
  const auto session = plan.create_session(threads);
  std::copy(src.begin(), src.end(), session->input());
  session->run(&pool);
  const Extent out = plan.output();
  return {session->output(), session->output() + out.channels * out.height * out.width};
}

// Greatest difference in units of 2^-24 * bound; a sum of n products in any order stays below n of them.
double worst(const Floats& actual, const Floats& expected, const Floats& bound) {
  REQUIRE(actual.size() == expected.size());
  double result = 0;
  for (std::size_t i = 0; i < actual.size(); ++i)
    result = std::max(result, std::abs(static_cast<double>(actual[i]) - expected[i]) / (0x1p-24 * bound[i]));
  return result;
}

}  // namespace

TEST_CASE("convolutions on awkward shapes, split any way") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  const Case cases[] = {
      {3, 10, 22, 17, 3, 1, 0, true},  {3, 64, 16, 16, 3, 1, 1, true},   {10, 16, 9, 14, 3, 1, 0, true},
      {28, 48, 11, 11, 3, 1, 0, true}, {48, 64, 4, 4, 2, 1, 0, true},    {64, 128, 3, 3, 3, 1, 0, true},
      {32, 6, 5, 7, 1, 1, 0, false},   {64, 64, 13, 13, 3, 2, 1, false}, {64, 128, 13, 12, 1, 2, 0, false},
      {17, 33, 7, 5, 3, 1, 1, true},   {128, 80, 7, 7, 7, 1, 0, false},  {1, 1, 1, 1, 1, 1, 0, true},
  };
  for (const Case& c : cases) {
    CAPTURE(c.in);
    CAPTURE(c.out);
    CAPTURE(c.kernel);
    const Filled first = fill(random, {c.in, c.in, c.height, c.width, 1, 1, 0, false}),
                 second = fill(random, c);
    const Floats src = uniform(random, static_cast<std::size_t>(c.in * c.height * c.width));
    // A 1x1 convolution in front: its output has the blocked layout that the one under test reads, but for
    // the planar input layers.
    const bool from_input = c.in <= 3;
    Network net;
    Value x = net.add_input({c.in, c.height, c.width});
    if (!from_input) x = net.convolution("front", x, 1, 1, 0, first.describe(static_cast<std::size_t>(c.in)));
    net.convolution("tested", x, c.kernel, c.stride, c.padding,
                    second.describe(static_cast<std::size_t>(c.in * c.kernel * c.kernel)));
    Floats ignored, bound;
    Floats middle = src;
    if (!from_input)
      middle = convolve({c.in, c.in, c.height, c.width, 1, 1, 0, false}, src, first, {}, ignored);
    const Floats expected = convolve(c, middle, second, {}, bound);
    Floats one_thread;
    for (const int threads : {1, 2, 3, 8}) {
      ThreadPool pool(threads, enter_worker_thread);
      const auto plan = plan_cpu(net, {.threads = threads});
      const auto session = plan->create_session(threads);
      std::copy(src.begin(), src.end(), session->input());
      session->run(&pool);
      const Floats actual = planar(session->output(), plan->output());
      // Products of the layer under test, and those of the layer in front that its inputs carry along.
      CHECK(worst(actual, expected, bound) <= c.in * c.kernel * c.kernel + c.in + 2);
      if (threads == 1) one_thread = actual;
      CHECK(std::memcmp(actual.data(), one_thread.data(), actual.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("residual, batch norm, subsample: the residual stream in place") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  const Case stem{3, 20, 9, 9, 3, 1, 1, true}, conv{20, 20, 9, 9, 3, 2, 1, false};
  const Filled f0 = fill(random, stem), f1 = fill(random, conv);
  const Floats scale = uniform(random, 20), shift = uniform(random, 20), src = uniform(random, 3 * 81);
  Network net;
  const Value x = net.convolution("stem", net.add_input({3, 9, 9}), 3, 1, 1, f0.describe(27));
  const Value y = net.scale_shift("bn", x, scale, shift);
  const Value shortcut = net.subsample("shortcut", x, 2);
  net.convolution("conv", y, 3, 2, 1, f1.describe(180), shortcut);

  Floats ignored, bound;
  const Floats middle = convolve(stem, src, f0, {}, ignored);
  Floats normed = middle, sampled;
  for (std::size_t i = 0; i < normed.size(); ++i) normed[i] = normed[i] * scale[i / 81] + shift[i / 81];
  for (int c = 0; c < 20; ++c)
    for (int v = 0; v < 9; v += 2)
      for (int u = 0; u < 9; u += 2) sampled.push_back(middle[static_cast<std::size_t>((c * 9 + v) * 9 + u)]);
  const Floats expected = convolve(conv, normed, f1, sampled, bound);
  for (const int threads : {1, 2}) {
    ThreadPool pool(threads, enter_worker_thread);
    const auto session = plan_cpu(net, {.threads = threads})->create_session(threads);
    for (int run = 0; run < 2; ++run) {  // the arena is used again
      std::copy(src.begin(), src.end(), session->input());
      session->run(&pool);
      CHECK(worst(planar(session->output(), {20, 5, 5}), expected, bound) <= 180 + 27 + 4);
    }
  }
}

TEST_CASE("a residual that is read again later is a defect of the network") {
  Random random(kSeed);
  const Case c{3, 8, 4, 4, 1, 1, 0, false}, d{8, 8, 4, 4, 1, 1, 0, false};
  const Filled f = fill(random, c), g = fill(random, d);
  Network net;
  const Value x = net.convolution("a", net.add_input({3, 4, 4}), 1, 1, 0, f.describe(3));
  const Value y = net.convolution("b", x, 1, 1, 0, g.describe(8));
  net.convolution("c", y, 1, 1, 0, g.describe(8), x);
  net.convolution("d", x, 1, 1, 0, g.describe(8));
  CHECK_THROWS_AS(plan_cpu(net, {}), Error);
}

TEST_CASE("squeeze and excite") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  const Case c{3, 32, 6, 5, 1, 1, 0, false};
  const Filled f = fill(random, c), g = fill(random, c);
  const Floats fc1 = uniform(random, 2 * 32), fc2 = uniform(random, 32 * 2), src = uniform(random, 90);
  Network net;
  const Value in = net.add_input({3, 6, 5});
  const Value x = net.convolution("x", in, 1, 1, 0, f.describe(3)),
              r = net.convolution("r", in, 1, 1, 0, g.describe(3));
  net.squeeze_excite("se", x, fc1, fc2, r);
  Floats ignored;
  const Floats a = convolve(c, src, f, {}, ignored), b = convolve(c, src, g, {}, ignored);
  double hidden[2] = {0, 0};
  for (std::size_t s = 0; s < 2; ++s) {
    for (std::size_t i = 0; i < a.size(); ++i) hidden[s] += fc1[s * 32 + i / 30] * a[i] / 30.0;
    hidden[s] = std::max(hidden[s], 0.0);
  }
  CHECK(hidden[0] + hidden[1] > 0);
  const auto session = plan_cpu(net, {})->create_session();
  std::copy(src.begin(), src.end(), session->input());
  session->run();
  const Floats actual = planar(session->output(), {32, 6, 5});
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double gate = 1 / (1 + std::exp(-(fc2[i / 30 * 2] * hidden[0] + fc2[i / 30 * 2 + 1] * hidden[1])));
    CHECK(actual[i] == doctest::Approx(a[i] * gate + b[i]).epsilon(1e-5).scale(1));
  }
}

TEST_CASE("weights used where they lie: the same bits before, while and after they are kept") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  // One band of tiles; several, too few to give each thread two; enough to.
  for (const Case& c : {Case{48, 40, 14, 14, 3, 1, 1, true}, Case{64, 64, 56, 56, 3, 1, 1, true},
                        Case{32, 32, 112, 112, 3, 1, 1, true}}) {
    CAPTURE(c.in);
    CAPTURE(c.height);
    const InPlace layers(random, c);
    const Floats expected = run_once(*plan_cpu(layers.describe(false), {}), layers.src, 1);
    for (const PlanKind kind : {PlanKind::fast, PlanKind::small})
      for (const int threads : {1, 2}) {
        CAPTURE(threads);
        const auto plan = plan_cpu(layers.describe(true), {.threads = 2, .kind = kind});
        ThreadPool pool(threads, enter_worker_thread);
        const auto session = plan->create_session(threads);
        const auto run = [&] {
          std::copy(layers.src.begin(), layers.src.end(), session->input());
          session->run(&pool);
          CHECK(same_bits(session->output(), expected));
        };
        for (int i = 0; i < kRunsUntilKept; ++i) run();
        plan->keep_weights(&pool);
        run();
        const auto prepared = plan_cpu(layers.describe(true), {.threads = 2, .kind = kind});
        prepared->keep_weights(nullptr);
        CHECK(run_once(*prepared, layers.src, threads) == expected);
      }
  }
}

TEST_CASE("sessions on threads keep weights for each other: the same bits") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  // Few pixels for each weight: most of a run is transforming them.
  const InPlace layers(random, {128, 128, 8, 8, 3, 1, 1, true});
  const Floats expected = run_once(*plan_cpu(layers.describe(false), {}), layers.src, 1);
  // Runs of all sessions count: four keep everything in their first few.
  constexpr int kThreads = 4, kRuns = 4;
  for (int round = 0; round < 50; ++round) {
    const auto plan = plan_cpu(layers.describe(true), {});
    std::barrier start(kThreads);
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        const auto session = plan->create_session();
        for (int i = 0; i < kRuns; ++i) {
          std::copy(layers.src.begin(), layers.src.end(), session->input());
          start.arrive_and_wait();
          // One of them keeps all at once, in the middle.
          if (round % 2 == 1 && t == 0 && i == round / 2 % 2) plan->keep_weights(nullptr);
          session->run();
          wrong += !same_bits(session->output(), expected);
        }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("a pool with more threads than the session was made for is refused") {
  Random random(kSeed);
  const InPlace layers(random, {16, 16, 8, 8, 3, 1, 1, true});
  const auto plan = plan_cpu(layers.describe(true), {});
  const auto session = plan->create_session(2);
  ThreadPool most(2, enter_worker_thread), more(3, enter_worker_thread);
  session->run(&most);
  try {
    session->run(&more);
    FAIL("it ran");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::internal);
  }
  session->run(nullptr);
}

TEST_CASE("the pool runs every task once, and passes on what they throw") {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const int count : {0, 1, 2, 7, 1000, (1 << 20) + 5}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(count));
      pool.run(count, [&](int i, int worker) {
        if (worker < 0 || worker >= threads) throw std::logic_error("worker");
        ++runs[static_cast<std::size_t>(i)];
      });
      CHECK(std::ranges::all_of(runs, [](const auto& run) { return run == 1; }));
    }
    std::atomic<int> done = 0;
    CHECK_THROWS_AS(pool.run(100,
                             [&](int i, int) {
                               ++done;
                               if (i == 17) throw std::runtime_error("task");
                             }),
                    std::runtime_error);
    CHECK(done == 100);
    pool.run(10, [&](int, int) { ++done; });
    CHECK(done == 110);
  }
}
