// Any bytes as the article's gallery file. What is returned is finite and has a path.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "src/error.hpp"
#include "tools/convert/representations.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace adaface;
  const checkpoint::MemorySource source("input", std::as_bytes(std::span(data, size)));
  try {
    for (const checkpoint::Representation& entry : checkpoint::read_representations(source)) {
      if (entry.path.empty()) std::abort();
      for (const float value : entry.values)
        if (!std::isfinite(value)) std::abort();
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt && error.code() != ErrorCode::unsupported &&
        error.code() != ErrorCode::limit)
      std::abort();
  }
  return 0;
}
