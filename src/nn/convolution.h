// One convolution of a plan, however it is computed: a batch norm before it, bias, PReLU and residual sum
// included. Activations are blocked (kernels/kernels.h) but for the network's input, which is planar.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "src/nn/network.h"
#include "src/nn/plan.h"

namespace adaface::nn {

class ThreadPool;

struct ConvolutionProblem {
  const Layer& layer;
  Extent in, out;
  int block;    // channels that lie together
  bool planar;  // src is the network's input
  int threads;  // that work may be divided among: never changes a result
  Precision precision;
  bool half_weights;  // keep them in 16 bits where that halves what a run reads
  PlanKind kind;
};

// Packed weights are written once per plan, by tasks that may run at the same time; an implementation that
// uses the weights where they lie in their file has none.
class Convolution {
 public:
  virtual ~Convolution() = default;

  virtual std::string implementation() const = 0;
  virtual double executed_multiply_adds() const = 0;
  virtual std::size_t packed_bytes() const = 0;
  virtual double weight_bytes() const { return static_cast<double>(packed_bytes()); }  // read by a run

  virtual int pack_tasks() const = 0;
  virtual std::size_t plain_floats() const = 0;  // of the buffer `plain` that a task works with
  virtual void pack(int task, const ConvolutionWeights& weights, float* plain, std::byte* packed) const = 0;

  // For a session whose pool has at most that many threads; steps use it one after the other.
  virtual std::size_t scratch_bytes(int threads) const = 0;

  // A session's own part: what points into its arena. Both live as long as it.
  class Bound {
   public:
    virtual ~Bound() = default;
    // `bare`: of oneDNN's convolutions the primitive alone.
    virtual void run(ThreadPool* pool, bool bare) = 0;
  };
  virtual std::unique_ptr<Bound> bind(std::byte* packed, const float* src, float* dst,
                                      std::byte* scratch) const = 0;
};

// A oneDNN primitive: direct, or its own Winograd where it has one for this problem. Throws dnnl::error.
std::unique_ptr<Convolution> make_onednn_convolution(const ConvolutionProblem& problem, bool winograd);

// kernels/winograd.h, with tiles of 4 and 2 (F(4x4) and F(2x2) mixed) or of 2 alone. Null where it does not
// apply: another kernel size, stride or padding, or a CPU for which it has no version.
enum class WinogradTiles { four_and_two, four, two };
std::unique_ptr<Convolution> make_winograd_convolution(const ConvolutionProblem& problem,
                                                       WinogradTiles tiles);

// A convolution that sees all of its input at once, straight from the weights in their file. Null where it
// does not apply.
std::unique_ptr<Convolution> make_dense_convolution(const ConvolutionProblem& problem);

}  // namespace adaface::nn
