// The pyramid of a picture as kernels/cuda wants it: tables of levels, and which of them are held at once.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/cuda/pnet.h"
#include "kernels/cuda/resize.h"
#include "src/adaface.hpp"
#include "src/nn/cuda_layout.h"

namespace adaface::mtcnn {

// What one call of kernels::cuda::resize needs.
kernels::cuda::ResizeMemory take_resize(nn::cuda::MemoryLayout& layout,
                                        const kernels::cuda::ResizeRoom& room);

// Consecutive levels that are resized and proposed from together.
struct PyramidWave {
  int first = 0, count = 0;
  bool by_rows = false;  // with planes for the softmax over columns
  kernels::cuda::ResizeRoom room{};
  kernels::cuda::PnetRoom cells{};

  struct Memory {
    kernels::cuda::ResizeMemory resize;
    kernels::cuda::PnetPlanes planes;
  };
  Memory take(nn::cuda::MemoryLayout& layout) const;
  std::size_t bytes() const;
};

struct CudaPyramid {
  std::vector<double> scales;  // for each level
  std::vector<kernels::cuda::ResizeJob> jobs;
  std::vector<kernels::cuda::PnetLevel> levels;
  std::vector<PyramidWave> waves;

  // Of the largest wave.
  std::size_t wave_bytes() const;
};

// Waves take at most `wave_bytes`, but for those of a single level.
CudaPyramid plan_pyramid(int width, int height, const DetectorOptions& options, std::size_t wave_bytes);

}  // namespace adaface::mtcnn
