// Layers that a backend computes as part of their neighbours.
#pragma once

#include "src/nn/network.h"

namespace adaface::nn {

// Batch norms whose only reader is a convolution become part of it (Layer::scale and shift, applied to its
// input before the padding); not one of the network's input, whose planes no kernel of ours reads, nor of
// another batch norm.
Network with_norms_fused(const Network& network);

// Subsampling that only a residual sum reads becomes that sum's stride.
Network with_subsampling_fused(const Network& network);

}  // namespace adaface::nn
