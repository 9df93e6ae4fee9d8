#include "src/mtcnn/cuda_nets.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "src/nn/folding.h"

namespace adaface::mtcnn {
namespace {

namespace device = kernels::cuda;
using L = device::PnetLayout;

std::size_t size_of(int count) {
  return static_cast<std::size_t>(count);
}

// From the file's {out, in, kernel, kernel} to {in, kernel * kernel, padded_out}.
void transpose(const std::vector<float>& from, int out, int in, int taps, int padded_out, float* to) {
  for (int o = 0; o < out; ++o)
    for (int i = 0; i < in * taps; ++i) to[i * padded_out + o] = from[size_of(o * in * taps + i)];
}

// Parts of one array, each of which begins at a multiple of four floats.
class Packing {
 public:
  std::size_t add(const std::vector<float>& values) {
    const std::size_t at = floats_.size();
    floats_.insert(floats_.end(), values.begin(), values.end());
    floats_.resize((floats_.size() + 3) / 4 * 4);
    return at;
  }
  const std::vector<float>& floats() const { return floats_; }

 private:
  std::vector<float> floats_;
};

std::vector<float> pack_pnet(const nn::TensorReader& tensors) {
  std::vector<float> packed(L::kFloats);
  float* const to = packed.data();
  transpose(tensors.read("pnet.conv1.weight"), 10, 3, 9, 12, to + L::kConv1);
  transpose(tensors.read("pnet.conv2.weight"), 16, 10, 9, 16, to + L::kConv2);
  transpose(tensors.read("pnet.conv3.weight"), 32, 16, 9, 32, to + L::kConv3);
  const auto copy = [&](const std::string& name, int at) { std::ranges::copy(tensors.read(name), to + at); };
  copy("pnet.score.weight", L::kHeads);
  copy("pnet.offset.weight", L::kHeads + 2 * 32);
  copy("pnet.score.bias", L::kHeadBias);
  copy("pnet.offset.bias", L::kHeadBias + 2);
  copy("pnet.conv1.bias", L::kBias1);
  copy("pnet.conv2.bias", L::kBias2);
  copy("pnet.conv3.bias", L::kBias3);
  copy("pnet.prelu1.weight", L::kSlope1);
  copy("pnet.prelu2.weight", L::kSlope2);
  copy("pnet.prelu3.weight", L::kSlope3);
  return packed;
}

// Where the parts of a net begin, in the order of CandidateWeights' members.
struct CandidateParts {
  std::array<std::size_t, 4> convolutions{}, biases{}, slopes{};
  std::size_t linear = 0, linear_bias = 0, linear_slope = 0, heads = 0, head_bias = 0;

  device::CandidateWeights on(const float* floats) const {
    device::CandidateWeights weights{};
    for (std::size_t i = 0; i < 4; ++i) {
      weights.convolutions[i] = floats + convolutions[i];
      weights.biases[i] = floats + biases[i];
      weights.slopes[i] = floats + slopes[i];
    }
    weights.linear = floats + linear;
    weights.linear_bias = floats + linear_bias;
    weights.linear_slope = floats + linear_slope;
    weights.heads = floats + heads;
    weights.head_bias = floats + head_bias;
    return weights;
  }
};

CandidateParts pack_candidate_net(const nn::TensorReader& tensors, device::CandidateNet net,
                                  const std::string& name, Packing& packing) {
  const device::CandidateShape shape = device::shape_of(net);
  CandidateParts parts;
  for (int i = 0; i < shape.convolutions; ++i) {
    const device::CandidateLayer& layer = shape.layers[i];
    const std::string index = std::to_string(i + 1);
    const int taps = layer.kernel * layer.kernel;
    std::vector<float> weights(size_of(layer.in * taps * layer.out));
    transpose(tensors.read(name + ".conv" + index + ".weight"), layer.out, layer.in, taps, layer.out,
              weights.data());
    parts.convolutions[size_of(i)] = packing.add(weights);
    parts.biases[size_of(i)] = packing.add(tensors.read(name + ".conv" + index + ".bias"));
    parts.slopes[size_of(i)] = packing.add(tensors.read(name + ".prelu" + index + ".weight"));
  }
  // Published weights read their inputs in the order channel, column, row.
  const std::string index = std::to_string(shape.convolutions + 1);
  const std::vector<float> plain = tensors.read(name + ".linear" + index + ".weight");
  std::vector<float> linear(plain.size());
  constexpr int kExtent = 3;
  const int channels = shape.features / (kExtent * kExtent);
  for (int i = 0; i < shape.features; ++i) {
    const int channel = i % channels, column = i / channels % kExtent, row = i / channels / kExtent;
    for (int o = 0; o < shape.hidden; ++o)
      linear[size_of(i * shape.hidden + o)] =
          plain[size_of(((o * channels + channel) * kExtent + column) * kExtent + row)];
  }
  parts.linear = packing.add(linear);
  parts.linear_bias = packing.add(tensors.read(name + ".linear" + index + ".bias"));
  parts.linear_slope = packing.add(tensors.read(name + ".prelu" + index + ".weight"));
  std::vector<float> heads, bias;
  for (const char* head : {".score", ".offset", ".landmark"}) {
    if (size_of(shape.outputs) == bias.size()) continue;
    const std::vector<float> rows = tensors.read(name + head + ".weight"),
                             shifts = tensors.read(name + head + ".bias");
    heads.insert(heads.end(), rows.begin(), rows.end());
    bias.insert(bias.end(), shifts.begin(), shifts.end());
  }
  parts.heads = packing.add(heads);
  parts.head_bias = packing.add(bias);
  return parts;
}

std::shared_ptr<const CudaNets> upload_nets(const weights::AfwFile& file) {
  const nn::TensorReader tensors(file);
  Packing packing;
  const std::size_t pnet = packing.add(pack_pnet(tensors));
  const CandidateParts rnet = pack_candidate_net(tensors, device::CandidateNet::rnet, "rnet", packing),
                       onet = pack_candidate_net(tensors, device::CandidateNet::onet, "onet", packing);
  const std::size_t bytes = packing.floats().size() * sizeof(float);
  auto nets = std::make_shared<CudaNets>();
  nets->memory = nn::cuda::DeviceMemory(bytes, "the weights of the detector");
  nn::cuda::Stream stream;
  stream.upload(nets->memory.data(), packing.floats().data(), bytes);
  stream.synchronize("upload of the detector's weights");
  const auto* floats = nets->memory.as<const float>();
  nets->pnet = floats + pnet;
  nets->rnet = rnet.on(floats);
  nets->onet = onet.on(floats);
  return nets;
}

}  // namespace

std::shared_ptr<const CudaNets> cuda_nets(Weights::State& weights, int device) {
  return std::static_pointer_cast<const CudaNets>(
      weights.shared("mtcnn on cuda:" + std::to_string(device), [&] { return upload_nets(weights.file); }));
}

}  // namespace adaface::mtcnn
