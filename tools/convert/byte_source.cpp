#include "tools/convert/byte_source.h"

#include <cstring>

#include "src/error.hpp"

namespace adaface::checkpoint {

void MemorySource::read_at(std::uint64_t offset, std::span<std::byte> dst) const {
  if (offset > bytes_.size() || dst.size() > bytes_.size() - offset)
    throw Error(ErrorCode::corrupt, name() + ": ends at byte " + std::to_string(bytes_.size()) +
                                        ", expected " + std::to_string(dst.size()) + " bytes from " +
                                        std::to_string(offset));
  if (!dst.empty()) std::memcpy(dst.data(), bytes_.data() + offset, dst.size());
}

}  // namespace adaface::checkpoint
