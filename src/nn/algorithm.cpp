#include "src/nn/algorithm.h"

#include <algorithm>
#include <utility>

namespace adaface::nn {
namespace {

// Narrower layers are too little work to pay for the transforms.
constexpr int kLeastChannels = 16;

Algorithm fastest(const ConvolutionProblem& problem) {
  const Extent in = problem.in, out = problem.out;
  if (std::min(in.channels, out.channels) < kLeastChannels) return Algorithm::direct;
  const int side = std::max(out.height, out.width);
  // Few outputs for each weight: what counts is how many weights are read, and tiles of 2 have half as many.
  if (side < 12) return Algorithm::winograd_two;
  // Of the 8 bits that bfloat16 keeps, tiles of 4 lose two more than those of 2: worth it where most of a
  // deep network's work lies (1 - cosine of ir_101 1.5e-4 instead of 3e-5, for 17 % of its time).
  if (problem.precision == Precision::bf16 && side > 14) return Algorithm::winograd_two;
  return Algorithm::winograd_four_and_two;
}

std::unique_ptr<Convolution> make_winograd(const ConvolutionProblem& problem, Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::winograd_four_and_two:
      return make_winograd_convolution(problem, WinogradTiles::four_and_two);
    case Algorithm::winograd_four: return make_winograd_convolution(problem, WinogradTiles::four);
    case Algorithm::winograd_two: return make_winograd_convolution(problem, WinogradTiles::two);
    default: return nullptr;
  }
}

}  // namespace

std::unique_ptr<Convolution> make_convolution(const ConvolutionProblem& problem, const PlanOptions& options) {
  Algorithm algorithm = options.algorithm;
  if (algorithm == Algorithm::automatic) {
    if (std::unique_ptr<Convolution> dense = make_dense_convolution(problem)) return dense;
    // Winograd kernels occupy no memory where they transform the weights in their file at each run.
    const bool in_place = problem.layer.weights.rows && options.precision == Precision::f32;
    algorithm = options.kind == PlanKind::fast || in_place ? fastest(problem) : Algorithm::direct;
  }
  if (std::unique_ptr<Convolution> winograd = make_winograd(problem, algorithm)) return winograd;
  return make_onednn_convolution(problem, algorithm == Algorithm::onednn_winograd);
}

}  // namespace adaface::nn
