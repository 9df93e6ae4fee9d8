// Squeeze-and-excite (Hu et al. 2018, section 3) and the residual sum after it.
#pragma once

#include "kernels/cuda/cuda.h"

namespace adaface::kernels::cuda {

// Precondition: channels is a multiple of 8, at most 1024; squeezed at most 128; images * height * width *
// channels fits 31 bits.
inline constexpr int kMostGateChannels = 1024, kMostSqueezed = 128;

// Loads the kernels. For once on each device, before a graph is captured.
Status prepare_squeeze_excite(Storage storage);

// gates{images, channels} = sigmoid(fc2 relu(fc1 mean over pixels)).
struct Squeeze {
  int images, pixels, channels, squeezed;
  const float *fc1, *fc2;  // {squeezed, channels}, {channels, squeezed}

  // Blocks that share the pixels of an image: where there are few images, so that more multiprocessors read.
  constexpr int parts() const {
    const int wanted = images < 128 ? 128 / images : 1, most = pixels / 32 < 16 ? pixels / 32 : 16;
    return wanted < most ? wanted : most > 1 ? most : 1;
  }
  constexpr std::size_t partial_floats() const {
    return static_cast<std::size_t>(images) * static_cast<std::size_t>(parts()) *
           static_cast<std::size_t>(channels);
  }
};
// `partials` is scratch of partial_floats(); `counters` are {images}, zero before and after.
Status squeeze_gates(Storage storage, const Squeeze& squeeze, const void* src, float* partials,
                     unsigned* counters, float* gates, cudaStream_t stream);

// dst = src * gate + residual, whose pixel lies at stride times src's place. dst may be src or residual.
struct GateSum {
  int images, height, width, channels;
  int residual_stride, residual_height, residual_width;
};
Status gate_and_add(Storage storage, const GateSum& sum, const void* src, const float* gates,
                    const void* residual, void* dst, cudaStream_t stream);

}  // namespace adaface::kernels::cuda
