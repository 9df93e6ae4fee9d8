#include "tools/convert/listing.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace adaface::checkpoint {
namespace {

std::uint64_t bytes_of(const TensorEntry& tensor) {
  return element_count(tensor.shape, tensor.name) * size_of(tensor.type);
}

std::string padded(std::string text, std::size_t width, bool right) {
  const std::size_t missing = width - std::min(width, text.size());
  return right ? std::string(missing, ' ') + text : text + std::string(missing, ' ');
}

}  // namespace

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string list_text(const Checkpoint& checkpoint) {
  std::size_t name_width = 4, shape_width = 5, bytes_width = 5;
  std::uint64_t bytes = 0, elements = 0;
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    name_width = std::max(name_width, shown(tensor.name).size());
    shape_width = std::max(shape_width, shape_text(tensor.shape).size());
    bytes_width = std::max(bytes_width, grouped(bytes_of(tensor)).size());
    elements += element_count(tensor.shape, tensor.name);
    bytes += bytes_of(tensor);
  }
  constexpr std::size_t kTypeWidth = 8;
  auto line = [&](const std::string& name, std::string_view type, const std::string& shape,
                  const std::string& size) {
    return padded(name, name_width, false) + "  " + padded(std::string(type), kTypeWidth, false) + "  " +
           padded(shape, shape_width, false) + "  " + padded(size, bytes_width, true) + "\n";
  };
  std::string text = line("name", "dtype", "shape", "bytes");
  for (const TensorEntry& tensor : checkpoint.tensors())
    text +=
        line(shown(tensor.name), to_string(tensor.type), shape_text(tensor.shape), grouped(bytes_of(tensor)));
  return text + checkpoint.name() + ": " + std::string(checkpoint.format()) + ", " +
         grouped(checkpoint.tensors().size()) + " tensors, " + grouped(elements) + " elements, " +
         grouped(bytes) + " bytes\n";
}

std::string list_json(const Checkpoint& checkpoint) {
  nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
  std::uint64_t bytes = 0;
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    tensors.push_back({{"name", tensor.name},
                       {"dtype", to_string(tensor.type)},
                       {"shape", tensor.shape},
                       {"bytes", bytes_of(tensor)}});
    bytes += bytes_of(tensor);
  }
  const nlohmann::ordered_json object = {{"file", checkpoint.name()},
                                         {"format", checkpoint.format()},
                                         {"tensors", std::move(tensors)},
                                         {"bytes", bytes}};
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace adaface::checkpoint
