// Which network a checkpoint holds: layout, colour order, architecture, and the tensor for each row of the
// tensor table.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/convert/checkpoint.h"
#include "weights/afw.h"

namespace adaface::checkpoint {

struct NetworkTensor {
  weights::TensorRow row;
  const TensorEntry* entry;  // in Checkpoint::tensors()
};

struct Network {
  weights::Architecture architecture;
  std::string prefix;                        // before the names of the tensor table; any
  std::string layout;                        // "released layout", "CVLFace layout", "no known layout"
  std::optional<weights::ColorOrder> color;  // nullopt: the names do not tell
  bool published_prefix;                     // exactly that of the layout
  std::vector<NetworkTensor> tensors;        // in the order of tensor_table(architecture)
};

// Checks that the checkpoint holds exactly one known network: every tensor there, of the right shape and of
// a floating type, and none beside them after the prefix. Skips head.* and num_batches_tracked. Throws
// corrupt or unsupported, naming the tensor, what was found and what was expected.
Network find_network(const Checkpoint& checkpoint);

// "pnet", "rnet" or "onet" where the names are exactly those of one of MTCNN's files, else empty.
std::string mtcnn_part(const Checkpoint& checkpoint);

// The tensors of P-, R- and O-Net from their three files, in the order of tensor_table(mtcnn).
std::vector<NetworkTensor> find_mtcnn_part(const Checkpoint& checkpoint, const std::string& net);

}  // namespace adaface::checkpoint
