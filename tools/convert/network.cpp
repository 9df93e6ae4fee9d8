#include "tools/convert/network.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "src/error.hpp"

namespace adaface::checkpoint {
namespace {

using weights::Architecture;
using weights::ColorOrder;

struct Layout {
  std::string_view prefix;
  std::string_view name;
  ColorOrder color;
};
constexpr Layout kLayouts[] = {{"model.net.", "CVLFace layout", ColorOrder::rgb},
                               {"model.", "released layout", ColorOrder::bgr},
                               {"net.", "CVLFace layout", ColorOrder::rgb}};
constexpr std::string_view kParts[] = {"input_layer.", "body.", "output_layer."};
// What DataParallel and torch.compile put into names, whatever they wrap.
constexpr std::string_view kWrappers[] = {"module.", "_orig_mod."};

// Not part of the network, before its prefix or after it.
bool skipped(std::string_view name, std::string_view prefix) {
  if (name.starts_with("head.") || name.ends_with("num_batches_tracked")) return true;
  return name.starts_with(prefix) && name.substr(prefix.size()).starts_with("head.");
}

std::vector<std::string_view> state_names(const Checkpoint& checkpoint) {
  std::vector<std::string_view> names;
  for (const TensorEntry& tensor : checkpoint.tensors())
    if (tensor.in_state_dict) names.push_back(tensor.name);
  for (const OtherEntry& other : checkpoint.others()) names.push_back(other.name);
  return names;
}

// Null where the names do not tell, wrapped or not.
const Layout* find_layout(std::string prefix) {
  for (std::string_view wrapper : kWrappers)
    for (std::size_t at = 0; (at = prefix.find(wrapper, at)) != std::string::npos;)
      if (at == 0 || prefix[at - 1] == '.')
        prefix.erase(at, wrapper.size());
      else
        ++at;
  for (const Layout& layout : kLayouts)
    if (prefix == layout.prefix) return &layout;
  return nullptr;
}

constexpr unsigned kAllParts = (1u << std::size(kParts)) - 1;

// Bit i where kParts[i] begins there; 0 where none does.
unsigned part_at(std::string_view name, std::size_t at) {
  for (std::size_t i = 0; i < std::size(kParts); ++i)
    if (name.substr(at).starts_with(kParts[i])) return 1u << i;
  return 0;
}

// Where, from `at` on, the next component named like a part begins; npos where there is none.
std::size_t find_part(std::string_view name, std::size_t at) {
  while (part_at(name, at) == 0) {
    const std::size_t dot = name.find('.', at);
    if (dot == std::string_view::npos) return dot;
    at = dot + 1;
  }
  return at;
}

// Of a name's components named like parts no more are tried: long names take time in proportion.
constexpr std::size_t kMostPlaces = 8;
std::vector<std::size_t> part_places(std::string_view name) {
  std::vector<std::size_t> places;
  for (std::size_t at = find_part(name, 0); at != std::string_view::npos && places.size() < kMostPlaces;
       at = find_part(name, name.find('.', at) + 1))
    places.push_back(at);
  return places;
}

// Under which prefixes parts of a network stand, by their bits. A prefix may have components named like
// parts: a name's is the shortest under which all parts stand, or else the shortest.
std::map<std::string_view, unsigned> prefixes(const std::vector<std::string_view>& names) {
  std::map<std::string_view, unsigned> possible, found;
  for (const std::string_view name : names)
    for (const std::size_t at : part_places(name)) possible[name.substr(0, at)] |= part_at(name, at);
  for (const std::string_view name : names) {
    const std::vector<std::size_t> places = part_places(name);
    if (places.empty()) continue;
    const auto whole = std::ranges::find_if(
        places, [&](std::size_t at) { return possible.at(name.substr(0, at)) == kAllParts; });
    const std::size_t at = whole == places.end() ? places.front() : *whole;
    found[name.substr(0, at)] |= part_at(name, at);
  }
  return found;
}

// Whether what stands under this prefix is a whole network's of which a component is named like a part.
bool is_above_whole(const std::map<std::string_view, unsigned>& found, std::string_view prefix) {
  for (auto each = found.upper_bound(prefix); each != found.end() && each->first.starts_with(prefix); ++each)
    if (each->second == kAllParts && part_at(each->first, prefix.size()) != 0) return true;
  return false;
}

// That of the known layouts, or else the one under which all parts of a network stand.
std::string_view find_prefix(const Checkpoint& checkpoint, const std::vector<std::string_view>& names) {
  const std::map<std::string_view, unsigned> found = prefixes(names);
  std::vector<std::string_view> known, complete, any;
  for (const auto& [prefix, parts] : found) {
    if (parts != kAllParts && is_above_whole(found, prefix)) continue;
    if (prefix.empty() || find_layout(std::string(prefix))) known.push_back(prefix);
    if (parts == kAllParts) complete.push_back(prefix);
    any.push_back(prefix);
  }
  const auto& best = !known.empty() ? known : !complete.empty() ? complete : any;
  if (best.empty()) {
    const std::string first =
        names.empty() ? "no tensors at all" : "it begins with \"" + shown(names[0]) + "\"";
    throw Error(ErrorCode::unsupported,
                checkpoint.name() + ": no IR network in it (" + first +
                    "), expected tensors such as \"input_layer.0.weight\", bare or after a common prefix");
  }
  if (best.size() > 1)
    throw Error(ErrorCode::unsupported, checkpoint.name() + ": holds two networks, under \"" +
                                            shown(best[0]) + "\" and \"" + shown(best[1]) +
                                            "\", expected one");
  return best[0];
}

std::string known_networks() {
  std::string text;
  for (const Architecture architecture : weights::kEmbedders) {
    const weights::IResNetConfig config = weights::iresnet_config(architecture);
    text += (text.empty() ? "" : ", ") + std::string(weights::to_string(architecture)) + " (" +
            std::to_string(std::accumulate(config.units.begin(), config.units.end(), 0)) + " units" +
            (config.squeeze_excite ? ", squeeze-and-excite)" : ")");
  }
  return text;
}

Architecture infer_architecture(const Checkpoint& checkpoint, const std::vector<std::string_view>& names,
                                std::string_view prefix) {
  std::unordered_set<int> units;
  bool squeeze_excite = false;
  for (std::string_view name : names) {
    if (!name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    if (!name.starts_with("body.")) continue;
    name.remove_prefix(5);
    int unit = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), unit);
    if (error != std::errc{} || unit < 0) continue;
    units.insert(unit);
    squeeze_excite = squeeze_excite || name.find(".se_block.") != std::string_view::npos;
  }
  for (const Architecture architecture : weights::kEmbedders) {
    const weights::IResNetConfig config = weights::iresnet_config(architecture);
    if (config.squeeze_excite == squeeze_excite &&
        std::accumulate(config.units.begin(), config.units.end(), 0) == static_cast<int>(units.size()))
      return architecture;
  }
  throw Error(ErrorCode::unsupported, checkpoint.name() + ": its body has " + std::to_string(units.size()) +
                                          " units" + (squeeze_excite ? " with squeeze-and-excite" : "") +
                                          "; known networks: " + known_networks());
}

std::string shape_of(const weights::TensorRow& row) {
  const std::vector<std::uint64_t> wide(row.shape.begin(), row.shape.end());
  return shape_text(wide);
}

// The rows' tensors, found by `prefix` + the row's source name from `source_start` on; `prefix` + anything
// else that `ignored` does not name is refused.
template <class Ignored>
std::vector<NetworkTensor> match(const Checkpoint& checkpoint, const std::vector<weights::TensorRow>& rows,
                                 std::size_t source_start, std::string_view prefix, std::string_view what,
                                 Ignored ignored) {
  std::unordered_map<std::string_view, const TensorEntry*> by_name;
  for (const TensorEntry& tensor : checkpoint.tensors())
    if (tensor.in_state_dict) by_name.emplace(tensor.name, &tensor);
  std::unordered_map<std::string_view, const OtherEntry*> others;
  for (const OtherEntry& other : checkpoint.others()) others.emplace(other.name, &other);

  std::vector<NetworkTensor> found;
  std::unordered_set<std::string> expected;
  for (const weights::TensorRow& row : rows) {
    const std::string name = std::string(prefix) + row.source.substr(source_start);
    const std::string where = checkpoint.name() + ": tensor \"" + name + "\"";
    expected.insert(name);
    const auto entry = by_name.find(name);
    if (entry == by_name.end()) {
      if (const auto other = others.find(name); other != others.end())
        throw Error(ErrorCode::unsupported,
                    where + " is " + other->second->what + "; expected a tensor of " + shape_of(row));
      throw Error(ErrorCode::corrupt,
                  where + " is missing, expected " + shape_of(row) + " for " + std::string(what));
    }
    const TensorEntry& tensor = *entry->second;
    if (!std::equal(tensor.shape.begin(), tensor.shape.end(), row.shape.begin(), row.shape.end()))
      throw Error(ErrorCode::corrupt, where + " is " + shape_text(tensor.shape) + ", expected " +
                                          shape_of(row) + " for " + std::string(what));
    if (!is_floating(tensor.type))
      throw Error(ErrorCode::unsupported, where + " is " + std::string(to_string(tensor.type)) +
                                              ", expected float32, float16, bfloat16 or float64");
    found.push_back({row, &tensor});
  }
  for (std::string_view name : state_names(checkpoint))
    if (name.starts_with(prefix) && !ignored(name) && !expected.contains(std::string(name)))
      throw Error(ErrorCode::unsupported, checkpoint.name() + ": unexpected tensor \"" + shown(name) +
                                              "\": " + std::string(what) + " has none of that name");
  return found;
}

// The rows of one net; their sources begin with its name and a slash.
std::vector<weights::TensorRow> mtcnn_rows(const std::string& net) {
  std::vector<weights::TensorRow> rows = weights::tensor_table(Architecture::mtcnn);
  std::erase_if(rows, [&](const weights::TensorRow& row) { return !row.source.starts_with(net + "/"); });
  return rows;
}

bool is_mtcnn_part(const std::vector<std::string_view>& names, const std::string& net) {
  const std::vector<weights::TensorRow> rows = mtcnn_rows(net);
  const std::unordered_set<std::string_view> present(names.begin(), names.end());
  return present.size() == rows.size() &&
         std::all_of(rows.begin(), rows.end(), [&](const weights::TensorRow& row) {
           return present.contains(std::string_view(row.source).substr(net.size() + 1));
         });
}

}  // namespace

std::string mtcnn_part(const Checkpoint& checkpoint) {
  const std::vector<std::string_view> names = state_names(checkpoint);
  for (const char* net : {"pnet", "rnet", "onet"})
    if (is_mtcnn_part(names, net)) return net;
  return "";
}

Network find_network(const Checkpoint& checkpoint) {
  const std::vector<std::string_view> names = state_names(checkpoint);
  if (const std::string net = mtcnn_part(checkpoint); !net.empty())
    throw Error(ErrorCode::unsupported, checkpoint.name() + ": is MTCNN's " + net +
                                            ", one of three files: use --mtcnn pnet.npy rnet.npy onet.npy");
  const std::string prefix(find_prefix(checkpoint, names));
  const Layout* layout = find_layout(prefix);
  Network network{infer_architecture(checkpoint, names, prefix),
                  prefix,
                  layout ? std::string(layout->name) : "no known layout",
                  layout ? std::optional(layout->color) : std::nullopt,
                  layout && layout->prefix == prefix,
                  {}};
  network.tensors = match(checkpoint, weights::tensor_table(network.architecture), 0, prefix,
                          weights::to_string(network.architecture),
                          [&](std::string_view name) { return skipped(name, prefix); });
  return network;
}

std::vector<NetworkTensor> find_mtcnn_part(const Checkpoint& checkpoint, const std::string& net) {
  return match(checkpoint, mtcnn_rows(net), net.size() + 1, "", "MTCNN's " + net,
               [](std::string_view) { return false; });
}

}  // namespace adaface::checkpoint
