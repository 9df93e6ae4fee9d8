// The smaller kernels of kernels/cuda against what their headers say, in double.
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/l2_norm.h"
#include "kernels/cuda/pixels.h"
#include "kernels/cuda/squeeze_excite.h"
#include "tests/cuda_main.h"
#include "tests/cuda_numbers.h"

namespace {

using namespace adaface::kernels::cuda;
using namespace adaface::testing;
using adaface::nn::cuda::DeviceMemory;
using adaface::nn::cuda::Stream;

constexpr unsigned kSeed = 20261127;
constexpr std::array kStorages = {Storage::f16, Storage::bf16, Storage::f32};

// What a device stores for a value that it has computed: float32 is rounded for the tensor cores.
double as_stored(Storage storage, float value) {
  if (storage == Storage::f32) return tf32(value);
  const std::uint32_t word = rounded(storage, value);
  return host_value(storage, &word, 0);
}

// 16 bytes of a pixel.
int channels_of_input(Storage storage) {
  return 16 / bytes_of(storage);
}

}  // namespace

TEST_CASE("l2_norm: directions and lengths of many vectors, of any length, and of zeros") {
  CAPTURE(kSeed);
  std::mt19937 random(kSeed);
  for (const int length : {1, 100, 512, 1000}) {
    CAPTURE(length);
    constexpr int kCount = 5, kZeros = 3;
    std::vector<float> vectors = numbers(size(kCount * length), random);
    for (int i = 0; i < length; ++i) {
      vectors[size(i)] *= 1e-20f;          // squares below float's
      vectors[size(length + i)] *= 1e25f;  // and beyond
      vectors[size(kZeros * length + i)] = 0;
    }
    Stream stream;
    const DeviceMemory src = on_device(stream, vectors);
    const DeviceMemory units(src.bytes(), "test"), norms(kCount * sizeof(float), "test");
    ok(l2_norm(src.as<float>(), kCount, length, units.as<float>(), norms.as<float>(), stream.get()));
    const std::vector<float> unit = fetch<float>(stream, units), norm = fetch<float>(stream, norms);
    for (int v = 0; v < kCount; ++v) {
      CAPTURE(v);
      double square = 0;
      for (int i = 0; i < length; ++i) square += std::pow(vectors[size(v * length + i)], 2.0);
      CHECK(norm[size(v)] == doctest::Approx(std::sqrt(square)).epsilon(1e-7));
      double worst = 0;
      for (int i = 0; i < length; ++i) {
        const double expected = v == kZeros ? 0 : vectors[size(v * length + i)] / std::sqrt(square);
        worst = std::max(worst, std::abs(unit[size(v * length + i)] - expected));
      }
      CHECK(worst <= 1e-7);
    }
  }
}

TEST_CASE("normalise_pixels: every byte, either order of channels, zeros behind") {
  // More than a block, and no whole number of them.
  constexpr int kPixels = 700;
  std::vector<std::uint8_t> bytes(kPixels * 3);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  for (const Storage storage : kStorages)
    for (const bool swapped : {false, true}) {
      CAPTURE(static_cast<int>(storage));
      CAPTURE(swapped);
      const int channels = channels_of_input(storage);
      Stream stream;
      const DeviceMemory src = on_device(stream, bytes), dst(kPixels * 16, "test");
      ok(normalise_pixels(src.as<std::uint8_t>(), kPixels, swapped, storage, dst.data(), stream.get()));
      const std::vector<std::byte> got = fetch<std::byte>(stream, dst);
      int wrong = 0;
      for (int pixel = 0; pixel < kPixels; ++pixel)
        for (int c = 0; c < channels; ++c) {
          const double v = c < 3 ? bytes[size(3 * pixel + (swapped ? 2 - c : c))] : 0;
          const double expected = c < 3 ? as_stored(storage, static_cast<float>((v / 255 - 0.5) / 0.5)) : 0.0;
          wrong += host_value(storage, got.data(), size(pixel * channels + c)) != expected;
        }
      CHECK(wrong == 0);
    }
}

TEST_CASE("interleave_planes: planes of several images become pixels, zeros behind") {
  CAPTURE(kSeed);
  std::mt19937 random(kSeed);
  constexpr int kImages = 3, kPlanes = 3, kPixels = 101;
  const std::vector<float> planes = numbers(kImages * kPlanes * kPixels, random);
  for (const Storage storage : kStorages) {
    CAPTURE(static_cast<int>(storage));
    const int channels = channels_of_input(storage);
    Stream stream;
    const DeviceMemory src = on_device(stream, planes), dst(kImages * kPixels * 16, "test");
    ok(interleave_planes(src.as<float>(), kImages, kPlanes, kPixels, channels, storage, dst.data(),
                         stream.get()));
    const std::vector<std::byte> got = fetch<std::byte>(stream, dst);
    int wrong = 0;
    for (int image = 0; image < kImages; ++image)
      for (int pixel = 0; pixel < kPixels; ++pixel)
        for (int c = 0; c < channels; ++c) {
          const double expected =
              c < kPlanes ? as_stored(storage, planes[size((image * kPlanes + c) * kPixels + pixel)]) : 0;
          wrong +=
              host_value(storage, got.data(), size((image * kPixels + pixel) * channels + c)) != expected;
        }
    CHECK(wrong == 0);
  }
}

TEST_CASE("squeeze-and-excite: gates, and the gated sum with a residual of any stride") {
  CAPTURE(kSeed);
  std::mt19937 random(kSeed);
  struct Case {
    int images, channels, squeezed, side, stride, parts;
  };
  for (const Case& c : {Case{2, 64, 4, 7, 1, 1}, Case{1, 72, 5, 3, 2, 1}, Case{1, 1024, 128, 2, 1, 1},
                        Case{3, 64, 4, 14, 2, 6}, Case{130, 8, 2, 14, 1, 1}})
    for (const Storage storage : kStorages) {
      CAPTURE(static_cast<int>(storage));
      CAPTURE(c.channels);
      const int pixels = c.side * c.side, residual_side = (c.side - 1) * c.stride + 1;
      const Stored activations = store(storage, numbers(size(c.images * pixels * c.channels), random)),
                   residual = store(
                       storage, numbers(size(c.images * residual_side * residual_side * c.channels), random));
      const std::vector<float> fc1 = numbers(size(c.squeezed * c.channels), random),
                               fc2 = numbers(size(c.channels * c.squeezed), random);
      Stream stream;
      const DeviceMemory src = on_device(stream, activations.bytes),
                         other = on_device(stream, residual.bytes), d_fc1 = on_device(stream, fc1),
                         d_fc2 = on_device(stream, fc2);
      const DeviceMemory gates(size(c.images * c.channels) * sizeof(float), "test"), dst(src.bytes(), "test");
      ok(prepare_squeeze_excite(storage));
      const Squeeze squeeze{c.images, pixels, c.channels, c.squeezed, d_fc1.as<float>(), d_fc2.as<float>()};
      const DeviceMemory partials(squeeze.partial_floats() * sizeof(float), "test"),
          counters(size(c.images) * sizeof(unsigned), "test");
      stream.clear(counters.data(), counters.bytes());
      ok(squeeze_gates(storage, squeeze, src.data(), partials.as<float>(), counters.as<unsigned>(),
                       gates.as<float>(), stream.get()));
      CHECK(squeeze.parts() == c.parts);
      ok(gate_and_add(storage,
                      {.images = c.images,
                       .height = c.side,
                       .width = c.side,
                       .channels = c.channels,
                       .residual_stride = c.stride,
                       .residual_height = residual_side,
                       .residual_width = residual_side},
                      src.data(), gates.as<float>(), other.data(), dst.data(), stream.get()));
      const std::vector<float> gate = fetch<float>(stream, gates);
      const std::vector<unsigned> left = fetch<unsigned>(stream, counters);
      CHECK(std::ranges::all_of(left, [](unsigned counter) { return counter == 0; }));
      const std::vector<std::byte> got = fetch<std::byte>(stream, dst);
      double worst_gate = 0, worst_sum = 0;
      for (int image = 0; image < c.images; ++image) {
        const auto at = [&](int pixel, int k) { return size((image * pixels + pixel) * c.channels + k); };
        std::vector<double> mean(size(c.channels)), hidden(size(c.squeezed));
        for (int k = 0; k < c.channels; ++k)
          for (int pixel = 0; pixel < pixels; ++pixel)
            mean[size(k)] += activations.values[at(pixel, k)] / pixels;
        for (int s = 0; s < c.squeezed; ++s) {
          double sum = 0;
          for (int k = 0; k < c.channels; ++k) sum += fc1[size(s * c.channels + k)] * mean[size(k)];
          hidden[size(s)] = std::max(sum, 0.0);
        }
        for (int k = 0; k < c.channels; ++k) {
          double sum = 0;
          for (int s = 0; s < c.squeezed; ++s) sum += fc2[size(k * c.squeezed + s)] * hidden[size(s)];
          const double expected = 1 / (1 + std::exp(-sum)), g = gate[size(image * c.channels + k)];
          worst_gate = std::max(worst_gate, std::isfinite(g) ? std::abs(g - expected) : 1);
          for (int pixel = 0; pixel < pixels; ++pixel) {
            const int y = pixel / c.side * c.stride, x = pixel % c.side * c.stride;
            const double added =
                residual.values[size(((image * residual_side + y) * residual_side + x) * c.channels + k)];
            const double value = activations.values[at(pixel, k)] * g + added;
            const double result = host_value(storage, got.data(), at(pixel, k));
            // The product's rounding to float32, the sum's, and the result's.
            const double allowed = 0x1p-23 * (std::abs(added) + 1) + rounding(storage) * std::abs(value);
            worst_sum = std::max(worst_sum, std::isfinite(result) ? std::abs(result - value) / allowed : 1e9);
          }
        }
      }
      CHECK(worst_gate <= 1e-5);
      CHECK(worst_sum <= 1);
    }
}
