// What the kernels of the detector's networks have in common. For .cu files only.
#pragma once

#include <cstdint>

#include <cuda_runtime.h>

namespace adaface::kernels::cuda {

__device__ inline float prelu(float value, float slope) {
  return value < 0 ? value * slope : value;
}

// Channel 0, 1 or 2 of a pixel as the networks see it.
__device__ inline float pixel_value(std::uint32_t pixel, int channel) {
  return (static_cast<float>(pixel >> 8 * channel & 0xFF) - 127.5f) * 0.0078125f;
}

}  // namespace adaface::kernels::cuda
