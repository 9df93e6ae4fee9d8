// P-, R- and O-Net as plans whose layers can be timed one by one. The detector itself runs them on kernels of
// their own (nets.h).
#pragma once

#include <memory>
#include <string>

#include "src/nn/plan.h"
#include "src/nn/thread_pool.h"
#include "src/weights_state.h"

namespace adaface::mtcnn {

// "pnet" with an input of `side` pixels (even, 12 to 1024; 0: 48 cells), "rnet" or "onet".
// Throws invalid_argument for another name or side. Precondition: the weights hold mtcnn.
std::shared_ptr<const nn::Plan> plan_timed_net(Weights::State& weights, const std::string& network, int side,
                                               nn::ThreadPool& pool);

}  // namespace adaface::mtcnn
