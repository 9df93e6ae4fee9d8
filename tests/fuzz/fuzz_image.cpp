// Any bytes as an image file: decoded, or refused with an error of the documented kinds. A PNG is tried a
// second time with the checksums of its chunks set right: else no damaged one would get as far as its
// decoder.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "src/adaface.hpp"

namespace {

void decode(std::span<const std::uint8_t> file) {
  try {
    const adaface::Image image = adaface::decode_image(std::as_bytes(file), {.max_side = 512});
    if (image.width() > 512 || image.height() > 512) std::abort();
  } catch (const adaface::Error& error) {
    const bool documented = error.code() == adaface::ErrorCode::corrupt ||
                            error.code() == adaface::ErrorCode::unsupported ||
                            error.code() == adaface::ErrorCode::limit;
    if (!documented) std::abort();
  }
}

std::uint32_t crc32(const std::uint8_t* bytes, std::size_t size) {
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
  }
  return ~crc;
}

void repair_checksums(std::vector<std::uint8_t>& png) {
  for (std::size_t at = 8; at + 12 <= png.size();) {
    const std::size_t length = std::size_t{png[at]} << 24 | std::size_t{png[at + 1]} << 16 |
                               std::size_t{png[at + 2]} << 8 | std::size_t{png[at + 3]};
    if (length > png.size() - at - 12) return;
    const std::uint32_t crc = crc32(&png[at + 4], length + 4);
    for (int i = 0; i < 4; ++i) png[at + 8 + length + i] = static_cast<std::uint8_t>(crc >> (24 - 8 * i));
    at += length + 12;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  decode({data, size});
  if (size > 8 && std::memcmp(data, "\x89PNG", 4) == 0) {
    std::vector<std::uint8_t> png(data, data + size);
    repair_checksums(png);
    decode(png);
  }
  return 0;
}
