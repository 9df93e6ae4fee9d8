// Memory to a CUDA device and back, for tests.
#pragma once

#include <vector>

#include "src/nn/cuda_device.h"

namespace adaface::testing {

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
