// Times the layers of a planned network beside what the machine reaches at best.
#pragma once

#include <memory>

#include "src/adaface.hpp"
#include "src/nn/plan.h"
#include "src/nn/thread_pool.h"

namespace adaface {

// The network that `options` name in these weights, planned for that pool. Throws invalid_argument for a
// network that they do not hold, and for a batch, precision, plan or side that cannot be; unsupported for a
// precision that this CPU does not have.
std::shared_ptr<const nn::Plan> plan_to_profile(const Weights& weights, const ProfileOptions& options,
                                                nn::ThreadPool& pool);

// The least time that one pass of a layer can take: the multiply-adds that it carries out at the machine's
// peak, or what it reads and writes, each byte once, at the rate of the level that takes longest. Bytes lie
// in the smallest cache (of all threads together) that holds: weights, all `resident_weight_bytes`, those of
// the whole network where it runs whole; activations, the layer's own. They pass every level from there to
// the registers.
struct LayerLimit {
  double compute_ms, bandwidth_ms;
  const char* level;  // that bandwidth_ms comes from: "L1", "L2", "L3", "memory"
};
LayerLimit layer_limit(const nn::LayerInfo& layer, double resident_weight_bytes,
                       const MachineLimits& machine);

// profile_layers() over any plan and a session of its own. The images of a batch run one after the other, as
// they do on each thread of an Embedder: the whole is options.batch runs in turn; a layer's times, limits,
// multiply-adds and bytes, its weights' too, are the sums over that many passes. Alone, of oneDNN's
// convolutions the primitive alone is timed, without the batch norm before it and the PReLU after it; every
// other layer is whole.
NetworkProfile profile(const nn::Plan& plan, nn::Session& session, nn::ThreadPool& pool,
                       const ProfileOptions& options);

}  // namespace adaface
