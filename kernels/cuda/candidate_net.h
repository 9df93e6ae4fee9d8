// R-Net and O-Net (Zhang et al. 2016, figure 2) over many candidates at once, in float32. Activations lie in
// planes, {candidate, channel, row, column}; a pool belongs to the convolution before it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda.h"

namespace adaface::kernels::cuda {

enum class CandidateNet { rnet, onet };

struct CandidateLayer {
  int in, out, kernel;  // channels; kernel x kernel without padding, then PReLU
  int window;           // of the pool, which moves by 2, in ceil mode; 0: none
};

// What a net is made of. The linear layer sees the last convolution's {row, column, channel}.
struct CandidateShape {
  int side;  // of the input
  int convolutions;
  CandidateLayer layers[4];
  int features, hidden, outputs;  // outputs: logits of no face and face, 4 offsets, of O-Net 10 landmarks
};

constexpr CandidateShape shape_of(CandidateNet net) {
  if (net == CandidateNet::rnet) return {24, 3, {{3, 28, 3, 3}, {28, 48, 3, 3}, {48, 64, 2, 0}}, 576, 128, 6};
  return {48, 4, {{3, 32, 3, 3}, {32, 64, 3, 3}, {64, 64, 3, 2}, {64, 128, 2, 0}}, 1152, 256, 16};
}

// Each aligned to 16 bytes.
struct CandidateWeights {
  const float* convolutions[4];  // {in, kernel * kernel, out}
  const float* biases[4];        // {out}
  const float* slopes[4];
  const float* linear;  // {features, hidden}
  const float* linear_bias;
  const float* linear_slope;
  const float* heads;  // {outputs, hidden}
  const float* head_bias;
};

// Bytes of activations between the layers.
std::size_t candidate_scratch_bytes(CandidateNet net, int count);

// Once for each device.
Status prepare_candidate_nets();

// pixels{count, side, side} words of kernels/cuda/picture.h to outputs{count, outputs}; count >= 1.
Status run_candidates(CandidateNet net, const CandidateWeights& weights, int count,
                      const std::uint32_t* pixels, void* scratch, float* outputs, cudaStream_t stream);

}  // namespace adaface::kernels::cuda
