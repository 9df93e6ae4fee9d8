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
  // bfloat16 keeps 8 bits, of which the transforms of tiles of 4 cost three more than those of 2.
  if (problem.precision == Precision::bf16) return Algorithm::winograd_two;
  // Few outputs for each weight: what counts is how many weights are read, and tiles of 2 have half as many.
  if (std::max(out.height, out.width) < 12) return Algorithm::winograd_two;
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
  if (algorithm == Algorithm::automatic)
    algorithm = options.kind == PlanKind::small ? Algorithm::direct : fastest(problem);
  if (std::unique_ptr<Convolution> winograd = make_winograd(problem, algorithm)) return winograd;
  return make_onednn_convolution(problem, algorithm == Algorithm::onednn_winograd);
}

}  // namespace adaface::nn
