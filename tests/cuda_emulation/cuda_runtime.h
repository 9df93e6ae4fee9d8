// Stands in for CUDA's header of this name: the kernels of kernels/cuda and the code that launches them are
// compiled as they are, as C++, and run on the CPU. Only what they use is here.
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <tuple>
#include <utility>

#include "tests/cuda_emulation/grid.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __restrict__ __restrict

// Asks the thread that runs; used as the unsigned number that it is.
template <auto kIndices>
struct EmulatedIndices {
  template <unsigned dim3::*kAxis>
  struct Index {
    EMULATION_UNSEEN operator unsigned() const { return kIndices(*::emulation::self).*kAxis; }
  };
  Index<&dim3::x> x;
  Index<&dim3::y> y;
  Index<&dim3::z> z;
};
namespace emulation {
EMULATION_UNSEEN inline const dim3& thread_index(const Thread& t) {
  return t.index;
}
EMULATION_UNSEEN inline const dim3& block_index(const Thread& t) {
  return t.block->index;
}
EMULATION_UNSEEN inline const dim3& block_size(const Thread& t) {
  return t.block->grid->block;
}
EMULATION_UNSEEN inline const dim3& grid_size(const Thread& t) {
  return t.block->grid->size;
}
}  // namespace emulation
inline constexpr EmulatedIndices<emulation::thread_index> threadIdx{};
inline constexpr EmulatedIndices<emulation::block_index> blockIdx{};
inline constexpr EmulatedIndices<emulation::block_size> blockDim{};
inline constexpr EmulatedIndices<emulation::grid_size> gridDim{};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) {
  return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}

EMULATION_UNSEEN inline void __syncthreads() {
  emulation::wait(emulation::self->block->all, emulation::self->block->threads);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int bits) {
  struct Item {
    T value, result;
    int lane;
  } item{value, value, emulation::lane() ^ bits};
  emulation::warp_together(&item, [](void** all) {
    for (int i = 0; i < 32; ++i) {
      auto* mine = static_cast<Item*>(all[i]);
      mine->result = static_cast<Item*>(all[mine->lane])->value;
    }
  });
  return item.result;
}
template <typename T>
T atomicAdd(T* at, T value) {
  if constexpr (emulation::kSeesRaces) {
    const emulation::SeenAtomic seen(at);
    return std::atomic_ref<T>(*at).fetch_add(value, std::memory_order_relaxed);
  }
  return std::atomic_ref<T>(*at).fetch_add(value);
}
inline void __threadfence() {
  emulation::fence();
}
template <typename T>
T __ldg(const T* at) {
  return *at;
}
template <typename T>
T __ldcg(const T* at) {
  return *at;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}
inline long long __double2ll_rn(double x) {
  return std::llrint(x);
}
inline float __uint_as_float(unsigned bits) {
  return std::bit_cast<float>(bits);
}
template <typename T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
template <typename T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}

// ---- The runtime --------------------------------------------------------------------------------

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalState = 401,
  cudaErrorNotReady = 600,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureIsolation = 905,
  cudaErrorStreamCaptureWrongThread = 908,
};
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int major, minor, multiProcessorCount;
  int l2CacheSize;
  std::size_t sharedMemPerMultiprocessor;
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2,
                   cudaHostAllocDefault = 0;
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };

cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* dst, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);

enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize,
  cudaFuncAttributePreferredSharedMemoryCarveout
};
enum cudaLaunchAttributeID {
  cudaLaunchAttributeProgrammaticStreamSerialization,
  cudaLaunchAttributeClusterDimension
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
    struct {
      unsigned x, y, z;
    } clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

namespace emulation {

// Enqueues what a kernel does; `owner` owns grid.call.
cudaError_t launch(cudaStream_t stream, const Grid& grid, bool overlaps, std::shared_ptr<void> owner);
cudaError_t load(const void* kernel);
cudaError_t set_shared_limit(const void* kernel, int bytes);
// What is wrong with a launch of `kernel`, which becomes the last error.
cudaError_t check_launch(const void* kernel, const cudaLaunchConfig_t& config);
// As many as find a place in processing clusters of 16 and 18 multiprocessors.
cudaError_t count_clusters(const void* kernel, const cudaLaunchConfig_t& config, int* clusters);
// Blocks in a cluster, along y.
unsigned in_cluster(const cudaLaunchConfig_t& config);
// Whether the kernel may begin before the one before it has ended.
bool overlaps(const cudaLaunchConfig_t& config);

// How much memory each device has; how many allocations succeed before one fails, -1: all.
void set_memory(std::size_t bytes);
void fail_allocation(int after);
// After how many captured operations a capture is ended, once, as by a thread that waits for the whole
// device; -1: none is.
void invalidate_capture(int after);
bool was_invalidated();  // since then
// Bytes that are out, of a device's and of pinned memory made for it.
std::size_t allocated(int device = 0);
// How often something was made, launched or freed with a device current: each gives it a context.
std::size_t uses(int device);

}  // namespace emulation

struct cudaFuncAttributes {};
template <typename Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel* kernel) {
  return emulation::load(reinterpret_cast<const void*>(kernel));
}
template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout)
    return value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue;
  return emulation::set_shared_limit(reinterpret_cast<const void*>(kernel), value);
}

template <typename Kernel>
cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, Kernel* kernel, const cudaLaunchConfig_t* config) {
  return emulation::count_clusters(reinterpret_cast<const void*>(kernel), *config, clusters);
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert((sizeof(std::decay_t<Parameters>) + ... + 0) <= 4096,
                "a kernel's parameters exceed the 4 KiB of CUDA 12.0");
  if (const cudaError_t error = emulation::check_launch(reinterpret_cast<const void*>(kernel), *config))
    return error;
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<std::decay_t<Parameters>...> parameters;
  };
  auto call = std::make_shared<Call>(
      Call{kernel, std::tuple<std::decay_t<Parameters>...>(std::forward<Arguments>(arguments)...)});
  emulation::Grid grid;
  grid.size = config->gridDim;
  grid.block = config->blockDim;
  grid.in_cluster = emulation::in_cluster(*config);
  grid.shared_bytes = config->dynamicSmemBytes;
  grid.run = [](void* it) { std::apply(static_cast<Call*>(it)->kernel, static_cast<Call*>(it)->parameters); };
  grid.call = call.get();
  return emulation::launch(config->stream, grid, emulation::overlaps(*config), std::move(call));
}
