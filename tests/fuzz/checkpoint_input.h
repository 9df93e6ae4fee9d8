// What the checkpoint fuzz targets share: a file in memory, every tensor read, Error the only way out.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "src/error.hpp"
#include "tools/convert/checkpoint.h"
#include "tools/convert/listing.h"

namespace adaface::checkpoint {

// `open` is one of the readers. An expanded tensor may claim more elements than there is time for: those are
// only listed, and not as JSON: nlohmann frees values with a destructor that allocates and may not throw.
// Aborts when an error is none of the documented kinds.
template <class Open>
int read_as_checkpoint(const std::uint8_t* data, std::size_t size, Open open) {
  constexpr std::uint64_t kMaxElements = 1 << 16;
  const MemorySource source("input", std::as_bytes(std::span(data, size)));
  try {
    const std::unique_ptr<Checkpoint> checkpoint = open(source);
    list_text(*checkpoint);
    for (const TensorEntry& tensor : checkpoint->tensors())
      if (is_floating(tensor.type) && element_count(tensor.shape, tensor.name) <= kMaxElements)
        checkpoint->read(tensor, [](std::span<const float>) {});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt && error.code() != ErrorCode::unsupported &&
        error.code() != ErrorCode::limit)
      std::abort();
  }
  return 0;
}

}  // namespace adaface::checkpoint
