// The three nets on a CUDA device, in the layouts of kernels/cuda.
#pragma once

#include <memory>

#include "kernels/cuda/candidate_net.h"
#include "kernels/cuda/pnet.h"
#include "src/nn/cuda_device.h"
#include "src/weights_state.h"

namespace adaface::mtcnn {

// Immutable: any number of sessions may use it.
struct CudaNets {
  nn::cuda::DeviceMemory memory;
  const float* pnet = nullptr;  // kernels::cuda::PnetLayout
  kernels::cuda::CandidateWeights rnet{}, onet{};
};

// Those of `weights` on a device, as all sessions over them share them. Throws as Detector does.
std::shared_ptr<const CudaNets> cuda_nets(Weights::State& weights, int device);

}  // namespace adaface::mtcnn
