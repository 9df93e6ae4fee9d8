#include "src/nn/network.h"

#include <utility>

namespace adaface::nn {

std::string to_string(const Extent& e) {
  return std::to_string(e.channels) + "x" + std::to_string(e.height) + "x" + std::to_string(e.width);
}

const char* to_string(LayerKind kind) {
  switch (kind) {
    case LayerKind::convolution: return "convolution";
    case LayerKind::linear: return "linear";
    case LayerKind::scale_shift: return "batch_norm";
    case LayerKind::subsample: return "subsample";
    case LayerKind::max_pool: return "max_pool";
    case LayerKind::squeeze_excite: return "squeeze_excite";
  }
  return "";
}

int output_size(LayerKind kind, int kernel, int stride, int padding, int size) {
  switch (kind) {
    case LayerKind::convolution: return (size + 2 * padding - kernel) / stride + 1;
    case LayerKind::subsample: return (size + stride - 1) / stride;
    case LayerKind::linear:
    case LayerKind::max_pool:
    case LayerKind::scale_shift:
    case LayerKind::squeeze_excite: break;
  }
  return size;
}

Value Network::add_input(Extent extent) {
  values.push_back(extent);
  return input = static_cast<Value>(values.size()) - 1;
}

Value Network::add(Layer layer, Extent extent) {
  values.push_back(extent);
  layer.dst = output = static_cast<Value>(values.size()) - 1;
  layers.push_back(std::move(layer));
  return output;
}

Value Network::convolution(std::string name, Value src, int kernel, int stride, int padding,
                           ConvolutionWeights weights, Value residual) {
  Layer layer{.name = std::move(name), .kind = LayerKind::convolution, .src = src, .residual = residual};
  layer.kernel = kernel;
  layer.stride = stride;
  layer.padding = padding;
  layer.weights = std::move(weights);
  const Extent in = values[static_cast<std::size_t>(src)];
  const Extent out{static_cast<int>(layer.weights.bias.size()),
                   output_size(layer.kind, layer.kernel, layer.stride, layer.padding, in.height),
                   output_size(layer.kind, layer.kernel, layer.stride, layer.padding, in.width)};
  return add(std::move(layer), out);
}

Value Network::scale_shift(std::string name, Value src, std::vector<float> scale, std::vector<float> shift) {
  Layer layer{.name = std::move(name), .kind = LayerKind::scale_shift, .src = src};
  layer.scale = std::move(scale);
  layer.shift = std::move(shift);
  return add(std::move(layer), values[static_cast<std::size_t>(src)]);
}

Value Network::subsample(std::string name, Value src, int stride) {
  Layer layer{.name = std::move(name), .kind = LayerKind::subsample, .src = src};
  layer.stride = stride;
  const Extent in = values[static_cast<std::size_t>(src)];
  const Extent out{in.channels, output_size(layer.kind, layer.kernel, layer.stride, layer.padding, in.height),
                   output_size(layer.kind, layer.kernel, layer.stride, layer.padding, in.width)};
  return add(std::move(layer), out);
}

Value Network::squeeze_excite(std::string name, Value src, std::vector<float> fc1, std::vector<float> fc2,
                              Value residual) {
  Layer layer{.name = std::move(name), .kind = LayerKind::squeeze_excite, .src = src, .residual = residual};
  layer.fc1 = std::move(fc1);
  layer.fc2 = std::move(fc2);
  return add(std::move(layer), values[static_cast<std::size_t>(src)]);
}

}  // namespace adaface::nn
