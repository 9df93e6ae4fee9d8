#include "src/mtcnn/timed_nets.h"

#include "src/mtcnn/nets.h"
#include "src/nn/folding.h"

namespace adaface::mtcnn {
namespace {

using nn::Network;
using nn::TensorReader;
using nn::Value;

Value conv(Network& net, const TensorReader& tensors, const std::string& prefix, int index, Value x,
           int kernel) {
  const std::string i = std::to_string(index), name = prefix + ".conv" + i;
  return net.convolution(name, x, kernel, 1, 0,
                         tensors.biased(name, tensors.read(prefix + ".prelu" + i + ".weight")));
}

// A linear layer over all of x, which it reads in the order channel, column, row: a convolution with one
// output pixel.
Value linear(Network& net, const TensorReader& tensors, const std::string& prefix, int index, Value x) {
  const std::string i = std::to_string(index), name = prefix + ".linear" + i;
  const int extent = net.values[static_cast<std::size_t>(x)].height;
  return net.convolution(
      name, x, extent, 1, 0,
      tensors.biased(name, tensors.read(prefix + ".prelu" + i + ".weight"), /*transposed=*/true, extent));
}

Network describe_pnet(const weights::AfwFile& file, int cells) {
  const TensorReader tensors(file);
  Network net;
  const int size = kCellStride * cells + 10;
  Value x = net.add_input({3, size, size});
  x = conv(net, tensors, "pnet", 1, x, 3);  // {10, 2 cells + 8, 2 cells + 8}
  x = net.max_pool("pnet.pool1", x, 2, 2);  // {10, cells + 4, cells + 4}
  x = conv(net, tensors, "pnet", 2, x, 3);  // {16, cells + 2, cells + 2}
  x = conv(net, tensors, "pnet", 3, x, 3);  // {32, cells, cells}
  net.convolution("pnet.heads", x, 1, 1, 0,
                  nn::concatenate({tensors.biased("pnet.score"), tensors.biased("pnet.offset")}, 32));
  return net;
}

Network describe_rnet(const weights::AfwFile& file) {
  const TensorReader tensors(file);
  Network net;
  Value x = net.add_input({3, kRnetSize, kRnetSize});
  x = conv(net, tensors, "rnet", 1, x, 3);  // {28,22,22}
  x = net.max_pool("rnet.pool1", x, 3, 2);  // {28,11,11}
  x = conv(net, tensors, "rnet", 2, x, 3);  // {48,9,9}
  x = net.max_pool("rnet.pool2", x, 3, 2);  // {48,4,4}
  x = conv(net, tensors, "rnet", 3, x, 2);  // {64,3,3}
  x = linear(net, tensors, "rnet", 4, x);   // {128,1,1}
  net.linear("rnet.heads", x,
             nn::concatenate({tensors.biased("rnet.score"), tensors.biased("rnet.offset")}, 128));
  return net;
}

Network describe_onet(const weights::AfwFile& file) {
  const TensorReader tensors(file);
  Network net;
  Value x = net.add_input({3, kOnetSize, kOnetSize});
  x = conv(net, tensors, "onet", 1, x, 3);  // {32,46,46}
  x = net.max_pool("onet.pool1", x, 3, 2);  // {32,23,23}
  x = conv(net, tensors, "onet", 2, x, 3);  // {64,21,21}
  x = net.max_pool("onet.pool2", x, 3, 2);  // {64,10,10}
  x = conv(net, tensors, "onet", 3, x, 3);  // {64,8,8}
  x = net.max_pool("onet.pool3", x, 2, 2);  // {64,4,4}
  x = conv(net, tensors, "onet", 4, x, 2);  // {128,3,3}
  x = linear(net, tensors, "onet", 5, x);   // {256,1,1}
  net.linear("onet.heads", x,
             nn::concatenate({tensors.biased("onet.score"), tensors.biased("onet.offset"),
                              tensors.biased("onet.landmark")},
                             256));
  return net;
}

}  // namespace

std::shared_ptr<const nn::Plan> plan_timed_net(Weights::State& weights, const std::string& network, int side,
                                               nn::ThreadPool& pool) {
  const nn::PlanOptions planning{.threads = pool.threads()};
  if (network == "rnet") return weights.plan("rnet", planning, [&] { return describe_rnet(weights.file); });
  if (network == "onet") return weights.plan("onet", planning, [&] { return describe_onet(weights.file); });
  if (network != "pnet")
    throw Error(ErrorCode::invalid_argument, "network is " + (network.empty() ? "not named" : network) +
                                                 ", expected pnet, rnet or onet, which " + weights.name +
                                                 " holds");
  if (side == 0) side = 106;  // 48 cells
  if (side < kWindow || side > 1024 || side % 2 != 0)
    throw Error(ErrorCode::invalid_argument,
                "side is " + std::to_string(side) + ", expected an even number of pixels from 12 to 1024");
  const int cells = pnet_cells(side);
  return weights.plan("pnet " + std::to_string(cells), planning,
                      [&] { return describe_pnet(weights.file, cells); });
}

}  // namespace adaface::mtcnn
