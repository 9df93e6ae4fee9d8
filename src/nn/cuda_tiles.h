// Which tile a convolution on a device gets.
#pragma once

#include "kernels/cuda/convolution.h"
#include "src/nn/cuda_device.h"

namespace adaface::nn::cuda {

// Sums are split only where all blocks have a place at the same time: this bounds their scratch.
std::size_t most_partial_floats(const DeviceLimits& limits);
std::size_t most_counters(const DeviceLimits& limits);

// By a model of the time that each would take; see docs/cuda.md.
kernels::cuda::ConvolutionTile choose_tile(const kernels::cuda::Convolution& convolution, int images,
                                           const DeviceLimits& limits);

}  // namespace adaface::nn::cuda
