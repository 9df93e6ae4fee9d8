// Plans for CUDA devices, on kernels/cuda; in builds without CUDA there is no device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/cuda.h"
#include "src/adaface.hpp"
#include "src/nn/plan.h"

namespace adaface::nn {

namespace cuda {
class Event;
class Stream;
}  // namespace cuda

// Those that this process can use, in the order of their indices. Where there is none, `reason`, if it is not
// null, says why: "built without CUDA", "no CUDA driver", ... Throws std::bad_alloc alone.
std::vector<DeviceInfo> cuda_device_list(std::string* reason);

// A session over many images at once, crops of bytes in, embeddings out. There are two places for crops and
// results, so that the copies of one batch pass while another is computed. Belongs to one thread at a time;
// no call but wait() waits for the device. Errors of the device are thrown by the call that meets them, and
// leave the session usable unless the device itself is lost.
class CudaSession : public Session {
 public:
  static constexpr int kPlaces = 2;

  virtual int most_images() const = 0;
  // Captured so far, for the batch sizes that have occurred: zero after a batch where another thread of the
  // process invalidated its capture.
  virtual std::size_t graph_count() const = 0;

  // Pinned memory for interleaved crops {most_images, height, width, 3} of place 0 or 1, to be filled while
  // nothing is submitted there, and where they go on the device.
  virtual std::uint8_t* host_crops(int place) = 0;
  virtual std::uint8_t* device_crops(int place) = 0;

  // Enqueues the network over crops [0, count) of a place, copied from host_crops first, or on the device
  // already as soon as `ready` (an event that the caller has recorded; null: now). `swapped`: the network
  // wants their channels in the other order.
  virtual void submit(int place, int count, bool swapped) = 0;
  virtual void submit_on_device(int place, int count, bool swapped, cuda::Stream* after) = 0;

  // What the last submit of a place gave: unit vectors {count, output channels} and norms {count}; until its
  // next submit.
  struct Result {
    const float* units;
    const float* norms;
  };
  virtual Result wait(int place) = 0;

  // Recorded when everything that was submitted before is done: with timed events, how long that took.
  virtual void record(const cuda::Event& event) = 0;
};

class CudaPlan : public Plan {
 public:
  // Device memory for as many images at once, some megabytes each; throws out_of_memory.
  virtual std::unique_ptr<CudaSession> create_cuda_session(int images) const = 0;
};

// Uploads the weights and chooses layouts. Batch norms become part of the convolutions that read them: the
// scale of one before a padded convolution goes into the weights, its shift into a bias for each kind of
// border. Throws what Network's fill functions throw; out_of_memory; unsupported for a layer that no kernel
// here computes. What the network's functions refer to is needed until the call returns.
std::shared_ptr<const CudaPlan> plan_cuda(const Network& network, int device, Precision precision,
                                          ThreadPool* pool = nullptr);

}  // namespace adaface::nn
