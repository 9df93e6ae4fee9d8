#include "src/iresnet/iresnet.h"

#include <string>
#include <utility>
#include <vector>

#include "src/nn/folding.h"

namespace adaface::iresnet {
namespace {

using nn::Affine;
using nn::Network;
using nn::Value;

std::vector<float> to_float(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

Value add_norm(Network& net, const nn::TensorReader& tensors, const std::string& name, Value x) {
  const Affine norm = tensors.batch_norm(name);
  return net.scale_shift(name, x, to_float(norm.scale), to_float(norm.shift));
}

// x + conv2(PReLU(conv1(bn1(x)))), batch norms after the convolutions folded into them.
Value add_unit(Network& net, const nn::TensorReader& tensors, const std::string& name, Value x, int width,
               int stride, bool squeeze_excite) {
  const bool widens = net.values[static_cast<std::size_t>(x)].channels != width;
  // bn1 stands before the zero padding: its shift may not reach the border.
  Value y = add_norm(net, tensors, name + ".bn1", x);
  y = net.convolution(name + ".conv1", y, 3, 1, 1,
                      tensors.convolution(name + ".conv1.weight", tensors.batch_norm(name + ".bn2"),
                                          tensors.read(name + ".prelu.weight")));
  Value shortcut = x;
  if (widens)
    shortcut = net.convolution(
        name + ".shortcut", x, 1, stride, 0,
        tensors.convolution(name + ".shortcut.conv.weight", tensors.batch_norm(name + ".shortcut.bn")));
  else if (stride > 1)
    shortcut = net.subsample(name + ".shortcut", x, stride);
  auto conv2 = tensors.convolution(name + ".conv2.weight", tensors.batch_norm(name + ".bn3"));
  if (!squeeze_excite) return net.convolution(name + ".conv2", y, 3, stride, 1, std::move(conv2), shortcut);
  y = net.convolution(name + ".conv2", y, 3, stride, 1, std::move(conv2));
  return net.squeeze_excite(name + ".se", y, tensors.read(name + ".se.fc1.weight"),
                            tensors.read(name + ".se.fc2.weight"), shortcut);
}

}  // namespace

Network describe(const weights::AfwFile& file) {
  const weights::IResNetConfig config = weights::iresnet_config(file.info().architecture);
  const nn::TensorReader tensors(file);
  Network net;
  Value x = net.add_input({3, kInputSize, kInputSize});
  x = net.convolution("stem", x, 3, 1, 1,
                      tensors.convolution("stem.conv.weight", tensors.batch_norm("stem.bn"),
                                          tensors.read("stem.prelu.weight")));  // {64,112,112}
  for (int stage = 0; stage < 4; ++stage)  // {64,56,56} {128,28,28} {256,14,14} {512,7,7}
    for (int unit = 0; unit < config.units[static_cast<std::size_t>(stage)]; ++unit)
      x = add_unit(net, tensors, weights::unit_name(stage, unit), x,
                   weights::kStageWidths[static_cast<std::size_t>(stage)], unit == 0 ? 2 : 1,
                   config.squeeze_excite);
  // flatten and linear: a convolution that sees all of {512,7,7}
  x = add_norm(net, tensors, "head.bn1", x);
  net.convolution(
      "head", x, 7, 1, 0,
      tensors.linear("head.linear", tensors.batch_norm("head.bn2", /*affine=*/false)));  // {512,1,1}
  return net;
}

}  // namespace adaface::iresnet
