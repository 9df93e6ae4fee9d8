// The container of torch.save before 1.6, which torch.storage still writes into pickles: pickles one after
// the other (magic number, protocol, system, object, storage keys), then the storages in the order of the
// keys, each an int64 element count and its bytes.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "tools/convert/pickle.h"

namespace adaface::checkpoint {

struct LegacyFile {
  struct Place {
    std::uint64_t start = 0;
    std::uint64_t bytes = 0;
  };

  Pickle object;
  std::unordered_map<std::string, Place> places;  // by storage key
};

// The source ends with the last storage. Throws corrupt, limit, unsupported; messages begin with
// source.name().
LegacyFile read_legacy(const ByteSource& source, const PickleLimits& limits = {});

}  // namespace adaface::checkpoint
