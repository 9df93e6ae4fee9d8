// Convolutions on oneDNN (2.6 or 3.x), the rest on kernels/. The only file that includes dnnl.hpp is its
// .cpp.
#pragma once

#include <memory>

#include "src/nn/plan.h"

namespace adaface::nn {

// Packs the weights and chooses implementations. Each convolution is split by output channels into at least
// `threads` parts; parts never change a result, since every output is computed by the same sequence of
// operations in any split. Throws what Network's fill functions throw, out_of_memory, internal.
std::shared_ptr<const Plan> plan_onednn(const Network& network, int threads);

// oneDNN brings an OpenMP runtime whose threads spin between parallel regions; we spread work over our own,
// which sleep. Call on each thread of a pool: primitives then run on the calling thread alone.
void enter_worker_thread();

// The same for the caller's thread, for the lifetime of the object; its own setting comes back afterwards.
class SingleThreadedScope {
 public:
  SingleThreadedScope();
  ~SingleThreadedScope();
  SingleThreadedScope(const SingleThreadedScope&) = delete;
  SingleThreadedScope& operator=(const SingleThreadedScope&) = delete;

 private:
  int previous_;
};

}  // namespace adaface::nn
