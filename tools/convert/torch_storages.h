// What the two torch formats share: tensors that a pickle describes as views of numbered storages.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>

#include "tools/convert/checkpoint.h"

namespace adaface::checkpoint {

class TorchCheckpoint : public Checkpoint {
 protected:
  using Checkpoint::Checkpoint;

  // Fills tensors, others and storages from the pickle's root. `storage_bytes` gives the size of the storage
  // with that key, or throws; the size that the pickle states must be the same.
  void add_tensors(const Value& root,
                   const std::function<std::uint64_t(const std::string& key)>& storage_bytes);

 private:
  std::size_t storage_index(const Value& storage,
                            const std::function<std::uint64_t(const std::string& key)>& storage_bytes);

  std::unordered_map<std::string, std::size_t> index_;
};

}  // namespace adaface::checkpoint
