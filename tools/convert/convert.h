// Checkpoints to .afw files. Memory does not grow with the checkpoint: tensors are streamed, and what is not
// part of the network is passed over only by the checksum of the source.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "weights/afw.h"

namespace adaface::checkpoint {

struct ConvertOptions {
  std::optional<weights::ColorOrder> color;  // nullopt: as the layout tells
  weights::DataType storage = weights::DataType::f32;
  // Called with bytes done and bytes to do, from the calling thread; may be empty.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

struct Conversion {
  weights::Architecture architecture;
  weights::ColorOrder color;
  std::string color_origin;  // "released layout", "--color"
  std::string prefix;        // of the tensors' names, where it is not that of a published layout
  std::string warning;       // "" or what the user should know
  std::size_t tensors = 0;
  std::uint64_t parameters = 0;  // without running statistics, as networks are counted
};

// Writes `output` whole or not at all. Throws as open_checkpoint and find_network; invalid_argument when the
// layout does not tell the colour order and none is given; corrupt for NaN, infinity and negative variances,
// naming the tensor.
Conversion convert_embedder(const std::filesystem::path& checkpoint, const std::filesystem::path& output,
                            const ConvertOptions& options = {});

// P-, R- and O-Net, in this order.
Conversion convert_mtcnn(const std::array<std::filesystem::path, 3>& files,
                         const std::filesystem::path& output, const ConvertOptions& options = {});

}  // namespace adaface::checkpoint
