// A network as data: what a backend plans. Built by src/iresnet and src/mtcnn from a weight file.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace adaface::nn {

struct Extent {
  int channels, height, width;
  bool operator==(const Extent&) const = default;
};
std::string to_string(const Extent& extent);  // "64x112x112"

// An activation: index into Network::values.
using Value = int;

// linear and max_pool are found in tables of the detector's networks only.
enum class LayerKind { convolution, linear, scale_shift, subsample, max_pool, squeeze_excite };
const char* to_string(LayerKind kind);

// Weights of a convolution with everything folded in. They are produced on demand, some output channels at a
// time, so that planning never holds a second copy of the network.
struct ConvolutionWeights {
  // Writes output channels [first, first + count): {count, in, kernel, kernel}.
  std::function<void(int first, int count, float* dst)> fill;
  // Where they lie as float32 in a mapped weight file, which outlives the plan: what fill writes is rows
  // times row_scale {out}. Null: elsewhere, only fill gives them.
  const float* rows = nullptr;
  std::vector<float> row_scale{};
  // Tells that what fill and rows read will not be needed soon; may be empty.
  std::function<void()> release{};
  std::vector<float> bias;   // {out}
  std::vector<float> slope;  // PReLU after the bias, {out}; empty: none
};

struct Layer {
  std::string name;
  LayerKind kind;
  Value src = -1;
  Value residual = -1;      // added to the result; its last use: the result takes its place
  int residual_stride = 1;  // of the residual every stride-th pixel, and then its place is not taken
  Value dst = -1;
  int kernel = 1, stride = 1, padding = 0;
  ConvolutionWeights weights{};         // convolution, linear
  std::vector<float> scale{}, shift{};  // scale_shift: {channels}
  std::vector<float> fc1{}, fc2{};      // squeeze_excite: {squeezed, channels}, {channels, squeezed}
};

struct Network {
  std::vector<Extent> values;
  std::vector<Layer> layers;
  Value input = -1;
  Value output = -1;

  Value add_input(Extent extent);
  // Square kernel, zero padding. weights.bias.size() output channels. The result is PReLU(conv + bias) +
  // residual.
  Value convolution(std::string name, Value src, int kernel, int stride, int padding,
                    ConvolutionWeights weights, Value residual = -1);
  // src * scale + shift, per channel.
  Value scale_shift(std::string name, Value src, std::vector<float> scale, std::vector<float> shift);
  Value subsample(std::string name, Value src, int stride);
  // src * sigmoid(fc2 relu(fc1 mean(src))) + residual (Hu et al. 2018, section 3).
  Value squeeze_excite(std::string name, Value src, std::vector<float> fc1, std::vector<float> fc2,
                       Value residual);

 private:
  Value add(Layer layer, Extent extent);
};

// Rows (or columns) that a layer gives for `size` rows.
int output_size(LayerKind kind, int kernel, int stride, int padding, int size);

}  // namespace adaface::nn
