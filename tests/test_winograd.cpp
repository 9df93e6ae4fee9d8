// The Winograd kernels: every version for this CPU against the definition, kernel by kernel, and all four
// together against a convolution in double; which of them an ISA cap leaves, meson.build says.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstdio>
#include <cstring>
#include <string>

#include <doctest/doctest.h>

#include "kernels/kernels.h"
#include "tests/winograd_problem.h"
#include "tests/winograd_run.h"

namespace {

using namespace adaface::kernels;

constexpr unsigned kSeed = 20161124;

template <typename T>
T pick(Random& random, std::initializer_list<T> from) {
  return from.begin()[random() % from.size()];
}

// Every height and width modulo 4, with and without a tile of 4, few channels and many; every number of tiles
// that a row of them can have.
std::vector<Problem> problems(Random& random) {
  std::vector<Problem> result;
  const auto add = [&](int height, int width, Tiles tiles) {
    result.push_back({height, width, pick(random, {1, 3, 8, 16, 17, 20}), pick(random, {1, 8, 9, 16, 24, 33}),
                      pick(random, {1, 2, 3}), tiles, pick(random, {false, true}),
                      pick(random, {false, true}), pick(random, {false, true}), pick(random, {1, 2, 100})});
  };
  for (const Tiles tiles : {Tiles::mixed, Tiles::four, Tiles::two}) {
    for (int height = 1; height <= 7; ++height)
      for (int width = 1; width <= 7; ++width) add(height, width, tiles);
    for (int height = 8; height <= 19; ++height) add(height, (height * 7) % 12 + 8, tiles);
  }
  for (int count = 1; count <= 60; ++count)
    result.push_back({2, 2 * count, 5, 3, 1, Tiles::two, false, false, false, 1});
  return result;
}

Data uniform(Random& random, const Problem& p) {
  std::uniform_real_distribution<float> distribution(-1, 1);
  return fill(p, [&](std::size_t count) {
    Floats values(count);
    for (float& value : values) value = distribution(random);
    return values;
  });
}

// Inputs -1, 0, 1 after a norm that would carry 7 into the border, one tap of 576 between an input and an
// output channel: transformed weights are integers of at most 8 bits times powers of two, inputs at most 100.
Data whole_numbers(Random& random, const Problem& p) {
  Data data = fill(p, [&](std::size_t count) {
    Floats values(count);
    for (float& value : values) value = pick(random, {-1.0f, 0.0f, 1.0f});
    return values;
  });
  std::fill(data.weights.begin(), data.weights.end(), 0.0f);
  for (std::size_t i = 0; i < data.weights.size(); i += 9)
    data.weights[i + random() % 9] = pick(random, {-576.0f, 576.0f});
  for (float& slope : data.slope) slope = pick(random, {-0.25f, 0.5f, 2.0f});
  for (float& shift : data.shift) shift = 7;
  for (float& scale : data.scale) scale = pick(random, {-0.5f, 0.5f});
  const std::size_t pixels = size(p.height * p.width);
  if (p.norm)
    for (std::size_t i = 0; i < data.src.size(); ++i)
      data.src[i] = (data.src[i] - 7) / data.scale[i / pixels % size(p.in)];
  return data;
}

}  // namespace

TEST_CASE("every version on awkward shapes") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  std::vector<Worst> worst(versions().size() * std::size(kArithmetics)), worst_products(worst.size());
  for (const Problem& p : problems(random)) {
    const Data data = uniform(random, p);
    const Expected expected = convolve_directly(p, data);
    std::size_t at = 0;
    for_each_version([&](const Version& version, const Arithmetic& a) {
      INFO(describe(p), ", ", version.name(), ", ", a.name);
      // Along each axis an input goes through 3 roundings, a weight 4 (one is that of the constant), a
      // product 3; then as many sums as channels, bias, slope and residual. Each scales with what was added
      // up.
      const int roundings = 2 * (3 + 4 + 3) + p.in + 3;
      const double relative =
          (1 + a.weight_rounding) * (1 + a.v_rounding) * std::pow(1 + kFloat, roundings) - 1;
      Convolution convolution(version, a, p, data, version.defines() ? nullptr : &worst_products[at]);
      compare(p, version.kernels.block, convolution.run(p.band_rows), expected, relative, worst[at++]);
    });
  }
  std::size_t at = 0;
  for_each_version([&](const Version& version, const Arithmetic& a) {
    const Worst &all = worst[at], &product = worst_products[at++];
    std::printf("%s, %s: %.3f of the bound (%s)", version.name().c_str(), a.name, all.units,
                all.where.c_str());
    if (!version.defines())
      std::printf("; products %.3f of theirs (%s)", product.units, product.where.c_str());
    std::printf("\n");
    CHECK(all.units <= 1);
    CHECK(product.units <= 1);
  });
}

TEST_CASE("whole numbers come out exactly") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  Worst worst;
  for (const Problem& p : problems(random)) {
    const Data data = whole_numbers(random, p);
    const Expected expected = convolve_directly(p, data);
    REQUIRE(*std::max_element(expected.sizes.begin(), expected.sizes.end()) < 0x1p24);
    for_each_version([&](const Version& version, const Arithmetic& a) {
      compare(p, version.kernels.block, Convolution(version, a, p, data).run(p.band_rows), expected, 0,
              worst);
      INFO(version.name(), ", ", a.name, ": ", worst.where);
      CHECK(worst.units == 0);
    });
  }
}

TEST_CASE("an output has the same bits whatever is computed with it") {
  std::printf("seed %u\n", kSeed);
  Random random(kSeed);
  const Problem all[] = {{15, 14, 20, 24, 3, Tiles::mixed, true, true, true, 100},
                         {14, 14, 17, 16, 3, Tiles::four, true, false, true, 100},
                         {9, 13, 33, 40, 3, Tiles::two, false, true, false, 100}};
  for (const Problem& p : all) {
    const Data data = uniform(random, p);
    for_each_version([&](const Version& version, const Arithmetic& a) {
      INFO(describe(p), ", ", version.name(), ", ", a.name);
      const Floats together = Convolution(version, a, p, data).run(p.band_rows);
      for (const int rows : {1, 2, 3}) CHECK(Convolution(version, a, p, data).run(rows) == together);
      Problem one = p;
      one.images = 1;
      Floats alone;  // down to a single row of tiles
      for (int image = 0; image < p.images; ++image) {
        Data part = data;
        const auto slice = [&](Floats& values) {
          const std::ptrdiff_t length = static_cast<std::ptrdiff_t>(values.size()) / p.images;
          values = Floats(values.begin() + image * length, values.begin() + (image + 1) * length);
        };
        slice(part.src);
        slice(part.residual);
        const Floats result = Convolution(version, a, one, part).run(image % 2 == 0 ? 1 : p.band_rows);
        alone.insert(alone.end(), result.begin(), result.end());
      }
      CHECK(alone == together);
    });
  }
}

TEST_CASE("rounding to bfloat16: nearest, ties to even") {
  std::printf("seed %u\n", kSeed);
  const auto value_of = [](std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  };
  Floats values;
  // Zero, subnormal, the least normal, about 1, large.
  for (const std::uint32_t high :
       {0x0000u, 0x0001u, 0x0002u, 0x007Fu, 0x0080u, 0x3F80u, 0x3F81u, 0x4049u, 0x7F7Du, 0x7F7Eu})
    for (const std::uint32_t low : {0x0000u, 0x0001u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu})
      for (const std::uint32_t sign : {0u, 0x80000000u}) values.push_back(value_of(sign | high << 16 | low));
  const auto nearest = [&](float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const std::uint32_t down = bits & 0xFFFF0000, up = down + 0x10000;
    const double below = std::abs(static_cast<double>(value) - value_of(down)),
                 above = std::abs(static_cast<double>(value) - value_of(up));
    const bool goes_up = above < below || (above == below && (down & 0x10000));
    return static_cast<std::uint16_t>((goes_up ? up : down) >> 16);
  };
  for (const int block : {8, 16}) {
    const int channels = 3 * block, pixels = static_cast<int>(values.size());  // each channel has every value
    Floats scale, shift, src;
    Random random(kSeed);
    for (int c = 0; c < channels; ++c) {
      scale.push_back(pick(random, {1.0f, -0.5f, 0.3f, 0x1p-20f}));
      shift.push_back(pick(random, {0.0f, 0.7f, -1.0f / 256}));
    }
    for (int b = 0; b < 3; ++b)
      for (int i = 0; i < pixels; ++i)
        for (int k = 0; k < block; ++k) src.push_back(values[size((i + k) % pixels)]);
    Guarded<float> from(src);
    for (const bool normed : {false, true}) {
      std::vector<std::uint16_t> expected;
      for (std::size_t i = 0; i < src.size(); ++i) {
        const std::size_t channel = i / size(pixels * block) * size(block) + i % size(block);
        expected.push_back(nearest(normed ? src[i] * scale[channel] + shift[channel] : src[i]));
      }
      for (const Kernels* kernels : {&definitions(), &select()}) {
        Guarded<std::uint16_t> dst(src.size());
        kernels->to_bf16(from.data(), normed ? scale.data() : nullptr, normed ? shift.data() : nullptr,
                         dst.data(), 3, pixels, block);
        CHECK(std::memcmp(dst.data(), expected.data(), 2 * expected.size()) == 0);
        CHECK(dst.intact());
      }
    }
  }
}
