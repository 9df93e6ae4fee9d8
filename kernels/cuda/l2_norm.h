// The length of an embedding, and its direction.
#pragma once

#include "kernels/cuda/cuda.h"

namespace adaface::kernels::cuda {

// Loads the kernel. For once on each device, before a graph is captured.
Status prepare_l2_norm();

// norms{count} = sqrt(sum of squares), summed in double; units{count, length} = src / norm, zeros where that
// is 0.
Status l2_norm(const float* src, int count, int length, float* units, float* norms, cudaStream_t stream);

}  // namespace adaface::kernels::cuda
