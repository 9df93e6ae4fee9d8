#include "src/nn/fusion.h"

#include <vector>

#include "src/nn/blocks.h"

namespace adaface::nn {

Network with_norms_fused(const Network& network) {
  std::vector<int> readers(network.values.size(), 0);
  std::vector<const Layer*> convolution_of(network.values.size(), nullptr);  // that reads the value
  std::vector<const Layer*> norm_of(network.values.size(), nullptr);         // that writes it
  for (const Layer& layer : network.layers) {
    for (Value value : {layer.src, layer.residual})
      if (value >= 0) ++readers[index(value)];
    if (layer.kind == LayerKind::convolution) convolution_of[index(layer.src)] = &layer;
    if (layer.kind == LayerKind::scale_shift) norm_of[index(layer.dst)] = &layer;
  }
  ++readers[index(network.output)];
  const auto is_fused = [&](const Layer& layer) {
    return layer.kind == LayerKind::scale_shift && readers[index(layer.dst)] == 1 &&
           convolution_of[index(layer.dst)] && layer.src != network.input;
  };
  Network fused{network.values, {}, network.input, network.output};
  for (const Layer& layer : network.layers) {
    if (is_fused(layer)) continue;
    Layer& added = fused.layers.emplace_back(layer);
    const Layer* norm = norm_of[index(layer.src)];
    if (layer.kind != LayerKind::convolution || !norm || !is_fused(*norm)) continue;
    added.src = norm->src;
    added.scale = norm->scale;
    added.shift = norm->shift;
  }
  return fused;
}

Network with_subsampling_fused(const Network& network) {
  std::vector<int> readers(network.values.size(), 0), residual_readers(network.values.size(), 0);
  for (const Layer& layer : network.layers) {
    ++readers[index(layer.src)];
    if (layer.residual >= 0) {
      ++readers[index(layer.residual)];
      ++residual_readers[index(layer.residual)];
    }
  }
  ++readers[index(network.output)];
  std::vector<const Layer*> fused_into(network.values.size(), nullptr);  // the subsampling that gave a value
  Network fused{network.values, {}, network.input, network.output};
  for (const Layer& layer : network.layers) {
    if (layer.kind == LayerKind::subsample && readers[index(layer.dst)] == 1 &&
        residual_readers[index(layer.dst)] == 1) {
      fused_into[index(layer.dst)] = &layer;
      continue;
    }
    Layer& added = fused.layers.emplace_back(layer);
    if (layer.residual < 0 || !fused_into[index(layer.residual)]) continue;
    const Layer& subsampling = *fused_into[index(layer.residual)];
    added.residual = subsampling.src;
    added.residual_stride = subsampling.stride;
  }
  return fused;
}

}  // namespace adaface::nn
