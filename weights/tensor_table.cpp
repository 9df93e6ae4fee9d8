#include "weights/tensor_table.h"

#include <cstdio>

#include "src/error.hpp"

namespace adaface::weights {
namespace {

struct NamedArchitecture {
  Architecture architecture;
  std::string_view name;
};
constexpr std::array<NamedArchitecture, 6> kNames = {{{Architecture::mtcnn, "mtcnn"},
                                                      {Architecture::ir_18, "ir_18"},
                                                      {Architecture::ir_34, "ir_34"},
                                                      {Architecture::ir_50, "ir_50"},
                                                      {Architecture::ir_101, "ir_101"},
                                                      {Architecture::ir_se_50, "ir_se_50"}}};

using Shape = std::vector<std::uint32_t>;

void add_batch_norm(std::vector<TensorRow>& rows, const std::string& name, const std::string& source,
                    std::uint32_t channels, bool affine = true) {
  if (affine) {
    rows.push_back({name + ".weight", source + ".weight", {channels}});
    rows.push_back({name + ".bias", source + ".bias", {channels}});
  }
  rows.push_back({name + ".mean", source + ".running_mean", {channels}});
  rows.push_back({name + ".variance", source + ".running_var", {channels}, true});
}

void add_unit(std::vector<TensorRow>& rows, const std::string& name, const std::string& source,
              std::uint32_t in, std::uint32_t out, bool squeeze_excite) {
  add_batch_norm(rows, name + ".bn1", source + ".res_layer.0", in);
  rows.push_back({name + ".conv1.weight", source + ".res_layer.1.weight", {out, in, 3, 3}});
  add_batch_norm(rows, name + ".bn2", source + ".res_layer.2", out);
  rows.push_back({name + ".prelu.weight", source + ".res_layer.3.weight", {out}});
  rows.push_back({name + ".conv2.weight", source + ".res_layer.4.weight", {out, out, 3, 3}});
  add_batch_norm(rows, name + ".bn3", source + ".res_layer.5", out);
  if (squeeze_excite) {
    const std::uint32_t squeezed = out / kSqueezeReduction;
    rows.push_back(
        {name + ".se.fc1.weight", source + ".res_layer.se_block.fc1.weight", {squeezed, out, 1, 1}});
    rows.push_back(
        {name + ".se.fc2.weight", source + ".res_layer.se_block.fc2.weight", {out, squeezed, 1, 1}});
  }
  if (in != out) {
    rows.push_back({name + ".shortcut.conv.weight", source + ".shortcut_layer.0.weight", {out, in, 1, 1}});
    add_batch_norm(rows, name + ".shortcut.bn", source + ".shortcut_layer.1", out);
  }
}

std::vector<TensorRow> iresnet_table(const IResNetConfig& config) {
  std::vector<TensorRow> rows;
  rows.push_back({"stem.conv.weight", "input_layer.0.weight", {64, 3, 3, 3}});
  add_batch_norm(rows, "stem.bn", "input_layer.1", 64);
  rows.push_back({"stem.prelu.weight", "input_layer.2.weight", {64}});
  std::uint32_t in = 64;
  int body = 0;
  for (std::size_t stage = 0; stage < 4; ++stage) {
    const std::uint32_t out = static_cast<std::uint32_t>(kStageWidths[stage]);
    for (int unit = 0; unit < config.units[stage]; ++unit, ++body) {
      add_unit(rows, unit_name(static_cast<int>(stage), unit), "body." + std::to_string(body), in, out,
               config.squeeze_excite);
      in = out;
    }
  }
  add_batch_norm(rows, "head.bn1", "output_layer.0", 512);
  rows.push_back({"head.linear.weight", "output_layer.3.weight", {512, 512 * 7 * 7}});
  rows.push_back({"head.linear.bias", "output_layer.3.bias", {512}});
  add_batch_norm(rows, "head.bn2", "output_layer.4", 512, /*affine=*/false);
  return rows;
}

// Zhang et al. 2016, figure 2, with the widths of the released weights.
std::vector<TensorRow> mtcnn_table() {
  std::vector<TensorRow> rows;
  auto layer = [&](const std::string& net, const std::string& name, const std::string& source, Shape shape) {
    const std::uint32_t out = shape[0];
    rows.push_back({net + "." + name + ".weight", net + "/" + source + ".weight", std::move(shape)});
    rows.push_back({net + "." + name + ".bias", net + "/" + source + ".bias", {out}});
  };
  auto activated = [&](const std::string& net, int index, Shape shape) {
    const std::uint32_t out = shape[0];
    const std::string i = std::to_string(index);
    const std::string name = (shape.size() == 2 ? "linear" : "conv") + i;
    layer(net, name, "features.conv" + i, std::move(shape));
    rows.push_back({net + ".prelu" + i + ".weight", net + "/features.prelu" + i + ".weight", {out}});
  };
  activated("pnet", 1, {10, 3, 3, 3});
  activated("pnet", 2, {16, 10, 3, 3});
  activated("pnet", 3, {32, 16, 3, 3});
  layer("pnet", "score", "conv4_1", {2, 32, 1, 1});
  layer("pnet", "offset", "conv4_2", {4, 32, 1, 1});
  activated("rnet", 1, {28, 3, 3, 3});
  activated("rnet", 2, {48, 28, 3, 3});
  activated("rnet", 3, {64, 48, 2, 2});
  activated("rnet", 4, {128, 576});
  layer("rnet", "score", "conv5_1", {2, 128});
  layer("rnet", "offset", "conv5_2", {4, 128});
  activated("onet", 1, {32, 3, 3, 3});
  activated("onet", 2, {64, 32, 3, 3});
  activated("onet", 3, {64, 64, 3, 3});
  activated("onet", 4, {128, 64, 2, 2});
  activated("onet", 5, {256, 1152});
  layer("onet", "score", "conv6_1", {2, 256});
  layer("onet", "offset", "conv6_2", {4, 256});
  layer("onet", "landmark", "conv6_3", {10, 256});
  return rows;
}

}  // namespace

std::string_view to_string(Architecture architecture) noexcept {
  for (const auto& row : kNames)
    if (row.architecture == architecture) return row.name;
  return "unknown";
}

std::optional<Architecture> architecture_from_string(std::string_view name) noexcept {
  for (const auto& row : kNames)
    if (row.name == name) return row.architecture;
  return std::nullopt;
}

IResNetConfig iresnet_config(Architecture architecture) {
  switch (architecture) {
    case Architecture::ir_18: return {{2, 2, 2, 2}, false};
    case Architecture::ir_34: return {{3, 4, 6, 3}, false};
    case Architecture::ir_50: return {{3, 4, 14, 3}, false};
    case Architecture::ir_101: return {{3, 13, 30, 3}, false};
    case Architecture::ir_se_50: return {{3, 4, 14, 3}, true};
    case Architecture::mtcnn: break;
  }
  throw Error(ErrorCode::internal, "iresnet_config: not an IR network");
}

std::string unit_name(int stage, int unit) {
  char name[32];
  std::snprintf(name, sizeof name, "stage%d.unit%02d", stage + 1, unit);
  return name;
}

std::vector<TensorRow> tensor_table(Architecture architecture) {
  return architecture == Architecture::mtcnn ? mtcnn_table() : iresnet_table(iresnet_config(architecture));
}

}  // namespace adaface::weights
