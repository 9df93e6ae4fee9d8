// The convolutions of kernels/cuda against sums in double of what they are given.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/convolution.h"
#include "tests/cuda_main.h"
#include "tests/cuda_numbers.h"

namespace {

using namespace adaface::kernels::cuda;
using namespace adaface::testing;
using adaface::nn::cuda::DeviceMemory;
using adaface::nn::cuda::Stream;

constexpr unsigned kSeed = 20261125;

// A convolution of random numbers, on the device and in double.
struct Problem {
  Convolution c;
  int images = 1, channels_in_file = 0;
  bool slope = false, residual = false, float_result = false;
  int residual_stride = 1;

  std::string name() const {
    return std::to_string(images) + "x" + std::to_string(c.channels) + "x" + std::to_string(c.height) + "x" +
           std::to_string(c.width) + " -> " + std::to_string(c.out_channels) + " k" +
           std::to_string(c.kernel) + " s" + std::to_string(c.stride) + (c.border_bias ? " border" : "") +
           (residual ? " residual" : "");
  }
};

Problem problem(Storage storage, int images, int channels, int side, int out_channels, int kernel, int stride,
                int padding, int channels_in_file = 0) {
  Problem p{};
  p.images = images;
  p.channels_in_file = channels_in_file ? channels_in_file : channels;
  const int out_side = (side + 2 * padding - kernel) / stride + 1;
  p.c = {.storage = storage,
         .height = side,
         .width = side,
         .channels = channels,
         .out_height = out_side,
         .out_width = out_side,
         .out_channels = out_channels,
         .kernel = kernel,
         .stride = stride,
         .padding = padding,
         .weights = nullptr,
         .bias = nullptr,
         .border_bias = false,
         .slope = nullptr};
  return p;
}

// The greatest error of an output, in units of what rounding allows it.
double worst_error(Problem p, const ConvolutionTile& tile, unsigned seed) {
  std::mt19937 random(seed);
  Convolution& c = p.c;
  const int taps = c.kernel * c.kernel;
  const std::size_t in_pixels = size(p.images * c.height * c.width),
                    out_pixels = size(p.images * c.out_height * c.out_width);
  std::vector<float> plain = numbers(in_pixels * size(c.channels), random);
  for (std::size_t i = 0; i < plain.size(); ++i)
    if (static_cast<int>(i) % c.channels >= p.channels_in_file) plain[i] = 0;
  // As a layer stores it: the tensor cores read no more of a float32.
  if (c.storage == Storage::f32)
    for (float& value : plain) value = tf32(value);
  const Stored src = store(c.storage, plain);
  const std::vector<float> rows = numbers(size(c.out_channels * p.channels_in_file * taps), random);
  const std::vector<float> bias = numbers(size(c.out_channels) * (c.border_bias ? 9 : 1), random);
  const std::vector<float> slope = numbers(size(c.out_channels), random);
  const int residual_side = (c.out_height - 1) * p.residual_stride + 1;
  const Stored residual =
      store(c.storage, numbers(size(p.images * residual_side * residual_side * c.out_channels), random));

  Stream stream;
  const DeviceMemory d_src = on_device(stream, src.bytes), d_rows = on_device(stream, rows),
                     d_bias = on_device(stream, bias), d_slope = on_device(stream, slope),
                     d_residual = on_device(stream, residual.bytes);
  const std::size_t weight_bytes = size(c.weight_rows()) * size(c.row_bytes());
  DeviceMemory weights(weight_bytes, "test");
  stream.clear(weights.data(), weight_bytes);
  ok(pack_weights(c, d_rows.as<float>(), 0, c.out_channels, p.channels_in_file, weights.data(),
                  stream.get()));
  stream.synchronize("packing weights");
  c.weights = weights.data();
  c.bias = d_bias.as<float>();
  c.slope = p.slope ? d_slope.as<float>() : nullptr;
  const std::size_t element = p.float_result ? 4 : size(bytes_of(c.storage));
  DeviceMemory dst(out_pixels * size(c.out_channels) * element, "test");
  DeviceMemory partials(partial_floats(c, tile, p.images) * 4, "test"),
      counters(counter_count(c, tile, p.images) * 4, "test");
  stream.clear(counters.data(), counters.bytes());
  ok(prepare_convolutions(c.storage));
  const ConvolutionRun run{.images = p.images,
                           .src = d_src.data(),
                           .residual = p.residual ? d_residual.data() : nullptr,
                           .residual_stride = p.residual_stride,
                           .residual_height = residual_side,
                           .residual_width = residual_side,
                           .dst = dst.data(),
                           .float_result = p.float_result,
                           .partials = partials.as<float>(),
                           .counters = counters.as<unsigned>()};
  ok(convolve(c, tile, run, stream.get()));
  const std::vector<std::byte> result = fetch<std::byte>(stream, dst);
  const std::vector<unsigned> left = fetch<unsigned>(stream, counters);
  CHECK(std::ranges::all_of(left, [](unsigned counter) { return counter == 0; }));

  const Stored weights_as_stored = store(c.storage, rows);
  const auto weight = [&](std::size_t i) {
    return c.storage == Storage::f32 ? tf32(rows[i]) : weights_as_stored.values[i];
  };
  double worst = 0;
  for (int image = 0; image < p.images; ++image)
    for (int y = 0; y < c.out_height; ++y)
      for (int x = 0; x < c.out_width; ++x)
        for (int o = 0; o < c.out_channels; ++o) {
          const int top = y * c.stride - c.padding, left = x * c.stride - c.padding;
          double sum = 0, magnitude = 0;
          for (int tap = 0; tap < taps; ++tap) {
            const int v = top + tap / c.kernel, u = left + tap % c.kernel;
            if (v < 0 || u < 0 || v >= c.height || u >= c.width) continue;
            for (int k = 0; k < p.channels_in_file; ++k) {
              const double factor =
                  src.values[((size(image) * size(c.height) + size(v)) * size(c.width) + size(u)) *
                                 size(c.channels) +
                             size(k)];
              const double product =
                  factor * weight((size(o) * size(p.channels_in_file) + size(k)) * size(taps) + size(tap));
              sum += product;
              magnitude += std::abs(product);
            }
          }
          int border = 0;
          if (c.border_bias)
            border = 3 * (top < 0                     ? 0
                          : top + c.kernel > c.height ? 2
                                                      : 1) +
                     (left < 0                    ? 0
                      : left + c.kernel > c.width ? 2
                                                  : 1);
          const double added = bias[size(border * c.out_channels + o)];
          double value = sum + added;
          magnitude += std::abs(added);
          if (p.slope && value < 0) value *= slope[size(o)];
          if (p.residual) {
            const double more =
                residual.values[((size(image) * size(residual_side) + size(y * p.residual_stride)) *
                                     size(residual_side) +
                                 size(x * p.residual_stride)) *
                                    size(c.out_channels) +
                                size(o)];
            value += more;
            magnitude += std::abs(more);
          }
          // Float sums of n terms in any order: n 2^-24 of the magnitudes; then the rounding of the result,
          // half a unit in the last place.
          const double terms = taps * p.channels_in_file + 4;
          const double unit = p.float_result ? 0x1p-23 : rounding(c.storage);
          const double allowed = terms * 0x1p-24 * magnitude + unit * std::abs(value) + 1e-7;
          const std::size_t at =
              ((size(image) * size(c.out_height) + size(y)) * size(c.out_width) + size(x)) *
                  size(c.out_channels) +
              size(o);
          const double got = host_value(p.float_result ? Storage::f32 : c.storage, result.data(), at);
          const double error = std::isfinite(got) ? std::abs(got - value) / allowed : 1e9;
          worst = std::max(worst, error);
        }
  return worst;
}

std::vector<Problem> problems(Storage storage) {
  const int pad = storage == Storage::f32 ? 4 : 8;
  std::vector<Problem> list;
  list.push_back(problem(storage, 2, pad, 13, 64, 3, 1, 1, 3));  // the stem
  list.back().slope = true;
  list.push_back(problem(storage, 1, 64, 9, 64, 3, 1, 1));
  list.back().c.border_bias = list.back().slope = true;
  list.push_back(problem(storage, 1, 64, 10, 128, 3, 2, 1));
  list.back().c.border_bias = list.back().residual = true;
  list.back().residual_stride = 2;
  list.push_back(problem(storage, 3, 64, 8, 136, 1, 2, 0));
  list.push_back(problem(storage, 1, 128, 7, 264, 3, 1, 1));
  list.back().residual = true;
  list.push_back(problem(storage, 5, 64, 3, 72, 3, 1, 0));  // sees all of its input
  list.back().float_result = true;
  return list;
}

// All of them; with ThreadSanitizer, to which each of a block's threads is one, few.
std::vector<Problem> problems() {
#if defined(__SANITIZE_THREAD__)
  const std::vector<Problem> all = problems(Storage::f16);
  return {all[0], all[2], all[5]};
#else
  std::vector<Problem> all;
  for (Storage storage : {Storage::f16, Storage::bf16, Storage::f32})
    std::ranges::copy(problems(storage), std::back_inserter(all));
  return all;
#endif
}

}  // namespace

TEST_CASE("convolutions equal sums in double, every tile, whole and in parts, by memory or by a cluster") {
  const adaface::DeviceInfo device = adaface::cuda_devices().at(0);
  const bool has_warpgroups = has_warpgroup_products(device.compute_major, device.compute_minor);
  for (const Problem& p : problems())
    for (ConvolutionTile tile : kTiles)
      for (int splits : {1, 3, -3, -8}) {
        tile.splits = std::abs(splits);
        tile.cluster = splits < 0;
        if (tile.warpgroups && !has_warpgroups) continue;
        if (tile.cluster && !has_clusters(device.compute_major)) continue;
        if (tile.splits > p.c.row_bytes() / kDepthBytes) continue;
        CAPTURE(kSeed);
        CAPTURE(static_cast<int>(p.c.storage));
        CAPTURE(p.name());
        CAPTURE(tile.rows);
        CAPTURE(tile.columns);
        CAPTURE(tile.warpgroups);
        CAPTURE(tile.stages);
        CAPTURE(tile.splits);
        CAPTURE(tile.cluster);
        CHECK(worst_error(p, tile, kSeed) <= 1.0);
      }
}
