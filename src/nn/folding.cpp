#include "src/nn/folding.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace adaface::nn {
namespace {

constexpr double kBatchNormEpsilon = 1e-5;

// Elements of one output channel.
std::size_t row_size(const weights::TensorView& tensor) {
  return static_cast<std::size_t>(weights::element_count(tensor.shape.subspan(1)));
}

// Rows [first, first + count) as float32.
void read_rows(const weights::TensorView& tensor, int first, int count, float* dst) {
  const std::size_t row = row_size(tensor);
  weights::AfwFile::to_float(tensor, static_cast<std::uint64_t>(first) * row,
                             {dst, static_cast<std::size_t>(count) * row});
}

}  // namespace

const weights::TensorView& TensorReader::checked(const std::string& name) const {
  const weights::TensorView& tensor = file_.tensor(name);
  file_.verify_once(tensor);
  return tensor;
}

std::vector<float> TensorReader::read(const std::string& name) const {
  const weights::TensorView& tensor = checked(name);
  std::vector<float> values(static_cast<std::size_t>(weights::element_count(tensor.shape)));
  weights::AfwFile::to_float(tensor, 0, values);
  return values;
}

Affine TensorReader::batch_norm(const std::string& name, bool affine) const {
  const std::vector<float> mean = read(name + ".mean"), variance = read(name + ".variance");
  const std::vector<float> gamma = affine ? read(name + ".weight") : std::vector<float>(mean.size(), 1.0f);
  const std::vector<float> beta = affine ? read(name + ".bias") : std::vector<float>(mean.size(), 0.0f);
  Affine result;
  for (std::size_t c = 0; c < mean.size(); ++c) {
    result.scale.push_back(gamma[c] / std::sqrt(static_cast<double>(variance[c]) + kBatchNormEpsilon));
    result.shift.push_back(beta[c] - mean[c] * result.scale[c]);
  }
  return result;
}

// Each row times its scale; in float32, where that was rounded first: the product is off by at most 2^-23 of
// itself.
ConvolutionWeights TensorReader::scaled(const std::string& name, const std::vector<double>& scale) const {
  const weights::TensorView& tensor = checked(name);
  ConvolutionWeights result;
  result.row_scale.assign(scale.begin(), scale.end());
  if (tensor.type == weights::DataType::f32) result.rows = reinterpret_cast<const float*>(tensor.data.data());
  result.fill = [&tensor, scale = result.row_scale](int first, int count, float* dst) {
    read_rows(tensor, first, count, dst);
    const std::size_t row = row_size(tensor);
    for (int o = 0; o < count; ++o, dst += row) {
      const float factor = scale[static_cast<std::size_t>(first + o)];
      for (std::size_t i = 0; i < row; ++i) dst[i] *= factor;
    }
  };
  result.release = [&file = file_, &tensor] { file.release(tensor); };
  return result;
}

ConvolutionWeights TensorReader::convolution(const std::string& weight, const Affine& norm,
                                             std::vector<float> slope) const {
  ConvolutionWeights result = scaled(weight, norm.scale);
  result.bias.assign(norm.shift.begin(), norm.shift.end());
  result.slope = std::move(slope);
  return result;
}

ConvolutionWeights TensorReader::linear(const std::string& name, const Affine& norm) const {
  ConvolutionWeights result = scaled(name + ".weight", norm.scale);
  const std::vector<float> bias = read(name + ".bias");
  for (std::size_t o = 0; o < bias.size(); ++o)
    result.bias.push_back(static_cast<float>(bias[o] * norm.scale[o] + norm.shift[o]));
  return result;
}

}  // namespace adaface::nn
