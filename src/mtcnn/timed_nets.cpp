#include "src/mtcnn/timed_nets.h"

#include "src/mtcnn/cascade.h"
#include "src/mtcnn/nets.h"

namespace adaface::mtcnn {

std::shared_ptr<const nn::Plan> plan_timed_net(Weights::State& weights, const std::string& network, int side,
                                               nn::ThreadPool& pool) {
  const nn::PlanOptions planning{.threads = pool.threads()};
  if (network == "rnet") return weights.plan("rnet", planning, [&] { return describe_rnet(weights.file); });
  if (network == "onet") return weights.plan("onet", planning, [&] { return describe_onet(weights.file); });
  if (network != "pnet")
    throw Error(ErrorCode::invalid_argument, "network is " + (network.empty() ? "not named" : network) +
                                                 ", expected pnet, rnet or onet, which " + weights.name +
                                                 " holds");
  if (side == 0) side = pnet_input_size(kTileCells[0]);
  if (side < kWindow || side > 1024 || side % 2 != 0)
    throw Error(ErrorCode::invalid_argument,
                "side is " + std::to_string(side) + ", expected an even number of pixels from 12 to 1024");
  const int cells = pnet_cells(side);
  return weights.plan("pnet " + std::to_string(cells), planning,
                      [&] { return describe_pnet(weights.file, cells); });
}

}  // namespace adaface::mtcnn
