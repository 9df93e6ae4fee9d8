// Devices and their memory.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulation/device_state.h"

using emulation::current_device;
using emulation::fail;
using emulation::State;
using emulation::state;

namespace {

constexpr std::size_t kDefaultShared = 48 << 10;

struct Capability {
  int major = 9, minor = 0;

  // The most that a block may ask for (CUDA programming guide, technical specifications by capability).
  std::size_t most_shared() const {
    if (major == 8) return (minor == 0 || minor == 7 ? 163 : 99) << 10;
    return (major >= 12 ? 99 : 227) << 10;
  }
};

// $ADAFACE_EMULATED_CAPABILITY, such as "8.0"; else 9.0, which has every kind of kernel.
Capability capability() {
  Capability c;
  const char* const text = std::getenv("ADAFACE_EMULATED_CAPABILITY");
  if (text && std::sscanf(text, "%d.%d", &c.major, &c.minor) != 2) {
    std::fprintf(stderr, "ADAFACE_EMULATED_CAPABILITY=%s, expected two numbers, such as 8.0\n", text);
    std::abort();
  }
  return c;
}

cudaError_t allocate(void** memory, std::size_t bytes, bool is_pinned) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (const cudaError_t error = emulation::refuse_in_capture()) return error;
  ++s.uses[current_device];
  std::size_t& allocated = s.allocated[current_device];
  if (s.allocations_left == 0 || allocated > s.memory || bytes > s.memory - allocated)
    return fail(cudaErrorMemoryAllocation);
  if (s.allocations_left > 0) --s.allocations_left;
  // Not a byte more: AddressSanitizer sees what lies beyond.
  if (::posix_memalign(memory, 256, std::max<std::size_t>(bytes, 1)) != 0)
    return fail(cudaErrorMemoryAllocation);
  std::memset(*memory, 0xFF, bytes);
  s.allocations[static_cast<const std::byte*>(*memory)] = {bytes, current_device, is_pinned};
  allocated += bytes;
  return cudaSuccess;
}

// Waits for the device, as CUDA does. Stricter than CUDA in that the memory's device has to be current: else
// the one that is gets a context, if it has none.
cudaError_t release(void* memory, bool is_pinned) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  ++s.uses[current_device];
  if (!memory) return cudaSuccess;
  if (const cudaError_t error = emulation::refuse_in_capture()) return error;
  const auto at = s.allocations.find(static_cast<const std::byte*>(memory));
  if (at == s.allocations.end() || at->second.is_pinned != is_pinned || at->second.device != current_device)
    return fail(cudaErrorInvalidValue);
  emulation::run_out(current_device);
  s.allocated[current_device] -= at->second.bytes;
  s.allocations.erase(at);
  std::free(memory);
  return cudaSuccess;
}

}  // namespace

namespace emulation {

const Allocation* State::find(const void* at, std::size_t bytes) const {
  const auto* const first = static_cast<const std::byte*>(at);
  auto next = allocations.upper_bound(first);
  if (next == allocations.begin()) return nullptr;
  const auto& [begin, allocation] = *--next;
  return first + bytes <= begin + allocation.bytes ? &allocation : nullptr;
}

// Never destroyed: what is static in a program may outlive it.
State& state() {
  static State& only = *new State;
  return only;
}

cudaError_t load(const void* kernel) {
  const std::lock_guard lock(state().mutex);
  if (const cudaError_t error = refuse_in_capture()) return error;
  ++state().uses[current_device];
  state().loaded.insert({current_device, kernel});
  return cudaSuccess;
}

cudaError_t set_shared_limit(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<std::size_t>(bytes) > capability().most_shared())
    return fail(cudaErrorInvalidValue);
  const std::lock_guard lock(state().mutex);
  if (const cudaError_t error = refuse_in_capture()) return error;
  ++state().uses[current_device];
  state().shared_limits[{current_device, kernel}] = bytes;
  return cudaSuccess;
}

unsigned in_cluster(const cudaLaunchConfig_t& c) {
  for (unsigned i = 0; i < c.numAttrs; ++i)
    if (c.attrs[i].id == cudaLaunchAttributeClusterDimension) return c.attrs[i].val.clusterDim.y;
  return 1;
}

bool overlaps(const cudaLaunchConfig_t& c) {
  for (unsigned i = 0; i < c.numAttrs; ++i)
    if (c.attrs[i].id == cudaLaunchAttributeProgrammaticStreamSerialization)
      return c.attrs[i].val.programmaticStreamSerializationAllowed != 0;
  return false;
}

cudaError_t check_launch(const void* kernel, const cudaLaunchConfig_t& c) {
  std::size_t limit = kDefaultShared;
  {
    const std::lock_guard lock(state().mutex);
    const auto at = state().shared_limits.find({current_device, kernel});
    if (at != state().shared_limits.end()) limit = static_cast<std::size_t>(at->second);
    if (!state().loaded.contains({current_device, kernel})) {
      if (const cudaError_t error = refuse_in_capture()) return error;
      state().loaded.insert({current_device, kernel});
    }
  }
  const auto within = [](const dim3& d, unsigned x, unsigned y, unsigned z) {
    return d.x >= 1 && d.y >= 1 && d.z >= 1 && d.x <= x && d.y <= y && d.z <= z;
  };
  if (!within(c.gridDim, 0x7FFFFFFF, 65535, 65535) || !within(c.blockDim, 1024, 1024, 64) ||
      c.blockDim.x * c.blockDim.y * c.blockDim.z > 1024 || c.dynamicSmemBytes > limit)
    return fail(cudaErrorInvalidValue);
  const unsigned cluster = in_cluster(c);
  if (cluster < 1 || cluster > 8 || c.gridDim.y % cluster != 0 || (cluster > 1 && capability().major < 9))
    return fail(cudaErrorInvalidValue);
  return cudaSuccess;
}

cudaError_t count_clusters(const void* kernel, const cudaLaunchConfig_t& config, int* clusters) {
  if (const cudaError_t error = check_launch(kernel, config)) return error;
  const std::size_t each = config.dynamicSmemBytes + (1 << 10);
  const auto together = static_cast<unsigned>(((capability().most_shared() + (1 << 10)) / each));
  *clusters = 0;
  for (const unsigned multiprocessors : {16, 16, 16, 16, 16, 16, 18, 18})
    *clusters += static_cast<int>(multiprocessors * together / in_cluster(config));
  return cudaSuccess;
}

void set_memory(std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  state().memory = bytes;
}
void fail_allocation(int after) {
  const std::lock_guard lock(state().mutex);
  state().allocations_left = after;
}
void invalidate_capture(int after) {
  const std::lock_guard lock(state().mutex);
  state().operations_left = after;
}
bool was_invalidated() {
  const std::lock_guard lock(state().mutex);
  return state().operations_left < 0;
}
std::size_t allocated(int device) {
  const std::lock_guard lock(state().mutex);
  return state().allocated[device];
}
std::size_t uses(int device) {
  const std::lock_guard lock(state().mutex);
  return state().uses[device];
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
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorIllegalState: return "cudaErrorIllegalState";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported: return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated: return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureIsolation: return "cudaErrorStreamCaptureIsolation";
    case cudaErrorStreamCaptureWrongThread: return "cudaErrorStreamCaptureWrongThread";
  }
  return "cudaErrorUnknown";
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "emulated failure";
}
cudaError_t cudaGetLastError() {
  return std::exchange(emulation::last_error, cudaSuccess);
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = State::kDevices;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int number) {
  if (number < 0 || number >= State::kDevices) return fail(cudaErrorInvalidDevice);
  current_device = number;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* number) {
  *number = current_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int number) {
  if (number < 0 || number >= State::kDevices) return fail(cudaErrorInvalidDevice);
  const Capability of = capability();
  *properties = {};
  std::strcpy(properties->name, "emulated device");
  properties->totalGlobalMem = state().memory;
  properties->major = of.major;
  properties->minor = of.minor;
  properties->multiProcessorCount = 132;
  properties->l2CacheSize = 50 << 20;
  // That of one block, and the kibibyte that each takes.
  properties->sharedMemPerMultiprocessor = capability().most_shared() + (1 << 10);
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
  return allocate(memory, bytes, false);
}
cudaError_t cudaFree(void* memory) {
  return release(memory, false);
}
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) {
  return allocate(memory, bytes, true);
}
cudaError_t cudaFreeHost(void* memory) {
  return release(memory, true);
}
