// Launching a kernel. For .cu files only.
#pragma once

#include <cuda_runtime.h>

#include <utility>

#include "kernels/cuda/cuda.h"

namespace adaface::kernels::cuda {

constexpr unsigned blocks_for(long long count, int each) {
  return static_cast<unsigned>((count + each - 1) / each);
}

// The newest compute capability that the kernels for all devices are compiled for, times ten. Those that are
// compiled for less than 9.0 do not wait (ptx.h), and may not be launched before others end, wherever they
// run.
#if !defined(ADAFACE_CUDA_NEWEST)
#define ADAFACE_CUDA_NEWEST 90
#endif
inline constexpr bool kKernelsWait = ADAFACE_CUDA_NEWEST >= 90;

// Compute capability of the current device; zeros where it cannot be asked.
struct Capability {
  int major = 0, minor = 0;
};
Capability capability();

// Kernels begin with ptx::wait_for_previous_kernel(): where the device can, the next one's blocks are in
// place when the last of this one's leave.
template <typename... Parameters, typename... Arguments>
Status launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
              cudaStream_t stream, Arguments&&... arguments) {
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = kKernelsWait && capability().major >= 9 ? 1 : 0;
  return static_cast<Status>(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
}

// Lets a kernel have more shared memory than the 48 KiB that all may; once for each kernel and device.
template <typename Kernel>
Status allow_shared(Kernel* kernel, std::size_t bytes) {
  return static_cast<Status>(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
}

}  // namespace adaface::kernels::cuda
