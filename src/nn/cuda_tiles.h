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

// Loads the convolutions of a storage on a device, and asks what it holds.
DeviceLimits prepare_device(int device, kernels::cuda::Storage storage);

// Blocks of a tile that a multiprocessor holds at the same time.
int blocks_together(const kernels::cuda::ConvolutionTile& tile, const DeviceLimits& limits);

// Multiprocessors that blocks of a tile find a place on: clusters leave some empty.
int usable_multiprocessors(const kernels::cuda::ConvolutionTile& tile, const DeviceLimits& limits);

// Cycles, by a model; see docs/cuda.md.
double estimate(const kernels::cuda::Convolution& convolution, const kernels::cuda::ConvolutionTile& tile,
                int images, const DeviceLimits& limits);

// The one that can be used and takes least by estimate().
kernels::cuda::ConvolutionTile choose_tile(const kernels::cuda::Convolution& convolution, int images,
                                           const DeviceLimits& limits);

}  // namespace adaface::nn::cuda
