// Batch norms into the layers beside them, in double.
#pragma once

#include <string>
#include <vector>

#include "src/nn/network.h"
#include "weights/afw.h"

namespace adaface::nn {

// y = scale * x + shift, per channel.
struct Affine {
  std::vector<double> scale, shift;
};

// Reads and checks tensors of a weight file. Its tensors' bytes are compared with their checksums before they
// are read.
class TensorReader {
 public:
  explicit TensorReader(const weights::AfwFile& file) : file_(file) {}

  const weights::AfwFile& file() const { return file_; }
  std::vector<float> read(const std::string& name) const;

  // Batch norm `name`: gamma / sqrt(variance + 1e-5) and beta - mean * scale (Ioffe & Szegedy 2015, algorithm
  // 2); without affine parameters gamma is 1 and beta 0.
  Affine batch_norm(const std::string& name, bool affine = true) const;

  // Convolution without bias, then a batch norm, then PReLU where `slope` is given.
  ConvolutionWeights convolution(const std::string& weight, const Affine& norm,
                                 std::vector<float> slope = {}) const;

  // Linear layer with a bias of its own, then a batch norm.
  ConvolutionWeights linear(const std::string& name, const Affine& norm) const;

 private:
  const weights::TensorView& checked(const std::string& name) const;
  ConvolutionWeights scaled(const std::string& name, const std::vector<double>& scale) const;

  const weights::AfwFile& file_;
};

}  // namespace adaface::nn
