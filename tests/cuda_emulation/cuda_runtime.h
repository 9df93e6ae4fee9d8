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
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __restrict__ __restrict

// Asks the thread that runs; used as the unsigned number that it is.
struct EmulatedIndex {
  unsigned (*get)();
  operator unsigned() const { return get(); }
};
struct EmulatedIndices {
  EmulatedIndex x, y, z;
};
#define EMULATED_INDICES(of)                                                            \
  {                                                                                     \
    {[] { return ::emulation::self->of.x; }}, {[] { return ::emulation::self->of.y; }}, \
        {[] { return ::emulation::self->of.z; }},                                       \
  }
inline constexpr EmulatedIndices threadIdx EMULATED_INDICES(index), blockIdx EMULATED_INDICES(block->index),
    blockDim EMULATED_INDICES(block->size), gridDim EMULATED_INDICES(block->grid);
#undef EMULATED_INDICES
constexpr int warpSize = 32;

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct uchar3 {
  unsigned char x, y, z;
};
inline float2 make_float2(float x, float y) {
  return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}

inline void __syncthreads() {
  emulation::wait(emulation::self->block->all, emulation::self->block->threads);
}
inline int __syncthreads_or(int value) {
  static thread_local int any;
  __syncthreads();
  if (emulation::self->number == 0) any = 0;
  __syncthreads();
  any |= value != 0;
  __syncthreads();
  return any;
}
inline void __syncwarp(unsigned = ~0u) {
  emulation::warp_together(nullptr, [](void**) {});
}
template <typename T>
T __shfl_sync(unsigned, T value, int lane, int width = 32) {
  struct Item {
    T value, result;
    int lane;
  } item{value, value, emulation::lane() / width * width + lane % width};
  emulation::warp_together(&item, [](void** all) {
    for (int i = 0; i < 32; ++i) {
      auto* mine = static_cast<Item*>(all[i]);
      mine->result = static_cast<Item*>(all[mine->lane])->value;
    }
  });
  return item.result;
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return __shfl_sync(mask, value, emulation::lane() ^ bits);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, int by) {
  const int from = emulation::lane() + by;
  return __shfl_sync(mask, value, from < 32 ? from : emulation::lane());
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, int by) {
  const int from = emulation::lane() - by;
  return __shfl_sync(mask, value, from >= 0 ? from : emulation::lane());
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  struct Item {
    int predicate;
    unsigned result;
  } item{predicate, 0};
  emulation::warp_together(&item, [](void** all) {
    unsigned bits = 0;
    for (int i = 0; i < 32; ++i)
      if (static_cast<Item*>(all[i])->predicate) bits |= 1u << i;
    for (int i = 0; i < 32; ++i) static_cast<Item*>(all[i])->result = bits;
  });
  return item.result;
}
inline int __any_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) != 0;
}
inline int __popc(unsigned value) {
  return __builtin_popcount(value);
}
inline int __popcll(unsigned long long value) {
  return __builtin_popcountll(value);
}
inline int __ffsll(long long value) {
  return __builtin_ffsll(value);
}
inline int __ffs(int value) {
  return __builtin_ffs(value);
}

template <typename T>
T atomicAdd(T* at, T value) {
  if constexpr (std::is_floating_point_v<T>) {
    std::atomic_ref<T> ref(*at);
    T before = ref;
    while (!ref.compare_exchange_weak(before, before + value)) {
    }
    return before;
  } else {
    return std::atomic_ref<T>(*at).fetch_add(value);
  }
}
template <typename T>
T atomicExch(T* at, T value) {
  return std::atomic_ref<T>(*at).exchange(value);
}
template <typename T>
T atomicOr(T* at, T value) {
  return std::atomic_ref<T>(*at).fetch_or(value);
}
template <typename T>
T atomicMax(T* at, T value) {
  std::atomic_ref<T> ref(*at);
  T before = ref;
  while (before < value && !ref.compare_exchange_weak(before, value)) {
  }
  return before;
}
inline void __threadfence() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}
template <typename T>
T __ldg(const T* at) {
  return *at;
}
template <typename T>
T __ldcg(const T* at) {
  return *at;
}
inline float __fdividef(float a, float b) {
  return a / b;
}
inline float __expf(float x) {
  return std::exp(x);
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}
inline int __float2int_rn(float x) {
  return static_cast<int>(std::lrint(x));
}
inline long long __double2ll_rn(double x) {
  return std::llrint(x);
}
inline float __uint_as_float(unsigned bits) {
  return std::bit_cast<float>(bits);
}
inline unsigned __float_as_uint(float value) {
  return std::bit_cast<unsigned>(value);
}
inline int __float_as_int(float value) {
  return std::bit_cast<int>(value);
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 32; i += 8) c += (a >> i & 255) * (b >> i & 255);
  return c;
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
  cudaErrorLaunchFailure = 719,
};
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

struct cudaDeviceProp {
  char name[256];
  std::size_t totalGlobalMem;
  int major, minor, multiProcessorCount;
  std::size_t sharedMemPerBlockOptin;
  int l2CacheSize;
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0;
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal };
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4
};

cudaError_t cudaMalloc(void** memory, std::size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void* dst, std::size_t dst_pitch, const void* src, std::size_t src_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* dst, int value, std::size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
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

// Now, or when the graph that `stream` is captured into is launched.
void enqueue(cudaStream_t stream, std::function<void()> work);
cudaError_t set_shared_limit(const void* kernel, int bytes);
// What is wrong with a launch of `kernel`, which becomes the last error.
cudaError_t check_launch(const void* kernel, const cudaLaunchConfig_t& config);

// The emulated device: 8.0 or 9.0; how much memory it has; how many allocations succeed before one fails, -1:
// all.
void set_compute_capability(int major, int minor);
void set_memory(std::size_t bytes);
void fail_allocation(int after);
std::size_t allocated();  // bytes that are out, of device and pinned memory

}  // namespace emulation

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  return emulation::set_shared_limit(reinterpret_cast<const void*>(kernel), value);
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  if (const cudaError_t error = emulation::check_launch(reinterpret_cast<const void*>(kernel), *config))
    return error;
  // Shared, since a std::function wants to be copied and parameters may be large.
  auto parameters =
      std::make_shared<std::tuple<std::decay_t<Parameters>...>>(std::forward<Arguments>(arguments)...);
  emulation::enqueue(config->stream, [=, c = *config] {
    emulation::run_grid(c.gridDim, c.blockDim, c.dynamicSmemBytes, [&] { std::apply(kernel, *parameters); });
  });
  return cudaSuccess;
}
