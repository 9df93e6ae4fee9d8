#include <array>
#include <climits>
#include <string>

#include "src/image/byte_reader.h"
#include "src/image/container.h"

namespace adaface {

namespace {

constexpr std::uint32_t chunk_type(const char (&name)[5]) {
  return static_cast<std::uint32_t>(static_cast<unsigned char>(name[0])) << 24 |
         static_cast<std::uint32_t>(static_cast<unsigned char>(name[1])) << 16 |
         static_cast<std::uint32_t>(static_cast<unsigned char>(name[2])) << 8 |
         static_cast<std::uint32_t>(static_cast<unsigned char>(name[3]));
}

// CRC-32 as PNG defines it (polynomial 0xEDB88320), eight bytes a step.
using CrcTables = std::array<std::array<std::uint32_t, 256>, 8>;
constexpr CrcTables make_crc_tables() {
  CrcTables tables{};
  for (std::uint32_t n = 0; n < 256; ++n) {
    std::uint32_t c = n;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    tables[0][n] = c;
  }
  for (std::size_t t = 1; t < tables.size(); ++t) {
    for (std::size_t n = 0; n < 256; ++n) {
      tables[t][n] = tables[0][tables[t - 1][n] & 255] ^ (tables[t - 1][n] >> 8);
    }
  }
  return tables;
}
constexpr CrcTables kCrc = make_crc_tables();

std::uint32_t crc32(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xFFFFFFFFu;
  const auto at = [&](std::size_t i) { return std::to_integer<std::uint32_t>(bytes[i]); };
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    const std::uint32_t low = crc ^ (at(i) | at(i + 1) << 8 | at(i + 2) << 16 | at(i + 3) << 24);
    crc = kCrc[7][low & 255] ^ kCrc[6][low >> 8 & 255] ^ kCrc[5][low >> 16 & 255] ^ kCrc[4][low >> 24] ^
          kCrc[3][at(i + 4)] ^ kCrc[2][at(i + 5)] ^ kCrc[1][at(i + 6)] ^ kCrc[0][at(i + 7)];
  }
  for (; i < bytes.size(); ++i) crc = kCrc[0][(crc ^ at(i)) & 255] ^ (crc >> 8);
  return ~crc;
}

std::string printable_type(std::uint32_t type) {
  std::string name;
  for (int shift = 24; shift >= 0; shift -= 8) {
    const char c = static_cast<char>(type >> shift & 255);
    name += (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ? c : '?';
  }
  return name;
}

// A palette shorter than the sample depth allows leaves the decoder's upper entries undefined: the copy has
// all of them, black where the file has none. Chunk checksums of the copy are not recomputed, nor read.
std::vector<std::byte> with_full_palette(std::span<const std::byte> file, std::size_t chunk,
                                         std::size_t length, std::size_t full_length) {
  std::vector<std::byte> copy(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(chunk));
  for (int shift = 24; shift >= 0; shift -= 8)
    copy.push_back(static_cast<std::byte>(full_length >> shift & 255));
  const auto body = file.subspan(chunk + 4, 4 + length);
  copy.insert(copy.end(), body.begin(), body.end());
  copy.resize(copy.size() + full_length - length);
  const auto rest = file.subspan(chunk + 8 + length);
  copy.insert(copy.end(), rest.begin(), rest.end());
  return copy;
}

}  // namespace

Container inspect_png(ByteReader& reader, int max_side) {
  Container result{.format = ImageFormat::png};
  const std::span<const std::byte> file = reader.rest();
  reader.skip(8);
  int depth = 0, color = 0;
  bool data = false;
  std::size_t palette = 0, palette_length = 0;
  for (;;) {
    if (reader.remaining() == 0) reader.fail("truncated: no IEND chunk");
    const std::size_t start = reader.position();
    const std::uint32_t length = reader.u32be();
    const auto typed = reader.take(std::uint64_t{length} + 4);
    const auto body = typed.subspan(4);
    ByteReader fields(typed, "PNG", "");
    const std::uint32_t type = fields.u32be();
    const std::string name = printable_type(type);
    if (type == chunk_type("CgBI")) reader.refuse("Apple's CgBI variant, expected a standard PNG");
    if (start == 8 && (type != chunk_type("IHDR") || length != 13)) {
      reader.fail("it begins with a chunk " + name + ", expected IHDR of 13 bytes");
    }
    // Size before checksum: a header from a generator of oversized files names its size either way.
    if (type == chunk_type("IHDR")) {
      if (start != 8) reader.fail("a second IHDR chunk");
      const std::uint32_t width = fields.u32be(), height = fields.u32be();
      reader.check_size(width, height, max_side);
      result.width = static_cast<int>(width);
      result.height = static_cast<int>(height);
      depth = fields.u8();
      color = fields.u8();
      // The decoder counts the unpacked bytes, and one a row for the filter, in int.
      const std::uint64_t channels = color == 6 ? 4 : color == 2 ? 3 : color == 4 ? 2 : 1;
      const std::uint64_t unpacked = (std::uint64_t{width} * channels * (depth == 16 ? 2 : 1) + 1) * height;
      if (unpacked > INT_MAX)
        reader.exceed(std::to_string(width) + "x" + std::to_string(height) + " pixels of " +
                      std::to_string(channels) + " x " + std::to_string(depth) + " bits unpack to " +
                      std::to_string(unpacked) + " bytes, expected at most " + std::to_string(INT_MAX));
    }
    if (reader.u32be() != crc32(typed)) reader.fail("the checksum of chunk " + name + " is wrong");
    if (type == chunk_type("IEND")) break;
    if (type == chunk_type("IDAT")) {
      if (color == 3 && palette == 0) reader.fail("no PLTE chunk before the picture");
      data = true;
    } else if (type == chunk_type("PLTE")) {
      if (palette != 0) reader.fail("a second PLTE chunk");
      if (length == 0 || length > 768 || length % 3 != 0) {
        reader.fail("a PLTE chunk of " + std::to_string(length) + " bytes, expected 1 to 256 colours of 3");
      }
      palette = start;
      palette_length = length;
    } else if (type == chunk_type("eXIf")) {
      if (result.exif.empty()) result.exif = body;
    } else if (type != chunk_type("IHDR") && (type >> 29 & 1) == 0) {
      reader.refuse("critical chunk " + name + " is not known");
    }
  }
  if (!data) reader.fail("no IDAT chunk");
  if (color == 3 && depth >= 1 && depth <= 8) {
    const std::size_t full = std::size_t{3} << depth;
    if (palette_length < full) result.replacement = with_full_palette(file, palette, palette_length, full);
  }
  return result;
}

}  // namespace adaface
