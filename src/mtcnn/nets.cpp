#include "src/mtcnn/nets.h"

#include <algorithm>
#include <utility>

namespace adaface::mtcnn {
namespace {

using kernels::kChannelBlock;

std::size_t size_of(int count) {
  return static_cast<std::size_t>(count);
}

int round_up_to_block(int channels) {
  return (channels + kChannelBlock - 1) / kChannelBlock * kChannelBlock;
}

void append(std::vector<float>& to, const std::vector<float>& values) {
  to.insert(to.end(), values.begin(), values.end());
}

}  // namespace

Pnet::Pnet(const weights::AfwFile& file) {
  const nn::TensorReader tensors(file);
  for (int i = 0; i < 3; ++i) {
    Layer& layer = conv_[i];
    const std::string index = std::to_string(i + 1);
    const int in = kernels::kPnetChannels[i], out = kernels::kPnetChannels[i + 1];
    layer.weights = tensors.read("pnet.conv" + index + ".weight");
    layer.bias = tensors.read("pnet.conv" + index + ".bias");
    layer.slope = tensors.read("pnet.prelu" + index + ".weight");
    layer.transformed.resize(size_of(out * in * 3 * kernels::kPnetFilter));
    kernels::pnet_transform(layer.weights.data(), in, out, layer.transformed.data());
  }
  for (const char* name : {"pnet.score", "pnet.offset"}) {
    append(heads_, tensors.read(std::string(name) + ".weight"));
    append(head_bias_, tensors.read(std::string(name) + ".bias"));
  }
}

kernels::PnetWeights Pnet::weights() const {
  const auto layer = [](const Layer& l) {
    return kernels::PnetLayer{l.weights.data(), l.transformed.data(), l.bias.data(), l.slope.data()};
  };
  return {{layer(conv_[0]), layer(conv_[1]), layer(conv_[2])}, heads_.data(), head_bias_.data()};
}

CandidateNet CandidateNet::rnet(const weights::AfwFile& file) {
  CandidateNet net(file, "rnet", kRnetSize);
  net.add_convolution(28, 3, 3);  // {22,22,28} -> {11,11,28}
  net.add_convolution(48, 3, 3);  // {9,9,48} -> {4,4,48}
  net.add_convolution(64, 2, 0);  // {3,3,64}
  net.add_linear(128);
  net.add_head("score");
  net.add_head("offset");
  return net;
}

CandidateNet CandidateNet::onet(const weights::AfwFile& file) {
  CandidateNet net(file, "onet", kOnetSize);
  net.add_convolution(32, 3, 3);   // {46,46,32} -> {23,23,32}
  net.add_convolution(64, 3, 3);   // {21,21,64} -> {10,10,64}
  net.add_convolution(64, 3, 2);   // {8,8,64} -> {4,4,64}
  net.add_convolution(128, 2, 0);  // {3,3,128}
  net.add_linear(256);
  net.add_head("score");
  net.add_head("offset");
  net.add_head("landmark");
  return net;
}

CandidateNet::CandidateNet(const weights::AfwFile& file, std::string prefix, int size)
    : tensors_(file), prefix_(std::move(prefix)), size_(size), extent_(size) {}

kernels::Convolution CandidateNet::Layer::convolution() const {
  return {in, kernel, padded() / kChannelBlock, weights.data(), bias.data(), slope.data()};
}

int CandidateNet::Layer::padded() const {
  return round_up_to_block(out);
}

// Bias and slope; weights are zeros.
CandidateNet::Layer CandidateNet::make_layer(const std::string& index, int in, int out, int kernel,
                                             int window) const {
  const std::string kind = window < 0 ? ".linear" : ".conv";
  Layer layer{in, out, kernel, std::max(window, 0), {}, {}, {}};
  layer.bias = tensors_.read(prefix_ + kind + index + ".bias");
  layer.slope = tensors_.read(prefix_ + ".prelu" + index + ".weight");
  layer.bias.resize(size_of(layer.padded()));
  layer.slope.resize(size_of(layer.padded()));
  layer.weights.resize(size_of(layer.padded() * kernel * kernel * in));
  return layer;
}

void CandidateNet::add_convolution(int out, int kernel, int window) {
  const std::string index = std::to_string(layers_.size() + 1);
  Layer layer = make_layer(index, channels_, out, kernel, window);
  const std::vector<float> plain = tensors_.read(prefix_ + ".conv" + index + ".weight");
  const int taps = kernel * kernel;
  for (int o = 0; o < out; ++o)
    for (int c = 0; c < channels_; ++c)
      for (int tap = 0; tap < taps; ++tap)
        layer.weights[size_of(((o / kChannelBlock * taps + tap) * channels_ + c) * kChannelBlock +
                              o % kChannelBlock)] = plain[size_of((o * channels_ + c) * taps + tap)];
  extent_ = extent_ - kernel + 1;
  most_floats_ = std::max(most_floats_, size_of(extent_ * extent_ * layer.padded()));
  if (window > 0) extent_ = (extent_ - window + 1) / 2 + 1;
  channels_ = out;
  features_ = extent_ * extent_ * channels_;
  layers_.push_back(std::move(layer));
}

// Published weights read their inputs in the order channel, column, row.
void CandidateNet::add_linear(int out) {
  const std::string index = std::to_string(layers_.size() + 1);
  linear_ = make_layer(index, features_, out, 1, -1);
  const std::vector<float> plain = tensors_.read(prefix_ + ".linear" + index + ".weight");
  for (int o = 0; o < out; ++o)
    for (int row = 0; row < extent_; ++row)
      for (int column = 0; column < extent_; ++column)
        for (int c = 0; c < channels_; ++c)
          linear_.weights[size_of(((o / kChannelBlock * extent_ + row) * extent_ + column) * channels_ *
                                      kChannelBlock +
                                  c * kChannelBlock + o % kChannelBlock)] =
              plain[size_of(((o * channels_ + c) * extent_ + column) * extent_ + row)];
}

void CandidateNet::add_head(const std::string& name) {
  append(heads_, tensors_.read(prefix_ + "." + name + ".weight"));
  append(head_bias_, tensors_.read(prefix_ + "." + name + ".bias"));
}

void CandidateNet::extract(const float* input, float* dst, Scratch& scratch) const {
  const kernels::Kernels& kernels = kernels::select();
  scratch.a.resize(most_floats_ + kChannelBlock);
  scratch.b.resize(most_floats_ + kChannelBlock);
  int extent = size_;
  for (const Layer& layer : layers_) {
    const bool last = &layer == &layers_.back();
    float* const sums = last ? dst : scratch.a.data();
    kernels.convolve(layer.convolution(), {extent, extent, layer.padded()}, input, sums);
    extent = extent - layer.kernel + 1;
    if (layer.window == 0) continue;
    kernels.pool(sums, extent, extent, layer.padded(), layer.window, layer.out, scratch.b.data());
    extent = (extent - layer.window + 1) / 2 + 1;
    input = scratch.b.data();
  }
}

void CandidateNet::decide(const float* src, int count, float* dst, Scratch& scratch) const {
  const kernels::Kernels& kernels = kernels::select();
  const int width = linear_.padded();
  scratch.a.resize(std::max(scratch.a.size(), size_of(count * width)));
  kernels.convolve(linear_.convolution(), {1, count, width}, src, scratch.a.data());
  for (int i = 0; i < count; ++i)
    kernels.linear(scratch.a.data() + size_of(i * width), heads_.data(), head_bias_.data(), linear_.out,
                   outputs(), dst + size_of(i * outputs()));
}

}  // namespace adaface::mtcnn
