#include "src/image/orientation.h"

#include <cstdint>

namespace adaface {

namespace {

class TiffBlock {
 public:
  explicit TiffBlock(std::span<const std::byte> bytes, bool little) : bytes_(bytes), little_(little) {}

  bool has(std::uint64_t offset, std::uint64_t count) const {
    return offset <= bytes_.size() && count <= bytes_.size() - offset;
  }
  std::uint32_t u16(std::size_t offset) const {
    const std::uint32_t a = at(offset), b = at(offset + 1);
    return little_ ? b << 8 | a : a << 8 | b;
  }
  std::uint32_t u32(std::size_t offset) const {
    return little_ ? u16(offset + 2) << 16 | u16(offset) : u16(offset) << 16 | u16(offset + 2);
  }

 private:
  std::uint32_t at(std::size_t offset) const { return std::to_integer<std::uint32_t>(bytes_[offset]); }

  std::span<const std::byte> bytes_;
  bool little_;
};

}  // namespace

int exif_orientation(std::span<const std::byte> tiff) noexcept {
  constexpr int kUpright = 1;
  constexpr std::uint32_t kOrientationTag = 0x0112, kShort = 3, kEntryBytes = 12;
  if (tiff.size() < 8) return kUpright;
  const bool little = tiff[0] == std::byte{'I'} && tiff[1] == std::byte{'I'};
  const bool big = tiff[0] == std::byte{'M'} && tiff[1] == std::byte{'M'};
  if (!little && !big) return kUpright;
  const TiffBlock block(tiff, little);
  if (block.u16(2) != 42) return kUpright;
  const std::uint32_t directory = block.u32(4);
  if (!block.has(directory, 2)) return kUpright;
  const std::uint32_t entries = block.u16(directory);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::uint64_t entry = std::uint64_t{directory} + 2 + std::uint64_t{i} * kEntryBytes;
    if (!block.has(entry, kEntryBytes)) return kUpright;
    const auto at = static_cast<std::size_t>(entry);
    if (block.u16(at) != kOrientationTag) continue;
    if (block.u16(at + 2) != kShort || block.u32(at + 4) != 1) return kUpright;
    const std::uint32_t value = block.u16(at + 8);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : kUpright;
  }
  return kUpright;
}

Turn turn_upright(int orientation, int stored_width, int stored_height) noexcept {
  const int right = stored_width - 1, bottom = stored_height - 1;
  switch (orientation) {
    case 2: return {stored_width, stored_height, right, 0, -1, 0, 0, 1};        // mirrored
    case 3: return {stored_width, stored_height, right, bottom, -1, 0, 0, -1};  // upside down
    case 4: return {stored_width, stored_height, 0, bottom, 1, 0, 0, -1};       // upside down, mirrored
    case 5: return {stored_height, stored_width, 0, 0, 0, 1, 1, 0};             // transposed
    case 6: return {stored_height, stored_width, 0, bottom, 0, -1, 1, 0};       // to be turned clockwise
    case 7: return {stored_height, stored_width, right, bottom, 0, -1, -1, 0};  // transposed, upside down
    case 8: return {stored_height, stored_width, right, 0, 0, 1, -1, 0};        // to be turned anticlockwise
    default: return {stored_width, stored_height, 0, 0, 1, 0, 0, 1};
  }
}

}  // namespace adaface
