// Pictures into the activations that a network begins with.
#pragma once

#include <cstdint>

#include "kernels/cuda/cuda.h"

namespace adaface::kernels::cuda {

// Loads the kernels. For once on each device, before a graph is captured.
Status prepare_pixels(Storage storage);

// Interleaved bytes {images, pixels, 3} to {images, pixels, channels}: ((v / 255) - 0.5) / 0.5 of the three,
// in the other order where `swapped`, then zeros. channels * bytes_of(storage) is 16.
Status normalise_pixels(const std::uint8_t* src, long long pixels_of_all, bool swapped, Storage storage,
                        void* dst, cudaStream_t stream);

// float32 planes {images, planes, pixels} to {images, pixels, channels}, zeros behind.
Status interleave_planes(const float* src, int images, int planes, int pixels, int channels, Storage storage,
                         void* dst, cudaStream_t stream);

}  // namespace adaface::kernels::cuda
