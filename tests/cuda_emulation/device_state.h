// What runtime.cpp (devices and memory) and streams.cpp (work in order) share.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <utility>

#include "tests/cuda_emulation/cuda_runtime.h"

namespace emulation {

struct Allocation {
  std::size_t bytes;
  int device;
  bool is_pinned;  // of the host
};

// $ADAFACE_EMULATED_MEMORY, in bytes; else 8 GiB.
inline std::size_t memory_bytes() {
  const char* text = std::getenv("ADAFACE_EMULATED_MEMORY");
  return text ? std::strtoull(text, nullptr, 10) : std::size_t{8} << 30;
}

struct State {
  static constexpr int kDevices = 2;

  // Held by every call of the runtime, while it runs work for its caller as well.
  std::mutex mutex;
  std::size_t memory = memory_bytes();  // of each device
  int allocations_left = -1;
  int operations_left = -1;  // of captures, before one is ended from outside
  std::size_t allocated[kDevices] = {};
  std::size_t uses[kDevices] = {};
  std::map<const std::byte*, Allocation> allocations;
  std::map<std::pair<int, const void*>, int> shared_limits;
  std::set<std::pair<int, const void*>> loaded;  // kernels: a launch loads one, but not into a capture
  std::map<CUstream_st*, std::shared_ptr<CUstream_st>> streams;
  std::minstd_rand random;  // for schedules that are

  // That [at, at + bytes) lies in; null: none of these.
  const Allocation* find(const void* at, std::size_t bytes) const;
};
State& state();

inline thread_local cudaError_t last_error = cudaSuccess;
inline thread_local int current_device = 0;
inline thread_local int captures = 0;  // that this thread has begun and not ended

inline cudaError_t fail(cudaError_t error) {
  return last_error = error;
}

// Fails where this thread captures, which ends the capture: what CUDA may not do then. With the state's
// mutex.
cudaError_t refuse_in_capture();

// Runs out all streams of a device. With the state's mutex.
void run_out(int device);

}  // namespace emulation
