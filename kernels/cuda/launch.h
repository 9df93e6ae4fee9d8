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
inline constexpr bool kCompiledFor90 = ADAFACE_CUDA_NEWEST >= 90;

// Compute capability of the current device; zeros where it cannot be asked.
struct Capability {
  int major = 0, minor = 0;
};
Capability capability();

// A launch with attributes of its own.
struct Launch {
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config{};

  Launch(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream) {
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = stream;
    config.attrs = attributes;
  }
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;

  // Kernels begin with ptx::wait_for_previous_kernel(): where the device can, the next one's blocks are in
  // place when the last of this one's leave.
  void allow_overlap() {
    cudaLaunchAttribute& overlap = attributes[config.numAttrs++];
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
  }
  // Blocks of the same x form clusters of so many along y.
  void form_clusters(unsigned blocks) {
    cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = cluster.val.clusterDim.z = 1;
    cluster.val.clusterDim.y = blocks;
  }
};

template <typename... Parameters, typename... Arguments>
Status launch_clusters(unsigned in_cluster, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                       std::size_t shared_bytes, cudaStream_t stream, Arguments&&... arguments) {
  Launch launch(grid, block, shared_bytes, stream);
  if (kCompiledFor90 && capability().major >= 9) launch.allow_overlap();
  if (in_cluster > 1) launch.form_clusters(in_cluster);
  return static_cast<Status>(
      cudaLaunchKernelEx(&launch.config, kernel, std::forward<Arguments>(arguments)...));
}

// How many clusters of `in_cluster` blocks the device holds at the same time.
template <typename Kernel>
Status count_clusters(int in_cluster, Kernel* kernel, dim3 block, std::size_t shared_bytes, int* clusters) {
  Launch launch(dim3(1, static_cast<unsigned>(in_cluster)), block, shared_bytes, nullptr);
  launch.form_clusters(static_cast<unsigned>(in_cluster));
  return static_cast<Status>(cudaOccupancyMaxActiveClusters(clusters, kernel, &launch.config));
}

template <typename... Parameters, typename... Arguments>
Status launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes,
              cudaStream_t stream, Arguments&&... arguments) {
  return launch_clusters(1, kernel, grid, block, shared_bytes, stream, std::forward<Arguments>(arguments)...);
}

// Loads a kernel, which is else done by its first launch and has to wait for the device then: not while a
// graph is captured. Lets it have `shared_bytes`, where it wants more than the 48 KiB that all may. For once
// for each kernel and device.
template <typename Kernel>
Status prepare_kernel(Kernel* kernel, std::size_t shared_bytes = 0) {
  // Of the most shared memory there is, in percent: on 9.0 196 of 228 KiB, which hold two blocks of most
  // tiles or one of the largest, and leave the rest to the first-level cache. The same for all that a network
  // launches: a multiprocessor that has to divide its memory anew runs empty first.
  constexpr int kCarveout = 196 * 100 / 228;
  cudaFuncAttributes attributes;
  cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
  if (error == cudaSuccess)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, kCarveout);
  if (error == cudaSuccess && shared_bytes > 48 << 10)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shared_bytes));
  return static_cast<Status>(error);
}

}  // namespace adaface::kernels::cuda
