// Numbers as a device stores them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/cuda/cuda.h"
#include "src/nn/cuda_device.h"
#include "tests/cuda_memory.h"

namespace adaface::testing {

inline void ok(kernels::cuda::Status status) {
  nn::cuda::check(status, "test");
}

inline std::size_t size(int value) {
  return static_cast<std::size_t>(value);
}

// From -1 to 1.
inline std::vector<float> numbers(std::size_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(random);
  return values;
}

struct Stored {
  std::vector<std::byte> bytes;
  std::vector<double> values;  // what the bytes are worth
};

// To nearest, ties to even; |value| <= 65504.
inline std::uint32_t rounded(kernels::cuda::Storage storage, float value) {
  using kernels::cuda::Storage;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (storage == Storage::f32) return bits;
  if (storage == Storage::bf16) return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  const int exponent = value == 0 ? -14 : std::max(std::ilogb(value), -14);
  const long units = std::lrint(std::ldexp(std::abs(value), 10 - exponent));
  return (bits >> 16 & 0x8000) + static_cast<std::uint32_t>((exponent + 14) * 1024 + units);
}

inline Stored store(kernels::cuda::Storage storage, const std::vector<float>& values) {
  Stored stored;
  for (const float value : values) {
    const std::uint32_t word = rounded(storage, value);
    const auto* from = reinterpret_cast<const std::byte*>(&word);
    stored.bytes.insert(stored.bytes.end(), from, from + bytes_of(storage));
    stored.values.push_back(kernels::cuda::host_value(storage, &word, 0));
  }
  return stored;
}

// A float32 as it is stored for the tensor cores: 11 significant bits, to nearest.
inline float tf32(float value) {
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x1000u) & ~0x1FFFu);
}

// Half a unit in the last place of what is stored, relative.
inline double rounding(kernels::cuda::Storage storage) {
  return storage == kernels::cuda::Storage::bf16 ? 0x1p-8 : 0x1p-11;
}

}  // namespace adaface::testing
