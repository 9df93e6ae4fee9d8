// The kernels of detection and alignment on a CUDA device against their definitions.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "kernels/cuda/candidate_net.h"
#include "kernels/cuda/picture.h"
#include "kernels/cuda/pnet.h"
#include "kernels/cuda/resize.h"
#include "kernels/cuda/warp_affine.h"
#include "src/align/warp.h"
#include "src/image/resize.h"
#include "src/nn/cuda_device.h"
#include "tests/cuda_main.h"
#include "tests/cuda_memory.h"
#include "tests/noise.h"

namespace {

using namespace adaface;
using namespace adaface::testing;
namespace device = adaface::kernels::cuda;
using adaface::nn::cuda::DeviceMemory;
using adaface::nn::cuda::Stream;

constexpr unsigned kSeed = 20261125;

std::size_t size(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

void ok(device::Status status) {
  nn::cuda::check(status, "test");
}

// A picture as the cascade uploads it.
struct DevicePicture {
  DevicePicture(Stream& stream, const Image& image) {
    const std::size_t pitch = device::packed_pitch(image.width());
    std::vector<std::uint8_t> packed(pitch * size(image.height()), 77);
    for (int y = 0; y < image.height(); ++y)
      std::memcpy(packed.data() + size(y) * pitch, image.row(y), image.stride());
    const DeviceMemory rows = on_device(stream, packed);
    picture = {nullptr, image.width(), image.height()};
    memory = DeviceMemory(picture.bytes(), "test");
    ok(device::unpack_rows(rows.as<const std::uint8_t>(), image.width(), image.height(), false,
                           memory.as<std::uint32_t>(), stream.get()));
    picture.pixels = memory.as<const std::uint32_t>();
  }
  DeviceMemory memory;
  device::Picture picture{};
};

constexpr std::pair<int, int> kAwkward[] = {{1, 1},   {1, 37},  {53, 1},  {97, 61},
                                            {64, 48}, {301, 7}, {5, 211}, {65535, 2}};

}  // namespace

TEST_CASE("resizes equal the CPU's, every bit") {
  std::printf("resize: seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  const auto between = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  for (const auto& [width, height] : kAwkward) {
    const Image image = noise(width, height, random());
    Stream stream;
    const DevicePicture on(stream, image);
    std::vector<device::ResizeJob> jobs;
    device::ResizeRoom room;
    const auto add = [&](int left, int top, int w, int h, int out_width, int out_height) {
      device::ResizeJob job{};
      job.left = left, job.top = top, job.width = w, job.height = h;
      job.out_width = out_width, job.out_height = out_height;
      lay_out(job, width, height, room);
      jobs.push_back(job);
    };
    add(0, 0, width, height, width, height);
    add(0, 0, width, height, 1, 1);
    add(0, 0, width, height, (width + 1) / 2, (height * 3 + 4) / 5);
    for (int i = 0; i < 12; ++i) {
      const int left = between(-40, width - 1), top = between(-40, height - 1);
      add(left, top, between(std::max(1, 1 - left), 260), between(std::max(1, 1 - top), 260),
          i % 3 ? 24 : between(1, 90), i % 3 ? 24 : between(1, 90));
    }
    const DeviceMemory table = on_device(stream, jobs),
                       spans(room.spans * sizeof(device::ResizeSpan), "test"),
                       weights(room.weights * 4, "test"), middle(room.between * 4, "test"),
                       results(room.result * 4, "test");
    ok(device::resize(on.picture, table.as<device::ResizeJob>(), static_cast<int>(jobs.size()), room,
                      {spans.as<device::ResizeSpan>(), weights.as<std::int32_t>(), middle.as<std::uint32_t>(),
                       results.as<std::uint32_t>()},
                      stream.get()));
    const auto words = fetch<std::uint32_t>(stream, results);
    PackedStrips strips;
    strips.look_at(image);
    PlaneResizer resizer;
    ResizeScratch scratch;
    for (const device::ResizeJob& job : jobs) {
      const std::ptrdiff_t pitch = job.out_width + kernels::kResizeLanes, plane = pitch * job.out_height;
      std::vector<std::uint8_t> expected(size(3 * plane));
      resizer.prepare(image, {job.left, job.top, job.width, job.height}, job.out_width, job.out_height);
      resizer.run(strips, expected.data(), pitch, plane, scratch);
      int wrong = 0;
      for (int y = 0; y < job.out_height; ++y)
        for (int x = 0; x < job.out_width; ++x) {
          const std::uint32_t word = words[size(job.result + y * job.out_width + x)];
          for (int c = 0; c < 3; ++c)
            wrong += (word >> 8 * c & 0xFF) != expected[size(c * plane + y * pitch + x)];
        }
      CAPTURE(width);
      CAPTURE(height);
      CAPTURE(job.left);
      CAPTURE(job.top);
      CAPTURE(job.width);
      CAPTURE(job.height);
      CAPTURE(job.out_width);
      CAPTURE(job.out_height);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("warps equal the CPU's, every bit") {
  std::printf("warp: seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (const auto& [width, height] : kAwkward) {
    const Image image = noise(width, height, random());
    Stream stream;
    const DevicePicture on(stream, image);
    constexpr int kCount = 9;
    std::vector<Transform> transforms;
    device::Warps warps{};
    for (int i = 0; i < kCount; ++i) {
      const double scale = std::exp(2 * uniform(random)), angle = 4 * uniform(random);
      Transform t{{{{scale * std::cos(angle), -scale * std::sin(angle), 60 * uniform(random)},
                    {scale * std::sin(angle), scale * std::cos(angle), 60 * uniform(random)}}}};
      if (i == 0) t = {{{{1, 0, 0}, {0, 1, 0}}}};
      if (i == 1) t = {{{{1, 0, 1e300}, {0, 1, -1e9}}}};
      if (i == 2) t = {{{{0, 0, 0}, {0, 0, 0}}}};
      transforms.push_back(t);
      std::ranges::copy(invert(t), warps.inverse[i]);
    }
    const DeviceMemory crops(kCount * kCropSize * kCropSize * 3, "test");
    ok(device::warp_affine(on.picture, warps, kCount, kCropSize, crops.as<std::uint8_t>(), stream.get()));
    const auto bytes = fetch<std::uint8_t>(stream, crops);
    for (int i = 0; i < kCount; ++i) {
      Image expected(kCropSize, kCropSize);
      warp(image, transforms[size(i)], kCropSize, kCropSize, expected.row(0));
      CAPTURE(width);
      CAPTURE(height);
      CAPTURE(i);
      CHECK(std::memcmp(expected.row(0), bytes.data() + i * kCropSize * kCropSize * 3,
                        kCropSize * kCropSize * 3) == 0);
    }
  }
}

namespace {

// A number, and by how much float32 may miss it.
struct Bounded {
  double value = 0, error = 0;
};
constexpr double kUnit = 0x1p-24;

struct Planes {
  int channels, height, width;
  std::vector<Bounded> values;
  Planes(int c, int h, int w) : channels(c), height(h), width(w), values(size(std::int64_t{c} * h * w)) {}
  Bounded& at(int c, int y, int x) { return values[size((std::int64_t{c} * height + y) * width + x)]; }
  const Bounded& at(int c, int y, int x) const { return const_cast<Planes*>(this)->at(c, y, x); }
};

// n products and a bias, summed in any order: n + 1 roundings of what they add up to in magnitude.
Bounded sum(double bias, int n, auto&& factor, auto&& input) {
  double value = bias, carried = 0, magnitude = std::abs(bias);
  for (int i = 0; i < n; ++i) {
    const double w = factor(i);
    const Bounded& x = input(i);
    value += w * x.value;
    carried += std::abs(w) * x.error;
    magnitude += std::abs(w) * (std::abs(x.value) + x.error);
  }
  return {value, carried + (n + 2) * kUnit * magnitude};
}

Bounded prelu(Bounded x, double slope) {
  const double most = std::max(1.0, std::abs(slope));
  return {x.value < 0 ? x.value * slope : x.value,
          x.error * most + kUnit * most * (std::abs(x.value) + x.error)};
}

// weights{out, in, k, k}; then PReLU where there are slopes.
Planes convolve(const Planes& src, const std::vector<float>& weights, const std::vector<float>& bias,
                const std::vector<float>& slope, int k) {
  const int out = static_cast<int>(bias.size()), n = src.channels * k * k;
  Planes dst(out, src.height - k + 1, src.width - k + 1);
  for (int o = 0; o < out; ++o)
    for (int y = 0; y < dst.height; ++y)
      for (int x = 0; x < dst.width; ++x) {
        const Bounded total = sum(
            bias[size(o)], n, [&](int i) { return static_cast<double>(weights[size(o * n + i)]); },
            [&](int i) -> const Bounded& { return src.at(i / (k * k), y + i / k % k, x + i % k); });
        dst.at(o, y, x) = slope.empty() ? total : prelu(total, slope[size(o)]);
      }
  return dst;
}

Planes pool(const Planes& src, int window) {
  Planes dst(src.channels, (src.height - window + 1) / 2 + 1, (src.width - window + 1) / 2 + 1);
  for (int c = 0; c < dst.channels; ++c)
    for (int y = 0; y < dst.height; ++y)
      for (int x = 0; x < dst.width; ++x) {
        Bounded most{-INFINITY, 0};
        for (int v = 2 * y; v < std::min(2 * y + window, src.height); ++v)
          for (int u = 2 * x; u < std::min(2 * x + window, src.width); ++u) {
            most.value = std::max(most.value, src.at(c, v, u).value);
            most.error = std::max(most.error, src.at(c, v, u).error);
          }
        dst.at(c, y, x) = most;
      }
  return dst;
}

Planes input(const std::uint32_t* pixels, int height, int width) {
  Planes planes(3, height, width);
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < height * width; ++i)
      planes.at(c, 0, i) = {((pixels[i] >> 8 * c & 0xFF) - 127.5) / 128, 0};
  return planes;
}

std::vector<float> random_floats(int count, float most, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(-most, most);
  std::vector<float> values(size(count));
  for (float& value : values) value = uniform(random);
  return values;
}

// exact: pixels near grey and few weights of one, so that no sum in float32 rounds, and results must be
// equal.
enum class Fill { exact, dense };

// Weights of a convolution as files have them.
struct Filter {
  std::vector<float> weights, bias, slope;
  int in, out, kernel;
  Filter(int i, int o, int k, std::mt19937& random, Fill fill) : in(i), out(o), kernel(k) {
    const int n = i * k * k;
    if (fill == Fill::dense) {
      weights = random_floats(n * o, 2 / std::sqrt(static_cast<float>(n)), random);
      bias = random_floats(o, 0.3f, random);
      slope = random_floats(o, 0.5f, random);
      return;
    }
    // Each layer adds three bits at most: 3 of them, a bias of less than one, half or a quarter below zero.
    weights.resize(size(n * o));
    for (int row = 0; row < o; ++row) {
      for (int one = 0; one < 3; ++one)
        weights[size(row * n) + random() % size(n)] = random() % 2 ? 1.0f : -1.0f;
      bias.push_back(static_cast<float>(random() % 15) / 256 - 7.0f / 256);
      slope.push_back(random() % 2 ? 0.5f : -0.5f);
    }
  }
  Planes operator()(const Planes& src) const { return convolve(src, weights, bias, slope, kernel); }
  // {in, kernel * kernel, padded}
  std::vector<float> transposed(int padded) const {
    const int n = in * kernel * kernel;
    std::vector<float> to(size(n * padded));
    for (int o = 0; o < out; ++o)
      for (int i = 0; i < n; ++i) to[size(i * padded + o)] = weights[size(o * n + i)];
    return to;
  }
};

std::vector<std::uint32_t> random_pixels(std::size_t count, std::mt19937& random, Fill fill) {
  std::vector<std::uint32_t> pixels(count);
  for (std::uint32_t& pixel : pixels) {
    pixel = static_cast<std::uint32_t>(random());
    if (fill == Fill::exact) pixel = 0x7C7C7C + (pixel & 0xFF070707);
  }
  return pixels;
}

// The greatest error, in units of what is allowed.
double worst_of(const std::vector<std::pair<float, Bounded>>& pairs, Fill fill) {
  double worst = 0;
  for (const auto& [got, expected] : pairs) {
    const double error = std::abs(got - expected.value);
    worst = std::max(worst, !std::isfinite(got)     ? 1e9
                            : fill == Fill::dense   ? error / expected.error
                            : got == expected.value ? 0.0
                                                    : 1e9);
  }
  return worst;
}

// P-Net with random weights, and levels of awkward sizes.
struct PnetProblem {
  using L = device::PnetLayout;
  const Fill fill;
  std::mt19937 random{kSeed};
  Filter first{3, 10, 3, random, fill}, second{10, 16, 3, random, fill}, third{16, 32, 3, random, fill};
  Filter heads{32, 6, 1, random, fill};
  std::vector<device::PnetLevel> levels;
  device::PnetRoom room;
  std::vector<std::uint32_t> pixels;
  Stream stream;
  DeviceMemory d_weights, d_levels, d_pixels;

  explicit PnetProblem(Fill how) : fill(how) {
    std::vector<float> packed(L::kFloats);
    const auto copy = [&](const std::vector<float>& from, int at) {
      std::ranges::copy(from, packed.begin() + at);
    };
    copy(first.transposed(12), L::kConv1);
    copy(second.transposed(16), L::kConv2);
    copy(third.transposed(32), L::kConv3);
    copy(heads.weights, L::kHeads);
    copy(heads.bias, L::kHeadBias);
    copy(first.bias, L::kBias1), copy(first.slope, L::kSlope1);
    copy(second.bias, L::kBias2), copy(second.slope, L::kSlope2);
    copy(third.bias, L::kBias3), copy(third.slope, L::kSlope3);
    for (const auto& [width, height] :
         {std::pair{12, 12}, {13, 13}, {12, 61}, {149, 14}, {75, 43}, {74, 44}, {140, 46}, {141, 45}}) {
      device::PnetLevel level{};
      level.width = width, level.height = height;
      level.rows = (height - 1) / 2 - 4, level.columns = (width - 1) / 2 - 4;
      level.number = static_cast<int>(levels.size());
      level.pixels = static_cast<std::int64_t>(pixels.size());
      lay_out(level, room);
      levels.push_back(level);
      const std::vector<std::uint32_t> more = random_pixels(size(width * height), random, fill);
      pixels.insert(pixels.end(), more.begin(), more.end());
    }
    d_weights = on_device(stream, packed);
    d_levels = on_device(stream, levels);
    d_pixels = on_device(stream, pixels);
    ok(device::prepare_pnet());
  }

  // {6, rows, columns} of a level.
  Planes expected(const device::PnetLevel& level) const {
    const Planes features =
        third(second(pool(first(input(pixels.data() + level.pixels, level.height, level.width)), 2)));
    return convolve(features, heads.weights, heads.bias, {}, 1);
  }

  struct List {
    std::uint64_t count = 0;
    std::map<std::uint64_t, device::Proposal> found;
  };
  // run(list) proposes.
  template <typename F>
  List run(unsigned capacity, F&& propose) {
    const DeviceMemory counter = on_device(stream, std::vector<std::uint64_t>{0});
    // What lies behind the list is not written.
    const DeviceMemory memory =
        on_device(stream, std::vector<std::uint8_t>((capacity + 1) * sizeof(device::Proposal), 0xFF));
    propose(device::ProposalList{counter.as<std::uint64_t>(), memory.as<device::Proposal>(), capacity});
    const auto proposals = fetch<device::Proposal>(stream, memory);
    List list{fetch<std::uint64_t>(stream, counter)[0], {}};
    for (std::size_t i = 0; i < std::min<std::uint64_t>(list.count, capacity); ++i)
      list.found[proposals[i].key] = proposals[i];
    CHECK(proposals[capacity].key == ~std::uint64_t{0});
    return list;
  }
  List by_cells(unsigned capacity, float least) {
    return run(capacity, [&](const device::ProposalList& list) {
      ok(device::propose(d_weights.as<float>(), d_levels.as<device::PnetLevel>(),
                         static_cast<int>(levels.size()), room, d_pixels.as<std::uint32_t>(), least, list,
                         stream.get()));
    });
  }
  static std::uint64_t key(const device::PnetLevel& level, int row, int column) {
    return static_cast<std::uint64_t>(level.number) << 48 | static_cast<std::uint64_t>(row) << 24 |
           static_cast<std::uint64_t>(column);
  }
};

}  // namespace

TEST_CASE("P-Net equals sums in double, every cell of every level") {
  for (const Fill fill : {Fill::exact, Fill::dense}) {
    PnetProblem p(fill);
    const auto cells = static_cast<unsigned>(p.room.cells);
    const auto all = p.by_cells(cells, -INFINITY);
    REQUIRE(all.count == cells);
    REQUIRE(all.found.size() == cells);
    double worst = 0;
    for (const device::PnetLevel& level : p.levels) {
      const Planes expected = p.expected(level);
      REQUIRE(expected.height == level.rows);
      REQUIRE(expected.width == level.columns);
      std::vector<std::pair<float, Bounded>> pairs;
      for (int row = 0; row < level.rows; ++row)
        for (int column = 0; column < level.columns; ++column) {
          const auto& found = all.found.at(PnetProblem::key(level, row, column));
          for (int k = 0; k < 6; ++k)
            pairs.emplace_back(k < 2 ? found.values[k] : found.offsets[k - 2], expected.at(k, row, column));
        }
      CAPTURE(level.width);
      CAPTURE(level.height);
      const double of_level = worst_of(pairs, fill);
      CHECK(of_level <= 1);
      worst = std::max(worst, of_level);
    }
    std::printf("P-Net, %s: seed %u, %u cells, worst error %.1e of the bound\n",
                fill == Fill::exact ? "exact" : "dense", kSeed, cells, worst);
  }
}

TEST_CASE("P-Net proposes what is above the threshold, and counts what its list lacks") {
  PnetProblem p(Fill::dense);
  const auto cells = static_cast<unsigned>(p.room.cells);
  const auto all = p.by_cells(cells, -INFINITY);
  const auto some = p.by_cells(cells, 0.1f);
  unsigned count = 0;
  for (const auto& [key, proposal] : all.found) {
    const bool above = proposal.values[1] - proposal.values[0] > 0.1f;
    CHECK(some.found.contains(key) == above);
    count += above;
  }
  CHECK(some.count == count);
  REQUIRE(count > 10);
  const auto few = p.by_cells(7, 0.1f);
  CHECK(few.count == count);
  for (const auto& [key, proposal] : few.found) CHECK(some.found.contains(key));
}

TEST_CASE("P-Net by rows equals the published softmax of its planes") {
  PnetProblem p(Fill::dense);
  const auto cells = size(p.room.cells);
  const auto all = p.by_cells(static_cast<unsigned>(cells), -INFINITY);
  const DeviceMemory face(cells * 4, "test"), offsets(cells * 16, "test");
  for (const float threshold : {0.0f, 0.02f, 0.3f}) {
    const auto list = p.run(static_cast<unsigned>(cells), [&](const device::ProposalList& to) {
      ok(device::propose_by_rows(p.d_weights.as<float>(), p.d_levels.as<device::PnetLevel>(),
                                 static_cast<int>(p.levels.size()), p.room, p.d_pixels.as<std::uint32_t>(),
                                 threshold, {face.as<float>(), offsets.as<float>()}, to, p.stream.get()));
    });
    const auto logits = fetch<float>(p.stream, face), numbers = fetch<float>(p.stream, offsets);
    unsigned count = 0;
    for (const device::PnetLevel& level : p.levels)
      for (int row = 0; row < level.rows; ++row) {
        const std::size_t first = size(level.cells + std::int64_t{row} * level.columns);
        const auto logit = [&](int column) { return static_cast<double>(logits[first + size(column)]); };
        double peak = -INFINITY, total = 0;
        for (int c = 0; c < level.columns; ++c) peak = std::max(peak, logit(c));
        for (int c = 0; c < level.columns; ++c) total += std::exp(logit(c) - peak);
        for (int c = 0; c < level.columns; ++c) {
          // Sums of the same products of numbers of about one, some hundreds, perhaps in another order.
          const device::Proposal& cell = all.found.at(PnetProblem::key(level, row, c));
          const float* of_cell = numbers.data() + 4 * (first + size(c));
          CHECK(std::abs(cell.values[1] - logit(c)) <= 1e-4);
          for (int k = 0; k < 4; ++k) CHECK(std::abs(cell.offsets[k] - of_cell[k]) <= 1e-4);
          const double score = std::exp(logit(c) - peak) / total;
          // No score is this near to a threshold.
          REQUIRE(std::abs(score - threshold) > 1e-9);
          const auto found = list.found.find(PnetProblem::key(level, row, c));
          REQUIRE((found != list.found.end()) == (score > threshold));
          if (found == list.found.end()) continue;
          ++count;
          CHECK(std::abs(found->second.values[0] - score) <= 0x1p-23 * score);
          CHECK(std::memcmp(found->second.offsets, of_cell, 16) == 0);
        }
      }
    CHECK(list.count == count);
    CHECK(count > 0);
  }
}

TEST_CASE("R-Net and O-Net equal sums in double") {
  std::printf("candidates: seed %u\n", kSeed);
  for (const Fill fill : {Fill::exact, Fill::dense})
    for (const device::CandidateNet net : {device::CandidateNet::rnet, device::CandidateNet::onet}) {
      const device::CandidateShape shape = device::shape_of(net);
      std::mt19937 random(kSeed);
      Stream stream;
      std::vector<Filter> filters;
      std::vector<DeviceMemory> memory;
      const auto keep = [&](const std::vector<float>& values) {
        memory.push_back(on_device(stream, values));
        return memory.back().as<const float>();
      };
      device::CandidateWeights weights{};
      for (int i = 0; i < shape.convolutions; ++i) {
        const device::CandidateLayer& layer = shape.layers[i];
        filters.emplace_back(layer.in, layer.out, layer.kernel, random, fill);
        weights.convolutions[i] = keep(filters.back().transposed(layer.out));
        weights.biases[i] = keep(filters.back().bias);
        weights.slopes[i] = keep(filters.back().slope);
      }
      // Inputs in the order row, column, channel.
      const Filter linear(shape.features, shape.hidden, 1, random, fill),
          heads(shape.hidden, shape.outputs, 1, random, fill);
      weights.linear = keep(linear.transposed(shape.hidden));
      weights.linear_bias = keep(linear.bias);
      weights.linear_slope = keep(linear.slope);
      weights.heads = keep(heads.weights);
      weights.head_bias = keep(heads.bias);

      const int count = net == device::CandidateNet::rnet ? 13 : 9, plane = shape.side * shape.side;
      const std::vector<std::uint32_t> pixels = random_pixels(size(count * plane), random, fill);
      const DeviceMemory d_pixels = on_device(stream, pixels),
                         scratch(device::candidate_scratch_bytes(net, count), "test"),
                         outputs(size(count * shape.outputs) * 4, "test");
      ok(device::prepare_candidate_nets());
      ok(device::run_candidates(net, weights, count, d_pixels.as<std::uint32_t>(), scratch.data(),
                                outputs.as<float>(), stream.get()));
      const auto results = fetch<float>(stream, outputs);
      double worst = 0;
      for (int i = 0; i < count; ++i) {
        Planes x = input(pixels.data() + i * plane, shape.side, shape.side);
        for (int k = 0; k < shape.convolutions; ++k) {
          x = filters[size(k)](x);
          if (shape.layers[k].window > 0) x = pool(x, shape.layers[k].window);
        }
        REQUIRE(static_cast<int>(x.values.size()) == shape.features);
        Planes flat(shape.features, 1, 1);
        for (int f = 0; f < shape.features; ++f)
          flat.at(f, 0, 0) = x.at(f % x.channels, f / x.channels / x.width, f / x.channels % x.width);
        const Planes expected = convolve(linear(flat), heads.weights, heads.bias, {}, 1);
        std::vector<std::pair<float, Bounded>> pairs;
        for (int o = 0; o < shape.outputs; ++o)
          pairs.emplace_back(results[size(i * shape.outputs + o)], expected.at(o, 0, 0));
        worst = std::max(worst, worst_of(pairs, fill));
      }
      std::printf("%s, %s: worst error %.1e of the bound\n", fill == Fill::exact ? "exact" : "dense",
                  net == device::CandidateNet::rnet ? "R-Net" : "O-Net", worst);
      CHECK(worst <= 1);
    }
}
