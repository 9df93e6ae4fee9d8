// A CUDA device as the engine uses it: memory, streams, events and captured graphs that give themselves back,
// and errors that name the device, the operation and what CUDA said. Free of CUDA's headers;
// src/nn/cuda_device.cpp has them.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include "kernels/cuda/cuda.h"

struct CUevent_st;
struct CUgraphExec_st;

namespace adaface::nn::cuda {

// Throws out_of_memory for a lack of device memory, else internal, naming the current device, the operation
// and what CUDA says.
void check(kernels::cuda::Status status, const std::string& operation);

// Makes a device the calling thread's while it lives, then the one before it, if the process has used that:
// making a device current takes hundreds of megabytes of its memory. Threads begin with device 0.
class DeviceScope {
 public:
  explicit DeviceScope(int device);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int device_, before_ = 0;
};

struct DeviceLimits {
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 0;
  std::size_t shared_bytes = 0;  // of a multiprocessor
  // [n - 1][b]: how many clusters of b blocks there can be at once, if n blocks share a multiprocessor.
  int clusters[2][9] = {};
};
DeviceLimits limits(int device);

enum class Place { device, host };

// Of the device that is current when it is made, or of the host, pinned: devices copy from and to it without
// the driver's help. Nothing in it is initialised. Gives itself back whatever device is current.
template <Place kPlace>
class Memory {
 public:
  Memory() = default;
  // `what` it is for stands in the error.
  Memory(std::size_t bytes, const std::string& what);
  ~Memory();
  Memory(Memory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        device_(other.device_) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(device_, other.device_);
    return *this;
  }

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  int device_ = 0;
};
using DeviceMemory = Memory<Place::device>;
using PinnedMemory = Memory<Place::host>;

class Event {
 public:
  explicit Event(bool timed = false);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  CUevent_st* get() const { return event_; }
  // Until what was recorded has happened: awake at first, then asleep.
  void synchronize(const std::string& operation) const;
  // Of two timed ones that have happened.
  static float milliseconds(const Event& from, const Event& to);

 private:
  CUevent_st* event_ = nullptr;
  int device_ = 0;
};

// Work in order, beside that of other streams.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void upload(void* device, const void* host, std::size_t bytes);
  void download(void* host, const void* device, std::size_t bytes);
  void clear(void* device, std::size_t bytes);
  void record(const Event& event);
  void wait_for(const Event& event);
  // Until all of it is done. What a kernel did wrong is thrown here, under the name of `operation`.
  void synchronize(const std::string& operation);

 private:
  cudaStream_t stream_ = nullptr;
  int device_ = 0;
};

// What `enqueue` puts on the stream, captured once, to be enqueued as a whole many times.
class Graph {
 public:
  // Empty if the capture was invalidated: another thread of the process waited for the whole device meanwhile
  // (cudaDeviceSynchronize ends every capture there), or `enqueue` hid the error of a call that is forbidden
  // in captures.
  Graph(Stream& stream, const std::function<void()>& enqueue);
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  bool is_empty() const { return !executable_; }
  // Precondition: not empty.
  void launch(Stream& stream) const;

 private:
  CUgraphExec_st* executable_ = nullptr;
  int device_ = 0;
};

}  // namespace adaface::nn::cuda
