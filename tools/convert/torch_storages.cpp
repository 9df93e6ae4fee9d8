#include "tools/convert/torch_storages.h"

#include "src/error.hpp"
#include "tools/convert/state_dict.h"

namespace adaface::checkpoint {

std::size_t TorchCheckpoint::storage_index(
    const Value& storage, const std::function<std::uint64_t(const std::string& key)>& storage_bytes) {
  const auto [found, added] = index_.emplace(storage.text, storages_.size());
  if (added) storages_.push_back({storage.text, storage_bytes(storage.text), false});
  const std::uint64_t bytes = storages_[found->second].bytes;
  const std::uint64_t size = size_of(storage.type);
  const auto elements = static_cast<std::uint64_t>(storage.integer);
  if (bytes % size != 0 || bytes / size != elements)
    throw Error(ErrorCode::corrupt, name() + ": storage " + shown(storage.text) + " holds " +
                                        std::to_string(bytes) + " bytes, expected " +
                                        std::to_string(elements) + " x " +
                                        std::string(to_string(storage.type)));
  return found->second;
}

void TorchCheckpoint::add_tensors(const Value& root,
                                  const std::function<std::uint64_t(const std::string& key)>& storage_bytes) {
  for (const NamedValue& entry : state_dict_entries(root, name())) {
    if (entry.value->kind != Kind::tensor) {
      if (entry.in_state_dict) others_.push_back({entry.name, describe(*entry.value)});
      continue;
    }
    const TensorFields& fields = *entry.value->tensor;
    TensorEntry tensor;
    tensor.name = entry.name;
    tensor.type = fields.type;
    tensor.shape = fields.shape;
    tensor.strides = fields.strides;
    tensor.offset = fields.offset;
    tensor.storage = storage_index(*fields.storage, storage_bytes);
    tensor.in_state_dict = entry.in_state_dict;
    add(std::move(tensor));
  }
}

}  // namespace adaface::checkpoint
