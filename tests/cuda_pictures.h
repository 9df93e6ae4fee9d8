// What the tests of detection on a CUDA device have in common: pictures, and memory there and back.
#pragma once

#include <vector>

#include "src/adaface.hpp"
#include "src/nn/cuda_device.h"
#include "tests/noise.h"

namespace adaface::testing {

inline constexpr unsigned kSeed = 20261125;

template <typename T>
nn::cuda::DeviceMemory on_device(nn::cuda::Stream& stream, const std::vector<T>& values) {
  nn::cuda::DeviceMemory memory(values.size() * sizeof(T), "test");
  stream.upload(memory.data(), values.data(), memory.bytes());
  return memory;
}

// When everything before it on the stream is done.
template <typename T>
std::vector<T> fetch(nn::cuda::Stream& stream, const nn::cuda::DeviceMemory& memory) {
  std::vector<T> values(memory.bytes() / sizeof(T));
  stream.download(values.data(), memory.data(), memory.bytes());
  stream.synchronize("test");
  return values;
}

}  // namespace adaface::testing
