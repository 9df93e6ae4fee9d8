// Which implementation a convolution gets.
#pragma once

#include <memory>

#include "src/nn/convolution.h"

namespace adaface::nn {

std::unique_ptr<Convolution> make_convolution(const ConvolutionProblem& problem, const PlanOptions& options);

}  // namespace adaface::nn
