// The three networks of Zhang et al. 2016 (figure 2), with the widths of the released weights, on our own
// kernels: pictures this small and layers this narrow leave a library for large ones little to do.
//
// Inputs are RGB, (v - 127.5) / 128. Outputs: the logits of no face and face, then four box offsets, then of
// O-Net ten landmark coordinates.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "src/nn/folding.h"
#include "src/runtime/memory.h"
#include "weights/afw.h"

namespace adaface::mtcnn {

// P-Net sees a window of 12 pixels every 2 pixels.
inline constexpr int kWindow = 12;
inline constexpr int kCellStride = 2;
inline constexpr int kRnetSize = 24;
inline constexpr int kOnetSize = 48;

// Cells along a level of `size` pixels (pooling in ceil mode).
constexpr int pnet_cells(int size) {
  return (size - 2 + 1) / 2 - 4;
}

// A convolution with PReLU as kernels::Kernels::convolve wants it, and the pool after it.
struct ConvolutionLayer {
  int in = 0, out = 0, kernel = 0, window = 0;  // window 0: no pool
  std::vector<float> weights, transformed, bias, slope;

  kernels::SmallConvolution view() const;
  int padded() const;  // out as whole blocks
};

// P-Net's weights for kernels::Kernels::pnet. Immutable.
class Pnet {
 public:
  explicit Pnet(const weights::AfwFile& file);
  kernels::PnetWeights weights() const;

 private:
  std::vector<float> conv1_, transformed1_, bias1_, slope1_;
  ConvolutionLayer conv2_, conv3_;
  std::vector<float> heads_, head_bias_;
};

// R-Net or O-Net. Immutable; candidates are scored in two steps, so that the large linear layer reads its
// weights once for many.
class CandidateNet {
 public:
  // What one thread needs beside its input.
  struct Scratch {
    Buffer<float> a, b, convolution;
  };

  static CandidateNet rnet(const weights::AfwFile& file);
  static CandidateNet onet(const weights::AfwFile& file);

  int size() const { return size_; }  // pixels on a side of the input
  int features() const { return features_; }
  int outputs() const { return static_cast<int>(head_bias_.size()); }
  // What they are made of, for timing.
  std::span<const ConvolutionLayer> layers() const { return layers_; }
  const ConvolutionLayer& linear() const { return linear_; }
  std::span<const float> heads() const { return heads_; }
  std::span<const float> head_bias() const { return head_bias_; }

  // input{size, size, 3} -> dst{features}
  void extract(const float* input, float* dst, Scratch& scratch) const;
  // src{count, features} -> dst{count, outputs}
  void decide(const float* src, int count, float* dst, Scratch& scratch) const;

 private:
  CandidateNet(const weights::AfwFile& file, std::string prefix, int size);
  void add_convolution(int out, int kernel, int window);
  void add_linear(int out);
  void add_head(const std::string& name);

  nn::TensorReader tensors_;
  std::string prefix_;
  int size_, features_ = 0;
  int extent_, channels_ = 3;                       // after the layers so far
  std::size_t most_floats_ = 0, most_scratch_ = 0;  // of any activation, any convolution
  std::vector<ConvolutionLayer> layers_;
  ConvolutionLayer linear_;
  std::vector<float> heads_, head_bias_;
};

}  // namespace adaface::mtcnn
