// Sizes and vectors of channels in whole blocks.
#pragma once

#include <cstddef>
#include <vector>

namespace adaface::nn {

// A count or number that is known not to be negative.
constexpr std::size_t index(int value) {
  return static_cast<std::size_t>(value);
}

constexpr int divide_up(int a, int b) {
  return (a + b - 1) / b;
}

// Zeros behind, up to `size`; nothing stays nothing.
inline std::vector<float> padded(const std::vector<float>& values, int size) {
  std::vector<float> result(values);
  if (!values.empty()) result.resize(index(size));
  return result;
}

}  // namespace adaface::nn
