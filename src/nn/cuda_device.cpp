#include "src/nn/cuda_device.h"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <chrono>
#include <thread>

#include "src/error.hpp"
#include "src/nn/cuda_backend.h"

namespace adaface::nn {
namespace cuda {
namespace {

void check(cudaError_t error, const std::string& operation) {
  cuda::check(static_cast<kernels::cuda::Status>(error), operation);
}

// Whether the process has a context on a device. The runtime does not tell, the driver that it has loaded
// does.
bool is_in_use(int device) {
  using Query = int (*)(int device, unsigned* flags, int* active);
  static const auto query = [] {
    void* const driver = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    return driver ? reinterpret_cast<Query>(::dlsym(driver, "cuDevicePrimaryCtxGetState")) : nullptr;
  }();
  unsigned flags = 0;
  int active = 0;
  return !query || (query(device, &flags, &active) == 0 && active);
}

int current_device() {
  int device = 0;
  check(cudaGetDevice(&device), "the current device");
  return device;
}

// For destructors: `give_back` with `device` current.
template <typename F>
void on(int device, F&& give_back) noexcept {
  int before = device;
  cudaGetDevice(&before);
  if (before != device) cudaSetDevice(device);
  give_back();
  if (before != device && is_in_use(before)) cudaSetDevice(before);
}

std::string megabytes(std::size_t bytes) {
  return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB";
}

// Of a capture that was invalidated, from what is enqueued to its stream or from its end.
class CaptureInvalidated : public Error {
 public:
  using Error::Error;
};

}  // namespace

void check(kernels::cuda::Status status, const std::string& operation) {
  const auto error = static_cast<cudaError_t>(status);
  if (error == cudaSuccess) return;
  cudaGetLastError();  // so that the next call does not report it again
  int device = 0;
  cudaGetDevice(&device);
  const std::string what = "CUDA device " + std::to_string(device) + ": " + operation + ": " +
                           cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")";
  if (error == cudaErrorStreamCaptureInvalidated) throw CaptureInvalidated(ErrorCode::internal, what);
  throw Error(error == cudaErrorMemoryAllocation ? ErrorCode::out_of_memory : ErrorCode::internal, what);
}

DeviceScope::DeviceScope(int device) : device_(device) {
  check(cudaGetDevice(&before_), "the current device");
  const cudaError_t error = before_ == device_ ? cudaSuccess : cudaSetDevice(device_);
  if (error != cudaSuccess) {
    cudaGetLastError();
    throw Error(ErrorCode::internal, "CUDA device " + std::to_string(device_) + ": " +
                                         cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
  }
}

DeviceScope::~DeviceScope() {
  if (before_ != device_ && is_in_use(before_)) cudaSetDevice(before_);
}

DeviceLimits limits(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "properties of device " + std::to_string(device));
  return {properties.major,
          properties.minor,
          properties.multiProcessorCount,
          properties.sharedMemPerMultiprocessor,
          {}};
}

template <Place kPlace>
Memory<kPlace>::Memory(std::size_t bytes, const std::string& what)
    : bytes_(bytes), device_(current_device()) {
  if (bytes == 0) return;
  void* memory = nullptr;
  if constexpr (kPlace == Place::device)
    check(cudaMalloc(&memory, bytes), megabytes(bytes) + " for " + what);
  else
    check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), megabytes(bytes) + " of the host for " + what);
  data_ = static_cast<std::byte*>(memory);
}

template <Place kPlace>
Memory<kPlace>::~Memory() {
  if (data_) on(device_, [&] { kPlace == Place::device ? cudaFree(data_) : cudaFreeHost(data_); });
}

template class Memory<Place::device>;
template class Memory<Place::host>;

Event::Event(bool timed) : device_(current_device()) {
  check(cudaEventCreateWithFlags(&event_, cudaEventBlockingSync | (timed ? 0u : cudaEventDisableTiming)),
        "a new event");
}

Event::~Event() {
  on(device_, [&] { cudaEventDestroy(event_); });
}

void Event::synchronize(const std::string& operation) const {
  // The system needs some ten microseconds to wake a thread: a crop is waited for awake, a batch asleep.
  constexpr auto kAwake = std::chrono::milliseconds(2);
  const auto end = std::chrono::steady_clock::now() + kAwake;
  cudaError_t error = cudaEventQuery(event_);
  if (error == cudaErrorNotReady) {
    while (error == cudaErrorNotReady && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
      error = cudaEventQuery(event_);
    }
    cudaGetLastError();  // which may remember that it was not ready
    if (error == cudaErrorNotReady) error = cudaEventSynchronize(event_);
  }
  check(error, operation);
}

float Event::milliseconds(const Event& from, const Event& to) {
  float ms = 0;
  check(cudaEventElapsedTime(&ms, from.event_, to.event_), "the time between two events");
  return ms;
}

Stream::Stream() : device_(current_device()) {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a new stream");
}

Stream::~Stream() {
  on(device_, [&] { cudaStreamDestroy(stream_); });
}

void Stream::upload(void* device, const void* host, std::size_t bytes) {
  if (bytes > 0)
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_), "copy to the device");
}

void Stream::download(void* host, const void* device, std::size_t bytes) {
  if (bytes > 0)
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "copy from the device");
}

void Stream::clear(void* device, std::size_t bytes) {
  if (bytes > 0) check(cudaMemsetAsync(device, 0, bytes, stream_), "clearing memory");
}

void Stream::record(const Event& event) {
  check(cudaEventRecord(event.get(), stream_), "an event");
}

void Stream::wait_for(const Event& event) {
  check(cudaStreamWaitEvent(stream_, event.get(), 0), "waiting for an event");
}

void Stream::synchronize(const std::string& operation) {
  check(cudaStreamSynchronize(stream_), operation);
}

Graph::Graph(Stream& stream, const std::function<void()>& enqueue) : device_(current_device()) {
  check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "begin of a capture");
  cudaGraph_t graph = nullptr;
  try {
    try {
      enqueue();
    } catch (...) {
      cudaStreamEndCapture(stream.get(), &graph);
      if (graph) cudaGraphDestroy(graph);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream.get(), &graph), "end of a capture");
  } catch (const CaptureInvalidated&) {
    return;
  }
  const cudaError_t error = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "instantiation of a graph");
}

Graph::~Graph() {
  if (executable_) on(device_, [&] { cudaGraphExecDestroy(executable_); });
}

void Graph::launch(Stream& stream) const {
  check(cudaGraphLaunch(executable_, stream.get()), "launch of a graph");
}

}  // namespace cuda

// The oldest compute capability that kernels are compiled for, times ten.
#if !defined(ADAFACE_CUDA_OLDEST)
#define ADAFACE_CUDA_OLDEST 80
#endif

std::vector<DeviceInfo> cuda_device_list(std::string* reason) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    cudaGetLastError();
    if (reason)
      *reason = error == cudaErrorInsufficientDriver ? "no CUDA driver, or one older than this build needs"
                : error == cudaErrorNoDevice || error == cudaSuccess
                    ? "no CUDA device"
                    : std::string("CUDA: ") + cudaGetErrorString(error);
    return {};
  }
  std::vector<DeviceInfo> devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    // Kernels would not start there.
    if (10 * properties.major + properties.minor < ADAFACE_CUDA_OLDEST) continue;
    devices.push_back({.device = {DeviceKind::cuda, i},
                       .name = properties.name,
                       .memory_bytes = properties.totalGlobalMem,
                       .compute_major = properties.major,
                       .compute_minor = properties.minor});
  }
  if (devices.empty() && reason)
    *reason = "no CUDA device of compute capability " + std::to_string(ADAFACE_CUDA_OLDEST / 10) + "." +
              std::to_string(ADAFACE_CUDA_OLDEST % 10) + " or newer, for which this library was built";
  return devices;
}

}  // namespace adaface::nn
