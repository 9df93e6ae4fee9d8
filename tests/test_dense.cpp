// The kernel of a layer that sees all of its input at once: every version that this CPU has against a sum in
// double; which of them an ISA cap leaves, meson.build says.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

#include "kernels/kernels.h"
#include "tests/cpu.h"

namespace {

using namespace adaface::kernels;
using adaface::testing::Isa;
using adaface::testing::kernels_isa;

constexpr unsigned kSeed = 20161124;
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
using Random = std::mt19937;
using Floats = std::vector<float>;

// NaN in front and behind, and no more than a float's alignment.
struct Operands {
  int inputs, outputs;
  Floats src, rows, scale, bias;

  template <typename Value>
  Operands(int inputs, int outputs, Value value) : inputs(inputs), outputs(outputs) {
    const auto fill = [&](int count) {
      Floats values(static_cast<std::size_t>(count) + 2, kNan);
      for (int i = 1; i <= count; ++i) values[static_cast<std::size_t>(i)] = value();
      return values;
    };
    src = fill(inputs);
    rows = fill(inputs * outputs);
    scale = fill(outputs);
    bias = fill(outputs);
  }

  Floats run(const Kernels& kernels) const {
    Floats dst(static_cast<std::size_t>(outputs) + 2, kNan);
    kernels.dense(src.data() + 1, rows.data() + 1, inputs, outputs, scale.data() + 1, bias.data() + 1,
                  dst.data() + 1);
    CHECK(std::isnan(dst.front()));
    CHECK(std::isnan(dst.back()));
    return {dst.begin() + 1, dst.end() - 1};
  }

  // Greatest difference from the sum in double, in units of its bound. A sum of n products in any order, each
  // product rounded or fused, then a scale and a bias: at most n + 2 roundings of 2^-24 go into any term.
  double worst(const Floats& dst, bool exact) const {
    const double rounding = std::pow(1 + 0x1p-24, inputs + 2) - 1;
    double result = 0;
    for (int o = 0; o < outputs; ++o) {
      double sum = 0, size = 0;
      for (int i = 0; i < inputs; ++i) {
        const double product = static_cast<double>(rows[static_cast<std::size_t>(o * inputs + i) + 1]) *
                               src[static_cast<std::size_t>(i) + 1];
        sum += product;
        size += std::abs(product);
      }
      const std::size_t at = static_cast<std::size_t>(o) + 1;
      const double expected = sum * scale[at] + bias[at],
                   bound = rounding * (size * std::abs(scale[at]) + std::abs(bias[at])),
                   difference = std::abs(dst[static_cast<std::size_t>(o)] - expected);
      if (!(difference <= (exact ? 0 : bound))) return HUGE_VAL;
      if (!exact) result = std::max(result, difference / bound);
    }
    return result;
  }
};

// Around multiples of every vector and of what a turn of the loops reads; and the head's.
template <typename F>
void for_each_size(F&& f) {
  for (int inputs = 1; inputs <= 70; ++inputs)
    for (int outputs = 1; outputs <= 17; ++outputs) f(inputs, outputs);
  for (const int outputs : {1, 7, 8, 17}) f(25088, outputs);
}

}  // namespace

TEST_CASE("this CPU's version is in the table") {
  CHECK((select().dense != definitions().dense) == (kernels_isa() >= Isa::avx2));
}

TEST_CASE("within the bound of a float32 sum") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  std::uniform_real_distribution<float> distribution(-1, 1);
  double worst[2] = {};
  for_each_size([&](int inputs, int outputs) {
    CAPTURE(inputs);
    CAPTURE(outputs);
    const Operands operands(inputs, outputs, [&] { return distribution(random); });
    for (const bool selected : {false, true}) {
      const Floats dst = operands.run(selected ? select() : definitions());
      worst[selected] = std::max(worst[selected], operands.worst(dst, false));
    }
  });
  std::printf("definition %.3f, selected %.3f of the bound\n", worst[0], worst[1]);
  CHECK(worst[0] <= 1);
  CHECK(worst[1] <= 1);
}

// No sum passes 2^24, so nothing rounds: one product too many or too few shows in a sum of 25088.
TEST_CASE("whole numbers come out exactly") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  for_each_size([&](int inputs, int outputs) {
    CAPTURE(inputs);
    CAPTURE(outputs);
    const Operands operands(inputs, outputs, [&] {
      const int value = static_cast<int>(random() % 8) - 4;  // -4 to 4, but 0
      return static_cast<float>(value < 0 ? value : value + 1);
    });
    for (const Kernels* kernels : {&definitions(), &select()})
      CHECK(operands.worst(operands.run(*kernels), true) == 0);
  });
}

// Rows are read eight at a time where there are as many, and a layer's are divided among the threads.
TEST_CASE("an output has the same bits whatever is computed with it") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  std::uniform_real_distribution<float> distribution(-1, 1);
  for (const int inputs : {5, 64, 69, 1000}) {
    const Operands all(inputs, 17, [&] { return distribution(random); });
    const Floats together = all.run(select());
    for (int o = 0; o < all.outputs; ++o) {
      const std::size_t at = static_cast<std::size_t>(o) + 1;
      float alone = kNan;
      select().dense(all.src.data() + 1, all.rows.data() + 1 + o * inputs, inputs, 1, all.scale.data() + at,
                     all.bias.data() + at, &alone);
      CHECK(alone == together[at - 1]);
    }
  }
}
