// The tensors of every network, one row each: the single truth that converter, loader and tests share.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace adaface::weights {

// Values are those of the weight file (FORMAT.md); never renumber.
enum class Architecture : std::uint32_t {
  mtcnn = 1,
  ir_18 = 2,
  ir_34 = 3,
  ir_50 = 4,
  ir_101 = 5,
  ir_se_50 = 6
};

inline constexpr std::array kEmbedders = {Architecture::ir_18, Architecture::ir_34, Architecture::ir_50,
                                          Architecture::ir_101, Architecture::ir_se_50};

std::string_view to_string(Architecture architecture) noexcept;                   // "ir_101"
std::optional<Architecture> architecture_from_string(std::string_view) noexcept;  // nullopt: no such network

// An IR network as data (Deng et al. 2019, ArcFace, section 3.2.2; depths as released with Kim et al. 2022,
// AdaFace).
struct IResNetConfig {
  std::array<int, 4> units;  // residual units in the stages of width 64, 128, 256, 512
  bool squeeze_excite;       // every unit ends in squeeze-and-excite, reduction 16
};
// Precondition: architecture is not mtcnn.
IResNetConfig iresnet_config(Architecture architecture);

inline constexpr std::array<int, 4> kStageWidths = {64, 128, 256, 512};
inline constexpr int kEmbeddingSize = 512;
inline constexpr int kSqueezeReduction = 16;

// stage 0 to 3, unit from 0: "stage3.unit07".
std::string unit_name(int stage, int unit);

struct TensorRow {
  std::string name;    // in the weight file: "stage3.unit07.conv1.weight"
  std::string source;  // in the checkpoint, prefix removed: "body.23.res_layer.1.weight"; MTCNN:
                       // "pnet/features.conv1.weight"
  std::vector<std::uint32_t>
      shape;                 // convolution {out,in,row,column}, linear {out,in}, per-channel {channels}
  bool is_variance = false;  // of a batch norm: must be >= 0
};

// In the order in which the network reads them, which is also the order of the weight file.
std::vector<TensorRow> tensor_table(Architecture architecture);

}  // namespace adaface::weights
