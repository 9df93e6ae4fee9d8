// Times by events of the device, and the numbers that are computed with meanwhile.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "kernels/cuda/cuda.h"
#include "src/nn/cuda_device.h"

namespace adaface::bench {

struct Times {
  double min_ms = 0, median_ms = 0;
};
// Precondition: not empty.
Times times_of(std::vector<double> ms);
// By the host's clock.
double milliseconds_since(std::chrono::steady_clock::time_point start);

// Milliseconds of each of `samples` runs of enqueue(), which puts work on the stream: between two events, all
// enqueued before the first is waited for, so that the device does not wait for the host.
template <typename Enqueue>
std::vector<double> time_on(nn::cuda::Stream& stream, int samples, const Enqueue& enqueue) {
  std::deque<nn::cuda::Event> events;
  for (int i = 0; i <= samples; ++i) events.emplace_back(true);
  stream.record(events[0]);
  for (int i = 0; i < samples; ++i) {
    enqueue();
    stream.record(events[static_cast<std::size_t>(i) + 1]);
  }
  stream.synchronize("a measurement");
  std::vector<double> ms;
  for (int i = 0; i < samples; ++i)
    ms.push_back(nn::cuda::Event::milliseconds(events[static_cast<std::size_t>(i)],
                                               events[static_cast<std::size_t>(i) + 1]));
  return ms;
}

// Device memory full of random numbers of about uniform distribution in (-1, 1), never zeros: those need less
// power, and a device that is limited by it computes them faster.
nn::cuda::DeviceMemory random_numbers(nn::cuda::Stream& stream, kernels::cuda::Storage storage,
                                      std::size_t bytes, const std::string& what);

struct DeviceFacts {
  std::string name;
  int compute_major = 0, compute_minor = 0, multiprocessors = 0;
  std::size_t l2_bytes = 0;
  int driver = 0, runtime = 0;  // versions, as CUDA counts them
};
DeviceFacts device_facts(int device);

// Gigabytes (1e9) a second, read and written bytes counted, of a copy on the device that no cache holds.
double copy_bandwidth(nn::cuda::Stream& stream, int samples);

}  // namespace adaface::bench
