#include <algorithm>
#include <vector>

#include "kernels/kernels.h"
#include "src/nn/arena.h"
#include "src/nn/blocks.h"
#include "src/nn/convolution.h"
#include "src/nn/thread_pool.h"

namespace adaface::nn {
namespace {

constexpr int kRowsOfATask = 16;

class DenseConvolution final : public Convolution {
 public:
  explicit DenseConvolution(const ConvolutionProblem& problem)
      : in_(problem.in),
        outputs_(problem.out.channels),
        block_(problem.block),
        weights_(problem.layer.weights),
        scale_(problem.layer.scale),
        shift_(problem.layer.shift) {}

  std::string implementation() const override { return "dense"; }
  double executed_multiply_adds() const override { return static_cast<double>(inputs()) * outputs_; }
  std::size_t packed_bytes() const override { return 0; }
  double weight_bytes() const override { return executed_multiply_adds() * sizeof(float); }
  int pack_tasks() const override { return 0; }
  std::size_t plain_floats() const override { return 0; }
  void pack(int, const ConvolutionWeights&, float*, std::byte*) const override {}
  std::size_t scratch_bytes(int) const override { return align_up(index(inputs()) * sizeof(float)); }
  std::unique_ptr<Bound> bind(std::byte* packed, const float* src, float* dst,
                              std::byte* scratch) const override;

 private:
  class BoundDense;
  int inputs() const { return in_.channels * in_.height * in_.width; }

  Extent in_;
  int outputs_, block_;
  ConvolutionWeights weights_;
  std::vector<float> scale_, shift_;
};

class DenseConvolution::BoundDense final : public Bound {
 public:
  BoundDense(const DenseConvolution& convolution, const float* src, float* dst, std::byte* scratch)
      : c_(convolution), src_(src), dst_(dst), planes_(reinterpret_cast<float*>(scratch)) {}

  void run(ThreadPool* pool, bool) override {
    to_planes();
    const int tasks = (c_.outputs_ + kRowsOfATask - 1) / kRowsOfATask;
    const auto task = [&](int t, int) {
      const int first = t * kRowsOfATask, rows = std::min(kRowsOfATask, c_.outputs_ - first);
      // One pixel: the blocks of its channels lie one after the other.
      kernels::select().dense(planes_, c_.weights_.rows + index(first) * index(c_.inputs()), c_.inputs(),
                              rows, c_.weights_.row_scale.data() + first, c_.weights_.bias.data() + first,
                              dst_ + first);
    };
    run_tasks(pool, tasks, task);
  }

 private:
  // {channels, height, width}, as the rows of the weights are, after the batch norm.
  void to_planes() const {
    const int pixels = c_.in_.height * c_.in_.width;
    for (int channel = 0; channel < c_.in_.channels; ++channel) {
      const float* src =
          src_ + index(channel / c_.block_) * index(pixels) * index(c_.block_) + channel % c_.block_;
      const float scale = c_.scale_.empty() ? 1 : c_.scale_[index(channel)];
      const float shift = c_.scale_.empty() ? 0 : c_.shift_[index(channel)];
      float* dst = planes_ + index(channel) * index(pixels);
      for (int p = 0; p < pixels; ++p) dst[p] = src[p * c_.block_] * scale + shift;
    }
  }

  const DenseConvolution& c_;
  const float* src_;
  float* dst_;
  float* planes_;
};

std::unique_ptr<Convolution::Bound> DenseConvolution::bind(std::byte*, const float* src, float* dst,
                                                           std::byte* scratch) const {
  return std::make_unique<BoundDense>(*this, src, dst, scratch);
}

}  // namespace

std::unique_ptr<Convolution> make_dense_convolution(const ConvolutionProblem& problem) {
  const Layer& layer = problem.layer;
  const Extent in = problem.in;
  const bool sees_all = layer.padding == 0 && layer.kernel == in.height && layer.kernel == in.width;
  const bool plain = layer.residual < 0 && layer.weights.slope.empty() && !problem.planar &&
                     problem.out.channels % problem.block == 0;
  // Without a version for this CPU, oneDNN is faster.
  if (kernels::select().dense == kernels::definitions().dense) return nullptr;
  if (!sees_all || !plain || !layer.weights.rows || problem.precision != Precision::f32) return nullptr;
  return std::make_unique<DenseConvolution>(problem);
}

}  // namespace adaface::nn
