// The AdaFace embedding networks: residual networks with the IR unit of Deng et al. 2019 (ArcFace,
// section 3.2.2).
#pragma once

#include "src/nn/network.h"
#include "weights/afw.h"

namespace adaface::iresnet {

inline constexpr int kInputSize = 112;

// {3,112,112} -> {512,1,1}, not normalised. `file` must outlive the network, which reads weights when it is
// planned.
nn::Network describe(const weights::AfwFile& file);

}  // namespace adaface::iresnet
