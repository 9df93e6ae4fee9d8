// Which tile a convolution on a device gets.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/cuda/convolution.h"
#include "src/nn/cuda_device.h"
#include "src/nn/cuda_plan.h"

namespace adaface::nn::cuda {

// Scratch of sums in parts that any of the plan's steps takes for any number of images up to `images`.
struct PartialSizes {
  std::size_t floats = 0, counters = 0;
};
PartialSizes partial_sizes(std::span<const Step> steps, int images, const DeviceLimits& limits);

// Whether the device has the kernel, and a split its sums' parts a place at the same time.
bool can_use(const kernels::cuda::Convolution& convolution, const kernels::cuda::ConvolutionTile& tile,
             int images, const DeviceLimits& limits);

// Blocks of a tile that a multiprocessor holds at the same time.
int blocks_together(const kernels::cuda::ConvolutionTile& tile, const DeviceLimits& limits);

// By a model of the time that each would take; see docs/cuda.md.
kernels::cuda::ConvolutionTile choose_tile(const kernels::cuda::Convolution& convolution, int images,
                                           const DeviceLimits& limits);

}  // namespace adaface::nn::cuda
