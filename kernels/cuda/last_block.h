// Blocks that leave parts in memory, of which the last to come makes the whole. For kernels only.
#pragma once

#include "kernels/cuda/launch.h"

namespace adaface::kernels::cuda {

// True in the last of `count` blocks that call it with a counter, which is zero before and after: what that
// block reads with __ldcg is what all the others had written before they called. For all threads of a block
// together; `flag` lies in shared memory and belongs to the call.
__device__ inline bool is_last_block(unsigned* counter, unsigned count, bool* flag) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();  // of all that the barrier has shown to this thread
    *flag = atomicAdd(counter, 1u) + 1 == count;
    __threadfence();  // before what all threads read after the next barrier
    if (*flag) *counter = 0;
  }
  __syncthreads();
  return *flag;
}

}  // namespace adaface::kernels::cuda
