#include "src/mtcnn/nets.h"

#include <algorithm>
#include <utility>

namespace adaface::mtcnn {
namespace {

using kernels::kChannelBlock;

std::size_t size_of(int count) {
  return static_cast<std::size_t>(count);
}

void append(std::vector<float>& to, const std::vector<float>& values) {
  to.insert(to.end(), values.begin(), values.end());
}

// The weights as blocks of output channels: element(channel, i) of `row` products. The caller fills in the
// transform.
template <typename F>
ConvolutionLayer make_layer(int in, int out, int kernel, std::vector<float> bias, std::vector<float> slope,
                            F&& element) {
  ConvolutionLayer layer{in, out, kernel, 0, {}, {}, std::move(bias), std::move(slope)};
  layer.bias.resize(size_of(layer.padded()));
  layer.slope.resize(size_of(layer.padded()));
  const int row = kernel * kernel * in;
  layer.weights.resize(size_of(layer.padded() * row));
  for (int o = 0; o < out; ++o)
    for (int i = 0; i < row; ++i)
      layer.weights[size_of((o / kChannelBlock * row + i) * kChannelBlock + o % kChannelBlock)] =
          element(o, i);
  return layer;
}

// From the file's {out, in, kernel, kernel}.
ConvolutionLayer read_convolution(const nn::TensorReader& tensors, const std::string& prefix,
                                  const std::string& index, int in, int out, int kernel) {
  const std::vector<float> plain = tensors.read(prefix + ".conv" + index + ".weight");
  const int taps = kernel * kernel;
  ConvolutionLayer layer = make_layer(in, out, kernel, tensors.read(prefix + ".conv" + index + ".bias"),
                                      tensors.read(prefix + ".prelu" + index + ".weight"), [&](int o, int i) {
                                        return plain[size_of((o * in + i % in) * taps + i / in)];
                                      });
  // Of three channels the transforms would cost more than they save.
  if (kernel == 3 && in > 3) {
    layer.transformed.resize(size_of(layer.padded() * in * kernels::kWinogradTaps * kernels::kWinogradTaps));
    kernels::winograd_transform(plain.data(), in, out, layer.transformed.data());
  }
  return layer;
}

}  // namespace

kernels::SmallConvolution ConvolutionLayer::view() const {
  return {in,
          kernel,
          padded() / kChannelBlock,
          weights.data(),
          transformed.empty() ? nullptr : transformed.data(),
          bias.data(),
          slope.data()};
}

int ConvolutionLayer::padded() const {
  return (out + kChannelBlock - 1) / kChannelBlock * kChannelBlock;
}

Pnet::Pnet(const weights::AfwFile& file) {
  const nn::TensorReader tensors(file);
  constexpr auto& kWidths = kernels::kPnetChannels;
  conv1_ = tensors.read("pnet.conv1.weight");
  bias1_ = tensors.read("pnet.conv1.bias");
  slope1_ = tensors.read("pnet.prelu1.weight");
  transformed1_.resize(size_of(kernels::kWinogradTaps * kWidths[0] * 3 * kWidths[1]));
  kernels::pnet_transform(conv1_.data(), transformed1_.data());
  conv2_ = read_convolution(tensors, "pnet", "2", kWidths[1], kWidths[2], 3);
  conv3_ = read_convolution(tensors, "pnet", "3", kWidths[2], kWidths[3], 3);
  for (const char* name : {"pnet.score", "pnet.offset"}) {
    append(heads_, tensors.read(std::string(name) + ".weight"));
    append(head_bias_, tensors.read(std::string(name) + ".bias"));
  }
}

kernels::PnetWeights Pnet::weights() const {
  return {conv1_.data(), transformed1_.data(), bias1_.data(), slope1_.data(),
          conv2_.view(), conv3_.view(),        heads_.data(), head_bias_.data()};
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

void CandidateNet::add_convolution(int out, int kernel, int window) {
  ConvolutionLayer layer =
      read_convolution(tensors_, prefix_, std::to_string(layers_.size() + 1), channels_, out, kernel);
  layer.window = window;
  extent_ = extent_ - kernel + 1;
  most_floats_ = std::max(most_floats_, size_of(extent_ * extent_ * layer.padded()));
  most_scratch_ = std::max(most_scratch_, kernels::convolution_scratch(channels_, layer.view().blocks));
  if (window > 0) extent_ = (extent_ - window + 1) / 2 + 1;
  channels_ = out;
  features_ = extent_ * extent_ * channels_;
  layers_.push_back(std::move(layer));
}

// Published weights read their inputs in the order channel, column, row.
void CandidateNet::add_linear(int out) {
  const std::string index = std::to_string(layers_.size() + 1), name = prefix_ + ".linear" + index;
  const std::vector<float> plain = tensors_.read(name + ".weight");
  linear_ = make_layer(
      features_, out, 1, tensors_.read(name + ".bias"), tensors_.read(prefix_ + ".prelu" + index + ".weight"),
      [&](int o, int i) {
        const int channel = i % channels_, column = i / channels_ % extent_, row = i / channels_ / extent_;
        return plain[size_of(((o * channels_ + channel) * extent_ + column) * extent_ + row)];
      });
}

void CandidateNet::add_head(const std::string& name) {
  append(heads_, tensors_.read(prefix_ + "." + name + ".weight"));
  append(head_bias_, tensors_.read(prefix_ + "." + name + ".bias"));
}

void CandidateNet::extract(const float* input, float* dst, Scratch& scratch) const {
  const kernels::Kernels& kernels = kernels::select();
  scratch.a.resize(most_floats_ + kChannelBlock);
  scratch.b.resize(most_floats_ + kChannelBlock);
  scratch.convolution.resize(most_scratch_);
  int extent = size_;
  for (const ConvolutionLayer& layer : layers_) {
    const bool last = &layer == &layers_.back();
    float* const sums = last ? dst : scratch.a.data();
    kernels.convolve(layer.view(), {extent, extent, layer.padded()}, input, sums, scratch.convolution.data());
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
  kernels.convolve(linear_.view(), {1, count, width}, src, scratch.a.data(), nullptr);
  for (int i = 0; i < count; ++i)
    kernels.linear(scratch.a.data() + size_of(i * width), heads_.data(), head_bias_.data(), linear_.out,
                   outputs(), dst + size_of(i * outputs()));
}

}  // namespace adaface::mtcnn
