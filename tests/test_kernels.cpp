// Every version of a kernel that this CPU can run against its definition, on awkward shapes. Integers are
// equal; floats lie within a bound on their rounding errors that is computed beside the exact sum.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/levels.h"
#include "kernels/reference/reference.h"
#include "src/image/resize.h"
#include "tests/cpu.h"

namespace {

using namespace adaface::kernels;

// ---- Versions

template <typename F>
struct Version {
  const char* name;
  F function;
};

// The definition, what is chosen for this CPU (and ADAFACE_MAX_ISA), and the rest of what it can run: each
// function once, under the name of the first instruction set that has it.
template <typename F>
std::vector<Version<F>> versions(F Kernels::*kernel) {
  std::vector<Version<F>> result = {{"reference", definitions().*kernel},
                                    {"selected", adaface::kernels::select().*kernel}};
  for (const Level& level : levels()) {
    const auto same = [&](const Version<F>& other) { return other.function == level.kernels.*kernel; };
    if (std::none_of(result.begin(), result.end(), same))
      result.push_back({level.name, level.kernels.*kernel});
  }
  return result;
}

TEST_CASE("a level for each instruction set that this CPU has, and the cap's is chosen") {
  using adaface::testing::Isa;
  std::vector<std::string> names, expected = {"reference"};
  for (const Level& level : levels()) names.emplace_back(level.name);
  const Isa cpu = adaface::testing::isa_of_cpu();
  for (const auto& [isa, name] :
       {std::pair{Isa::sse41, "sse41"}, std::pair{Isa::avx2, "avx2"}, std::pair{Isa::avx512, "avx512"},
        std::pair{Isa::avx512_bf16, "avx512 vnni bf16"}})
    if (cpu >= isa) expected.emplace_back(name);
  // There are CPUs with one of the extensions.
  if (cpu == Isa::avx512 && names.size() == expected.size() + 1) names.pop_back();
  CHECK(names == expected);

  const Isa within = adaface::testing::kernels_isa();
  const Kernels &chosen = adaface::kernels::select(), &plain = definitions();
  CHECK((chosen.pnet != plain.pnet) == (within >= Isa::sse41));
  CHECK((chosen.dense != plain.dense) == (within >= Isa::avx2));
  CHECK((chosen.to_bf16 != plain.to_bf16) == (within >= Isa::avx512));
  CHECK((winograd(8) != nullptr) == (within >= Isa::avx2));
  CHECK((winograd(16) != nullptr) == (within >= Isa::avx512));
}

// ---- Random input

constexpr unsigned kSeed = 11;

std::mt19937 seeded(const char* what) {
  std::printf("%s: seed %u\n", what, kSeed);
  return std::mt19937(kSeed);
}

std::vector<float> normal(std::mt19937& random, std::size_t count, float deviation) {
  std::normal_distribution<float> distribution(0, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = distribution(random);
  return values;
}

std::vector<std::uint8_t> bytes(std::mt19937& random, std::size_t count) {
  std::vector<std::uint8_t> values(count);
  // Extremes are frequent, as in pictures.
  for (std::uint8_t& value : values)
    value = static_cast<std::uint8_t>(std::clamp(static_cast<int>(random() % 512) - 128, 0, 255));
  return values;
}

std::size_t product(int a, int b, int c = 1, int d = 1) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b) * static_cast<std::size_t>(c) *
         static_cast<std::size_t>(d);
}

// ---- Comparison

// The element whose error is the largest part of its bound.
struct Worst {
  std::string version, place;
  double ratio = 0, value = 0, expected = 0;

  void add(const char* name, double got, double exact, double bound, const std::string& where) {
    const double error = std::abs(got - exact);
    const double part = error == 0 ? 0 : error / bound;
    if (part <= ratio && !std::isnan(part)) return;
    *this = {name, where, std::isnan(part) ? INFINITY : part, got, exact};
  }
  void check(const char* what) const {
    std::printf("%s: worst error %.1e of its bound (%s, %s: %.9g instead of %.9g)\n", what, ratio,
                version.c_str(), place.c_str(), value, expected);
    CHECK(ratio <= 1);
  }
};

std::string place(int a, int b, int c) {
  char text[64];
  std::snprintf(text, sizeof text, "{%d,%d,%d}", a, b, c);
  return text;
}

// A value as real numbers give it, and how far rounding may carry a float from it.
struct Bounded {
  double value = 0, error = 0;
};

constexpr double kUnit = 0x1p-24;  // of rounding to nearest

// {height, width, channels}
struct Map {
  int height, width, channels;
  std::vector<Bounded> values;
  Map(int h, int w, int c) : height(h), width(w), channels(c), values(product(h, w, c)) {}
  Bounded& at(int y, int x, int c) {
    return values[product(y * width + x, channels) + static_cast<std::size_t>(c)];
  }
  const Bounded& at(int y, int x, int c) const {
    return values[product(y * width + x, channels) + static_cast<std::size_t>(c)];
  }
};

// The greatest absolute values that can occur on the way of Winograd's F(4, 3): |A^T| (|G| |g|) (|B^T| |d|).
constexpr double kA[4][6] = {{1, 1, 1, 1, 1, 0}, {0, 1, 1, 2, 2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, 1, 8, 8, 1}};
constexpr double kG[6][3] = {{1. / 4, 0, 0},
                             {1. / 6, 1. / 6, 1. / 6},
                             {1. / 6, 1. / 6, 1. / 6},
                             {1. / 24, 1. / 12, 1. / 6},
                             {1. / 24, 1. / 12, 1. / 6},
                             {0, 0, 1}};
constexpr double kB[6][6] = {{4, 0, 5, 0, 1, 0}, {0, 4, 4, 1, 1, 0}, {0, 4, 4, 1, 1, 0},
                             {0, 2, 1, 2, 1, 0}, {0, 2, 1, 2, 1, 0}, {0, 4, 0, 5, 0, 1}};

// Coefficient of |g[k]| |d[j]| in output i.
double amplification(int i, int k, int j) {
  double sum = 0;
  for (int u = 0; u < 6; ++u) sum += kA[i][u] * kG[u][k] * kB[u][j];
  return sum;
}

// weights {out, in, kernel, kernel}. A sum of n products rounds each at most n + 1 times; Winograd's way
// rounds weights and input transforms (up to 4 operations, twice), sums over `in`, and transforms back (5
// operations, twice): in + 20, of greater values.
Map convolve_bounded(const Map& src, const std::vector<float>& weights, const std::vector<float>& bias,
                     const std::vector<float>& slope, int kernel, bool winograd) {
  const int in = src.channels, out = static_cast<int>(bias.size());
  Map dst(src.height - kernel + 1, src.width - kernel + 1, out);
  const auto weight = [&](int o, int c, int v, int u) {
    return static_cast<double>(weights[static_cast<std::size_t>(((o * in + c) * kernel + v) * kernel + u)]);
  };
  static const auto table = [] {
    std::vector<double> values;
    for (int i = 0; i < 4; ++i)
      for (int k = 0; k < 3; ++k)
        for (int j = 0; j < 6; ++j) values.push_back(amplification(i, k, j));
    return values;
  }();
  const auto factor = [&](int i, int k, int j) {
    return table[static_cast<std::size_t>((i * 3 + k) * 6 + j)];
  };
  for (int y = 0; y < dst.height; ++y)
    for (int x = 0; x < dst.width; ++x) {
      // Of all channels, sums of |d| with the coefficients of each weight.
      std::vector<double> spread(static_cast<std::size_t>(in * kernel * kernel));
      for (int c = 0; c < in; ++c)
        for (int v = 0; v < kernel; ++v)
          for (int u = 0; u < kernel; ++u) {
            double& sum = spread[static_cast<std::size_t>((c * kernel + v) * kernel + u)];
            if (!winograd) {
              sum = std::abs(src.at(y + v, x + u, c).value);
              continue;
            }
            for (int j = 0; j < 6; ++j)
              for (int i = 0; i < 6; ++i) {
                const int row = y / 4 * 4 + j, column = x / 4 * 4 + i;
                if (row < src.height && column < src.width)
                  sum += factor(y % 4, v, j) * factor(x % 4, u, i) * std::abs(src.at(row, column, c).value);
              }
          }
      for (int o = 0; o < out; ++o) {
        double sum = bias[static_cast<std::size_t>(o)], absolute = std::abs(sum), carried = 0;
        for (int c = 0; c < in; ++c)
          for (int v = 0; v < kernel; ++v)
            for (int u = 0; u < kernel; ++u) {
              const double w = weight(o, c, v, u);
              const Bounded& d = src.at(y + v, x + u, c);
              sum += w * d.value;
              absolute += std::abs(w) * spread[static_cast<std::size_t>((c * kernel + v) * kernel + u)];
              carried += std::abs(w) * d.error;
            }
        const double roundings = winograd ? in + 20 : in * kernel * kernel + 2;
        const double s = slope[static_cast<std::size_t>(o)];
        dst.at(y, x, o) = {sum < 0 ? sum * s : sum,
                           std::max(1.0, std::abs(s)) * (carried + (roundings + 1) * kUnit * absolute)};
      }
    }
  return dst;
}

// {out, row} of variance 1 / taps, all but `taps` of each row zero.
std::vector<float> sparse(std::mt19937& random, int out, int row, int taps) {
  taps = std::min(taps, row);
  std::vector<float> values = normal(random, product(out, row), 1 / std::sqrt(static_cast<float>(taps)));
  for (int o = 0; o < out; ++o)
    for (int left = row; left > taps; --left) {
      // The n-th of those that are left.
      int n = static_cast<int>(random() % static_cast<unsigned>(left));
      float* value = values.data() + product(o, row);
      while (*value == 0 || n-- > 0) ++value;
      *value = 0;
    }
  return values;
}

// A layer as the kernels want it.
struct Layer {
  int in, out, kernel;
  std::vector<float> plain, weights, transformed, bias, slope, padded_bias, padded_slope;

  // taps: weights of an output channel that are not zero.
  Layer(std::mt19937& random, int in_, int out_, int kernel_, bool winograd, int taps = 1 << 20)
      : in(in_),
        out(out_),
        kernel(kernel_),
        plain(sparse(random, out, in * kernel * kernel, taps)),
        bias(normal(random, product(out, 1), 0.3f)),
        slope(normal(random, product(out, 1), 0.5f)),
        padded_bias(bias),
        padded_slope(slope) {
    const int area = kernel * kernel;
    weights.resize(product(blocks(), area, in, kChannelBlock));
    for (int o = 0; o < out; ++o)
      for (int c = 0; c < in; ++c)
        for (int t = 0; t < area; ++t)
          weights[static_cast<std::size_t>(((o / kChannelBlock * area + t) * in + c) * kChannelBlock +
                                           o % kChannelBlock)] =
              plain[static_cast<std::size_t>((o * in + c) * area + t)];
    padded_bias.resize(product(blocks(), kChannelBlock));
    padded_slope.resize(product(blocks(), kChannelBlock));
    if (!winograd) return;
    transformed.resize(product(blocks(), 36, in, kChannelBlock));
    winograd_transform(plain.data(), in, out, transformed.data());
  }
  int blocks() const { return (out + kChannelBlock - 1) / kChannelBlock; }
  SmallConvolution view() const {
    return {in,
            kernel,
            blocks(),
            weights.data(),
            transformed.empty() ? nullptr : transformed.data(),
            padded_bias.data(),
            padded_slope.data()};
  }
};

}  // namespace

// ---- Resize

TEST_CASE("strips") {
  std::mt19937 random = seeded("strips");
  for (const int width : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 63, 64, 65, 201})
    for (const int rows : {1, 3, 4, 17, 63, 64}) {
      const std::ptrdiff_t stride = 3 * width + 5;
      // Nothing behind the last pixel may be read.
      const std::vector<std::uint8_t> src =
          bytes(random, static_cast<std::size_t>((rows - 1) * stride + 3 * width));
      std::vector<std::uint8_t> expected(static_cast<std::size_t>(3 * strip_plane(width)), 77), dst(expected);
      reference::pack_strip(src.data(), stride, width, rows, expected.data());
      for (const auto& version : versions(&Kernels::pack_strip)) {
        CAPTURE(version.name);
        std::fill(dst.begin(), dst.end(), std::uint8_t{77});
        version.function(src.data(), stride, width, rows, dst.data());
        CHECK(dst == expected);
      }
    }
}

TEST_CASE("resampling across and down") {
  std::mt19937 random = seeded("resampling");
  struct Axis {
    int origin, source, extent, size;
  };
  for (const Axis& a : {Axis{0, 1, 1, 1},
                        {0, 5, 5, 3},
                        {0, 7, 7, 24},
                        {0, 100, 100, 24},
                        {0, 168, 168, 101},
                        {0, 333, 333, 12},
                        {0, 64, 64, 64},
                        {0, 1000, 1000, 1},
                        {-13, 60, 40, 24},
                        {30, 90, 80, 48},
                        {-5, 300, 290, 24},
                        {-20, 30, 9, 48}}) {
    CAPTURE(a.source);
    adaface::ResizeTable table;
    table.prepare(a.origin, a.source, a.extent, a.size);
    const ResizeAxis axis = table.axis();
    const std::vector<std::uint8_t> src = bytes(random, static_cast<std::size_t>(strip_plane(a.extent)));
    const std::ptrdiff_t pitch = (a.size + kResizeLanes - 1) / kResizeLanes * kResizeLanes * 4;
    for (const auto& [first, last] : {std::pair{0, 64}, {16, 64}, {0, 16}, {32, 48}, {16, 48}}) {
      const std::size_t groups = static_cast<std::size_t>(last - first) / 4;
      std::vector<std::uint8_t> expected(groups * static_cast<std::size_t>(pitch));
      reference::resize_across(axis, src.data(), first, last, expected.data(), pitch);
      for (const auto& version : versions(&Kernels::resize_across)) {
        CAPTURE(version.name);
        std::vector<std::uint8_t> dst(expected.size());
        version.function(axis, src.data(), first, last, dst.data(), pitch);
        // Beyond the outputs the rows are scratch.
        for (std::size_t g = 0; g < groups; ++g)
          CHECK(std::memcmp(dst.data() + g * static_cast<std::size_t>(pitch),
                            expected.data() + g * static_cast<std::size_t>(pitch), product(a.size, 4)) == 0);
      }
    }
    for (const int lanes : {16, 48, 64, 80, 208}) {
      const std::ptrdiff_t stride = lanes * 4;
      const std::vector<std::uint8_t> rows = bytes(random, product((a.extent + 3) / 4, lanes, 4));
      for (int i = 0; i < a.size; i += std::max(1, a.size / 7)) {
        std::vector<std::uint8_t> expected(product(lanes, 1)), dst(expected);
        const ResizeGroup* weights = axis.groups + static_cast<std::ptrdiff_t>(i) * axis.max_groups;
        const std::uint8_t* from = rows.data() + axis.first[i] * stride;
        reference::resize_down(weights, axis.counts[i], from, stride, lanes, expected.data());
        for (const auto& version : versions(&Kernels::resize_down)) {
          CAPTURE(version.name);
          version.function(weights, axis.counts[i], from, stride, lanes, dst.data());
          CHECK(dst == expected);
        }
      }
    }
  }
}

// ---- Convolutions

TEST_CASE("convolutions of small pictures") {
  std::mt19937 random = seeded("convolutions");
  struct Shape {
    int in, out, kernel, height, width;
    bool winograd;
  };
  for (const bool winograd : {false, true}) {
    Worst worst;
    for (const Shape& s : {Shape{3, 28, 3, 9, 24, false},
                           {3, 32, 3, 4, 48, false},
                           {48, 64, 2, 4, 4, false},
                           {64, 128, 2, 3, 5, false},
                           {50, 40, 1, 1, 1, false},
                           {576, 128, 1, 1, 25, false},
                           {7, 16, 3, 3, 3, false},
                           {1, 1, 1, 1, 1, false},
                           {5, 17, 2, 6, 31, false},
                           {10, 16, 3, 6, 6, true},
                           {16, 32, 3, 3, 3, true},
                           {28, 48, 3, 11, 11, true},
                           {32, 64, 3, 23, 23, true},
                           {64, 64, 3, 10, 10, true},
                           {4, 5, 3, 4, 40, true},
                           {33, 16, 3, 7, 5, true},
                           {16, 80, 3, 5, 13, true}}) {
      if (s.winograd != winograd) continue;
      const Layer layer(random, s.in, s.out, s.kernel, s.winograd);
      std::vector<float> src = normal(random, product(s.height, s.width, s.in), 1);
      Map map(s.height, s.width, s.in);
      for (std::size_t i = 0; i < src.size(); ++i) map.values[i] = {src[i], 0};
      const Map expected = convolve_bounded(map, layer.plain, layer.bias, layer.slope, s.kernel, winograd);
      src.resize(src.size() + kChannelBlock);
      std::vector<float> scratch(convolution_scratch(s.in, layer.blocks()));
      for (const int extra : {0, 16}) {
        const int pixel = layer.blocks() * kChannelBlock + extra;
        std::vector<float> dst(product(expected.height, expected.width, pixel));
        for (const auto& version : versions(&Kernels::convolve)) {
          std::fill(dst.begin(), dst.end(), -99.0f);
          version.function(layer.view(), {s.height, s.width, pixel}, src.data(), dst.data(), scratch.data());
          for (int y = 0; y < expected.height; ++y)
            for (int x = 0; x < expected.width; ++x) {
              const float* got = dst.data() + product(y * expected.width + x, pixel);
              for (int o = 0; o < s.out; ++o)
                worst.add(version.name, got[o], expected.at(y, x, o).value, expected.at(y, x, o).error,
                          std::to_string(s.in) + "->" + std::to_string(s.out) + place(o, y, x));
              for (int o = layer.blocks() * kChannelBlock; o < pixel; ++o) CHECK(got[o] == -99.0f);
            }
        }
      }
    }
    worst.check(winograd ? "Winograd" : "direct");
  }
}

TEST_CASE("pooling") {
  std::mt19937 random = seeded("pooling");
  for (const int window : {2, 3})
    for (const auto& [height, width] : {std::pair{3, 3}, {4, 5}, {22, 22}, {9, 9}, {3, 46}, {10, 21}})
      for (const int channels : {10, 16, 28, 64}) {
        const int pixel = (channels + kChannelBlock - 1) / kChannelBlock * kChannelBlock;
        const std::vector<float> src = normal(random, product(height, width, pixel), 1);
        const int out_height = (height - window + 1) / 2 + 1, out_width = (width - window + 1) / 2 + 1;
        const std::size_t count = product(out_height, out_width, channels);
        std::vector<float> expected(count + kChannelBlock), dst(expected);
        reference::pool(src.data(), height, width, pixel, window, channels, expected.data());
        for (const auto& version : versions(&Kernels::pool)) {
          CAPTURE(version.name);
          version.function(src.data(), height, width, pixel, window, channels, dst.data());
          CHECK(std::memcmp(dst.data(), expected.data(), count * sizeof(float)) == 0);
        }
      }
}

// ---- P-Net

namespace {

struct Pnet {
  Layer conv1, conv2, conv3;
  std::vector<float> transformed, heads, head_bias;

  // Few weights: a bound that takes every rounding for the worst of its kind grows with each sum, and would
  // hide faults behind three full layers.
  explicit Pnet(std::mt19937& random)
      : conv1(random, 3, 10, 3, false, 3),
        conv2(random, 10, 16, 3, true, 2),
        conv3(random, 16, 32, 3, true, 2),
        transformed(product(kWinogradTaps, 3, 3, 10)),
        heads(sparse(random, kPnetOutputs, 32, 8)),
        head_bias(normal(random, kPnetOutputs, 0.3f)) {
    pnet_transform(conv1.plain.data(), transformed.data());
  }
  PnetWeights view() const {
    return {conv1.plain.data(), transformed.data(), conv1.bias.data(), conv1.slope.data(),
            conv2.view(),       conv3.view(),       heads.data(),      head_bias.data()};
  }
};

struct PyramidLevel {
  int width, height, rows, columns;
  std::ptrdiff_t pitch;
  std::vector<std::uint8_t> pixels;

  PyramidLevel(std::mt19937& random, int w, int h)
      : width(w),
        height(h),
        rows((h - 1) / 2 - 4),
        columns((w - 1) / 2 - 4),
        pitch(w + 2 * kPnetSlack),
        pixels(bytes(random, product(3, static_cast<int>(pitch), h))) {}
};

// {rows, columns, kPnetOutputs}, computed in parts of at most the given size.
std::vector<float> run(void (*kernel)(const PnetWeights&, const PnetPart&, float*), const Pnet& net,
                       const PyramidLevel& level, int most_rows, int most_columns, float least,
                       bool face_only = false) {
  std::vector<float> result(product(level.rows, level.columns, kPnetOutputs)), scratch(kPnetScratch);
  const int pitch = kPnetMaxColumns + kPnetSlack;
  std::vector<float> dst(product(kPnetMaxRows, kPnetOutputs, pitch));
  for (int row = 0; row < level.rows; row += most_rows)
    for (int column = 0; column < level.columns; column += most_columns) {
      const int rows = std::min(most_rows, level.rows - row),
                columns = std::min(most_columns, level.columns - column);
      kernel(net.view(),
             {level.pixels.data(), 3 * level.pitch, level.pitch, level.width, level.height, row, rows, column,
              columns, least, face_only, dst.data(), pitch},
             scratch.data());
      for (int y = 0; y < rows; ++y)
        for (int x = 0; x < columns; ++x)
          for (int k = 0; k < kPnetOutputs; ++k)
            result[product((row + y) * level.columns + column + x, kPnetOutputs) +
                   static_cast<std::size_t>(k)] =
                dst[product(y * kPnetOutputs + k, pitch) + static_cast<std::size_t>(x)];
    }
  return result;
}

Map bounded_pnet(const Pnet& net, const PyramidLevel& level) {
  Map pixels(level.height, level.width, 3);
  for (int y = 0; y < level.height; ++y)
    for (int x = 0; x < level.width; ++x)
      for (int c = 0; c < 3; ++c)
        pixels.at(y, x, c).value =
            (level.pixels[static_cast<std::size_t>((3 * y + c) * level.pitch + x)] - 127.5) / 128;
  const Map first = convolve_bounded(pixels, net.conv1.plain, net.conv1.bias, net.conv1.slope, 3, true);
  Map pooled((first.height + 1) / 2, (first.width + 1) / 2, 10);
  for (int y = 0; y < pooled.height; ++y)
    for (int x = 0; x < pooled.width; ++x)
      for (int c = 0; c < 10; ++c) {
        Bounded most{-INFINITY, 0};
        for (int v = 2 * y; v < std::min(2 * y + 2, first.height); ++v)
          for (int u = 2 * x; u < std::min(2 * x + 2, first.width); ++u)
            most = {std::max(most.value, first.at(v, u, c).value),
                    std::max(most.error, first.at(v, u, c).error)};
        pooled.at(y, x, c) = most;
      }
  const Map second = convolve_bounded(pooled, net.conv2.plain, net.conv2.bias, net.conv2.slope, 3, true);
  const Map third = convolve_bounded(second, net.conv3.plain, net.conv3.bias, net.conv3.slope, 3, true);
  return convolve_bounded(third, net.heads, net.head_bias, std::vector<float>(kPnetOutputs, 1.0f), 1, false);
}

}  // namespace

TEST_CASE("P-Net over levels of any size, in parts of any size") {
  std::mt19937 random = seeded("P-Net");
  const Pnet net(random);
  const auto all = versions(&Kernels::pnet);
  Worst worst;
  for (const auto& [width, height] : {std::pair{11, 11},
                                      {12, 12},
                                      {13, 12},
                                      {14, 27},
                                      {21, 20},
                                      {44, 43},
                                      {77, 30},
                                      {30, 150},
                                      {700, 13}}) {
    const PyramidLevel level(random, width, height);
    const Map expected = bounded_pnet(net, level);
    for (const auto& version : all) {
      const std::vector<float> got =
          run(version.function, net, level, kPnetMaxRows, kPnetMaxColumns, -INFINITY);
      REQUIRE(got.size() == expected.values.size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        const int cell = static_cast<int>(i) / kPnetOutputs;
        worst.add(version.name, got[i], expected.values[i].value, expected.values[i].error,
                  std::to_string(width) + "x" + std::to_string(height) +
                      place(static_cast<int>(i) % kPnetOutputs, cell / level.columns, cell % level.columns));
      }
      for (const auto& [rows, columns] : {std::pair{4, 256}, {64, 4}, {12, 20}})
        CHECK(std::memcmp(run(version.function, net, level, rows, columns, -INFINITY).data(), got.data(),
                          got.size() * sizeof(float)) == 0);
      const std::vector<float> face =
          run(version.function, net, level, kPnetMaxRows, kPnetMaxColumns, -INFINITY, true);
      for (std::size_t i = 1; i < face.size(); i += kPnetOutputs)
        worst.add(version.name, face[i], expected.values[i].value, expected.values[i].error, "face only");
      // Cells beyond `least` are the same as when all are wanted, the others are recognised.
      constexpr float kLeast = 0.5f;
      const std::vector<float> some =
          run(version.function, net, level, kPnetMaxRows, kPnetMaxColumns, kLeast);
      for (std::size_t i = 0; i < got.size(); i += kPnetOutputs) {
        const float difference = got[i + 1] - got[i];
        const double error = expected.values[i].error + expected.values[i + 1].error;
        if (difference > kLeast + 2 * error)
          CHECK(std::memcmp(&some[i], &got[i], kPnetOutputs * sizeof(float)) == 0);
        if (difference < kLeast - 2 * error) CHECK_FALSE(some[i + 1] - some[i] > kLeast);
      }
    }
  }
  worst.check("P-Net");
}
