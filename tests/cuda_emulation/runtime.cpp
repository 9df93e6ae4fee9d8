// Streams are in order and at once: what is enqueued is done on return, unless it is being captured.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "tests/cuda_emulation/cuda_runtime.h"

struct CUstream_st {
  bool capturing = false;
  std::vector<std::function<void()>> captured;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point when;
};
struct CUgraph_st {
  std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> work;
};

namespace {

constexpr std::size_t kMostShared = 227 << 10, kDefaultShared = 48 << 10;

// $ADAFACE_EMULATED_CAPABILITY: "8.0"; else 9.0, which has every kind of kernel.
int capability() {
  const char* text = std::getenv("ADAFACE_EMULATED_CAPABILITY");
  return text && std::strlen(text) == 3 ? (text[0] - '0') * 10 + (text[2] - '0') : 90;
}

// $ADAFACE_EMULATED_MEMORY, in bytes; else 8 GiB.
std::size_t memory_bytes() {
  const char* text = std::getenv("ADAFACE_EMULATED_MEMORY");
  return text ? std::strtoull(text, nullptr, 10) : std::size_t{8} << 30;
}

struct DeviceState {
  std::mutex mutex;
  int major = capability() / 10, minor = capability() % 10;
  std::size_t memory = memory_bytes(), allocated = 0;
  int allocations_left = -1;
  std::map<void*, std::size_t> sizes;
  std::map<const void*, int> shared_limits;
};
DeviceState& device() {
  static DeviceState state;
  return state;
}
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t fail(cudaError_t error) {
  return last_error = error;
}

cudaError_t allocate(void** memory, std::size_t bytes) {
  DeviceState& d = device();
  const std::lock_guard lock(d.mutex);
  if (d.allocations_left == 0 || bytes > d.memory - d.allocated) return fail(cudaErrorMemoryAllocation);
  if (d.allocations_left > 0) --d.allocations_left;
  // Not a byte more: AddressSanitizer sees what lies beyond.
  if (::posix_memalign(memory, 256, std::max<std::size_t>(bytes, 1)) != 0)
    return fail(cudaErrorMemoryAllocation);
  std::memset(*memory, 0xFF, bytes);
  d.sizes[*memory] = bytes;
  d.allocated += bytes;
  return cudaSuccess;
}

cudaError_t release(void* memory) {
  if (!memory) return cudaSuccess;
  DeviceState& d = device();
  const std::lock_guard lock(d.mutex);
  const auto at = d.sizes.find(memory);
  if (at == d.sizes.end()) return fail(cudaErrorInvalidValue);
  d.allocated -= at->second;
  d.sizes.erase(at);
  std::free(memory);
  return cudaSuccess;
}

}  // namespace

namespace emulation {

void enqueue(cudaStream_t stream, std::function<void()> work) {
  if (stream && stream->capturing)
    stream->captured.push_back(std::move(work));
  else
    work();
}

cudaError_t set_shared_limit(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<std::size_t>(bytes) > kMostShared) return fail(cudaErrorInvalidValue);
  const std::lock_guard lock(device().mutex);
  device().shared_limits[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t check_launch(const void* kernel, const cudaLaunchConfig_t& c) {
  std::size_t limit = kDefaultShared;
  {
    const std::lock_guard lock(device().mutex);
    if (const auto at = device().shared_limits.find(kernel); at != device().shared_limits.end())
      limit = static_cast<std::size_t>(at->second);
  }
  const auto within = [](const dim3& d, unsigned x, unsigned y, unsigned z) {
    return d.x >= 1 && d.y >= 1 && d.z >= 1 && d.x <= x && d.y <= y && d.z <= z;
  };
  if (!within(c.gridDim, 0x7FFFFFFF, 65535, 65535) || !within(c.blockDim, 1024, 1024, 64) ||
      c.blockDim.x * c.blockDim.y * c.blockDim.z > 1024 || c.dynamicSmemBytes > limit)
    return fail(cudaErrorInvalidValue);
  return cudaSuccess;
}

void set_memory(std::size_t bytes) {
  device().memory = bytes;
}
void fail_allocation(int after) {
  device().allocations_left = after;
}
std::size_t allocated() {
  return device().allocated;
}

}  // namespace emulation

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
  }
  return "cudaErrorUnknown";
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "emulated failure";
}
cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
  return last_error;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int number) {
  return number == 0 ? cudaSuccess : fail(cudaErrorInvalidDevice);
}
cudaError_t cudaGetDevice(int* number) {
  *number = 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int number) {
  if (number != 0) return fail(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "emulated device");
  properties->totalGlobalMem = device().memory;
  properties->major = device().major;
  properties->minor = device().minor;
  properties->multiProcessorCount = 132;
  properties->sharedMemPerBlockOptin = kMostShared;
  properties->l2CacheSize = 50 << 20;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = device().memory;
  *free = device().memory - device().allocated;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  return allocate(memory, bytes);
}
cudaError_t cudaFree(void* memory) {
  return release(memory);
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return allocate(memory, bytes);
}
cudaError_t cudaFreeHost(void* memory) {
  return release(memory);
}
cudaError_t cudaMemcpyAsync(void* dst, const void* src, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  emulation::enqueue(stream, [=] { std::memcpy(dst, src, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* dst, std::size_t dst_pitch, const void* src, std::size_t src_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind, cudaStream_t stream) {
  emulation::enqueue(stream, [=] {
    for (std::size_t y = 0; y < height; ++y)
      std::memcpy(static_cast<char*>(dst) + y * dst_pitch, static_cast<const char*>(src) + y * src_pitch,
                  width);
  });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* dst, int value, std::size_t bytes, cudaStream_t stream) {
  emulation::enqueue(stream, [=] { std::memset(dst, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return cudaSuccess;
}
// Everything before it is done.
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  emulation::enqueue(stream, [=] { event->when = std::chrono::steady_clock::now(); });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t from, cudaEvent_t to) {
  *ms = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = true;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  stream->capturing = false;
  *graph = new CUgraph_st{std::move(stream->captured)};
  stream->captured.clear();
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  for (const auto& work : executable->work) work();
  return cudaSuccess;
}
