// Plans for this CPU: convolutions on oneDNN (2.6 or 3.x) and on our own kernels, the rest on kernels/.
#pragma once

#include <memory>

#include "src/nn/plan.h"

namespace adaface::nn {

class ThreadPool;

// Packs the weights and chooses implementations. Work inside a layer is divided into at least options.threads
// parts; parts never change a result, since every output is computed by the same sequence of operations in
// any division. A batch norm that only one convolution reads becomes part of it. `pool` shares out the
// packing; null: this thread alone. Throws what Network's fill functions throw; out_of_memory, internal;
// unsupported for bf16 on a CPU that does not multiply it. What the network's functions and pointers refer to
// must outlive the plan, which keeps `owner` for that.
std::shared_ptr<const Plan> plan_cpu(const Network& network, const PlanOptions& options,
                                     ThreadPool* pool = nullptr, std::shared_ptr<const void> owner = nullptr);

}  // namespace adaface::nn
