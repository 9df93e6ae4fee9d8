// A network planned for a device, and the sessions that run it. The one interface between the networks and
// the backends.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/adaface.hpp"
#include "src/nn/network.h"

namespace adaface::nn {

class Progress;
class ThreadPool;

// How 3x3 convolutions with stride 1 are computed. In float32 every choice gives the same results within its
// rounding; one that a layer does not allow falls back to direct.
enum class Algorithm {
  automatic,
  direct,
  onednn_winograd,
  winograd_four_and_two,
  winograd_four,
  winograd_two
};

struct PlanOptions {
  int device = -1;  // a CUDA device, or the CPU; on a device only this and the precision have a meaning
  int threads = 1;  // that work may be divided among: never changes a result
  Precision precision = Precision::f32;
  PlanKind kind = PlanKind::fast;
  bool half_weights = false;  // transformed weights in 16 bits: half the memory, one more rounding
  Algorithm algorithm = Algorithm::automatic;
  auto operator<=>(const PlanOptions&) const = default;
};

struct LayerInfo {
  std::string name;
  LayerKind kind;
  std::string shape;           // "256x14x14 -> 256x14x14 k3 s1"
  std::string implementation;  // as the backend names it
  // Of the useful work, one image: a direct convolution's, whatever the implementation does.
  double multiply_adds = 0;
  // What the implementation carries out: more where channels are padded, fewer with Winograd's transforms. 0:
  // the same.
  double executed_multiply_adds = 0;
  double activation_bytes = 0;  // one image's, each read or written once
  double weight_bytes = 0;      // as packed, each read once
};

// An arena and what points into it: belongs to one thread at a time. Running allocates nothing of ours,
// though the first runs of a fast plan touch memory that it has reserved (Plan::keep_weights), and fails only
// with the device or when `pool` has more threads than the session was created for (internal).
class Session {
 public:
  virtual ~Session() = default;

  // {channels, height, width} of the network's input, to be filled before each run.
  virtual float* input() = 0;
  // {height, width, channels} of the network's output, valid until the next run.
  virtual const float* output() const = 0;

  // The layers in order. `pool` shares out the work inside each; null: this thread alone. With the same
  // result.
  // `progress`, or null, is told of each layer and may stop between them.
  virtual void run(ThreadPool* pool = nullptr, const Progress* progress = nullptr) = 0;

  // One layer over whatever the arena holds, for timing. `bare`: of a convolution of oneDNN's, the primitive
  // alone, without the batch norm before it and the PReLU after it.
  virtual void run_layer(int index, ThreadPool* pool, bool bare = false) = 0;
  // The values of an activation as {channels, height, width}, after a run_until that ended with its layer:
  // for tests.
  virtual void run_until(int index, std::vector<float>& chw) = 0;
};

// Packed weights and implementations, shared by any number of sessions on any threads. What a run computes
// never changes; how long it takes does, until the weights of a fast plan are kept.
class Plan {
 public:
  virtual ~Plan() = default;
  // For runs on a pool of at most that many threads, or on none.
  virtual std::unique_ptr<Session> create_session(int threads = 1) const = 0;
  // Transforms all weights now that the first runs of a fast plan would transform and keep, some in each.
  // `pool` shares it out; null: this thread alone. Thread-safe.
  virtual void keep_weights(ThreadPool* pool, const Progress* progress = nullptr) const = 0;
  virtual std::span<const LayerInfo> layers() const = 0;
  virtual Extent input() const = 0;
  virtual Extent output() const = 0;
};

}  // namespace adaface::nn
