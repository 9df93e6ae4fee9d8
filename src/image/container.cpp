#include "src/image/container.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

#include "src/image/byte_reader.h"
#include "src/image/pnm.h"

namespace adaface {

namespace {

bool begins_with(std::span<const std::byte> file, std::string_view magic, std::size_t offset = 0) {
  return file.size() >= offset + magic.size() &&
         std::memcmp(file.data() + offset, magic.data(), magic.size()) == 0;
}

// Plain and palette pictures. Cut-off rows would be decoded as zeros and palette indices without a colour as
// whatever lies on the stack.
Container inspect_bmp(ByteReader& reader, int max_side) {
  reader.skip(10);
  const std::uint32_t offset = reader.u32le(), header_size = reader.u32le();
  if (header_size != 12 && header_size != 40 && header_size != 56 && header_size != 108 &&
      header_size != 124) {
    reader.refuse("a header of " + std::to_string(header_size) + " bytes, expected 12, 40, 56, 108 or 124");
  }
  const bool old = header_size == 12;
  const std::int64_t width = old ? reader.u16le() : static_cast<std::int32_t>(reader.u32le());
  const std::int64_t signed_height = old ? reader.u16le() : static_cast<std::int32_t>(reader.u32le());
  const std::int64_t height = signed_height < 0 ? -signed_height : signed_height;
  if (width < 0) reader.fail("its width is negative");
  reader.check_size(static_cast<std::uint64_t>(width), static_cast<std::uint64_t>(height), max_side);
  if (reader.u16le() != 1) reader.fail("it does not have one plane");
  const int bits = reader.u16le();
  const std::uint32_t compression = old ? 0 : reader.u32le();
  if (compression != 0 && compression != 3) {
    reader.refuse("compression " + std::to_string(compression) + ", expected none");
  }
  if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32) {
    reader.refuse(std::to_string(bits) + " bits per pixel, expected 1, 4, 8, 16, 24 or 32");
  }
  const std::uint64_t masks = compression == 3 && (header_size == 40 || header_size == 56) ? 12 : 0;
  const std::uint64_t pixels = 14 + header_size + masks;
  // The decoder reckons with 24 bytes of old header where the palette's size is concerned.
  const std::uint64_t palette_start = 14 + (old ? 24 : header_size) + masks;
  std::uint64_t palette = 0;
  if (bits < 16) {
    if (offset < palette_start) reader.fail("no palette before the pixels");
    palette = (offset - palette_start) / (old ? 3 : 4);
    if (palette < 1 || palette > 256) {
      reader.fail("a palette of " + std::to_string(palette) + " colours, expected 1 to 256");
    }
  } else if (offset != pixels) {
    reader.refuse("pixels begin at byte " + std::to_string(offset) + ", expected " + std::to_string(pixels));
  }

  const std::uint64_t row_bytes = (static_cast<std::uint64_t>(width) * bits + 31) / 32 * 4;
  reader.skip(offset - reader.position());
  const std::uint64_t all_but_padding =
      row_bytes * (height - 1) + (static_cast<std::uint64_t>(width) * bits + 7) / 8;
  const auto rows = reader.take(all_but_padding);
  if (bits < 16 && palette < (std::uint64_t{1} << bits)) {
    const int per_byte = 8 / bits;
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        const auto byte = std::to_integer<unsigned>(rows[y * row_bytes + x / per_byte]);
        const unsigned index = byte >> (8 - bits * (x % per_byte + 1)) & ((1u << bits) - 1);
        if (index >= palette) {
          reader.fail("palette index " + std::to_string(index) + " at (" + std::to_string(x) + ", " +
                      std::to_string(y) + "), expected less than " + std::to_string(palette));
        }
      }
    }
  }
  return {.format = ImageFormat::bmp, .width = static_cast<int>(width), .height = static_cast<int>(height)};
}

void skip_gif_blocks(ByteReader& reader) {
  for (int size = reader.u8(); size != 0; size = reader.u8()) reader.skip(size);
}

// Up to the end of the first frame: what follows is not decoded.
Container inspect_gif(ByteReader& reader, int max_side) {
  reader.skip(6);
  const int width = reader.u16le(), height = reader.u16le();
  reader.check_size(width, height, max_side);
  const int flags = reader.u8();
  reader.skip(2);
  if ((flags & 0x80) != 0) reader.skip(std::uint64_t{6} << (flags & 7));
  for (;;) {
    const int tag = reader.u8();
    if (tag == 0x21) {
      reader.skip(1);
      skip_gif_blocks(reader);
    } else if (tag == 0x2C) {
      reader.skip(8);
      const int frame_flags = reader.u8();
      if ((frame_flags & 0x80) != 0) reader.skip(std::uint64_t{6} << (frame_flags & 7));
      reader.skip(1);
      skip_gif_blocks(reader);
      return {.format = ImageFormat::gif, .width = width, .height = height};
    } else {
      reader.fail(tag == 0x3B ? "no frame before the trailer"
                              : "block " + std::to_string(tag) + " is not known");
    }
  }
}

struct TgaHeader {
  int id_bytes, map_type, type, map_length, map_bits, width, height, bits;
};

// Targa has no signature: what is not wholly consistent is taken for no image at all.
bool read_tga_header(std::span<const std::byte> file, TgaHeader& header) {
  if (file.size() < 18) return false;
  const auto at = [&](std::size_t i) { return std::to_integer<int>(file[i]); };
  const auto at2 = [&](std::size_t i) { return at(i) | at(i + 1) << 8; };
  header = {at(0), at(1), at(2), at2(5), at(7), at2(12), at2(14), at(16)};
  const int kind = header.type & 7;  // 1 palette, 2 colour, 3 grey; + 8 for run lengths
  if ((header.type & ~8) != kind || kind < 1 || kind > 3) return false;
  if (header.map_type != (kind == 1 ? 1 : 0) || header.width == 0 || header.height == 0) return false;
  if ((at(17) & 0xC0) != 0) return false;  // interleaved rows: never written in practice
  const auto is_color = [](int bits) { return bits == 15 || bits == 16 || bits == 24 || bits == 32; };
  if (kind == 1) {
    return header.bits == 8 && header.map_length > 0 && (header.map_bits == 8 || is_color(header.map_bits));
  }
  return kind == 2 ? is_color(header.bits) : header.bits == 8 || header.bits == 16;
}

Container inspect_tga(ByteReader& reader, const TgaHeader& header, int max_side) {
  reader.check_size(header.width, header.height, max_side);
  reader.skip(18 + std::uint64_t(header.id_bytes));
  if (header.map_type == 1) reader.skip(std::uint64_t(header.map_length) * ((header.map_bits + 7) / 8));
  const int pixel_bytes = (header.bits + 7) / 8;
  const std::uint64_t pixels = std::uint64_t(header.width) * std::uint64_t(header.height);
  if (header.type < 8) {
    reader.skip(pixels * pixel_bytes);
  } else {
    for (std::uint64_t done = 0; done < pixels;) {
      const int packet = reader.u8(), count = (packet & 127) + 1;
      reader.skip(std::uint64_t(pixel_bytes) * (packet > 127 ? 1 : count));
      done += count;
    }
  }
  return {.format = ImageFormat::tga, .width = header.width, .height = header.height};
}

// The same PSD with its first three channels alone. The decoder takes the white that it expects in half
// transparent pixels out of them again, for which not every file has enough: the result would not fit a byte.
// The row lengths of the other channels, if any, are `cut`.
std::vector<std::byte> without_alpha(std::span<const std::byte> file, std::span<const std::byte> cut) {
  constexpr std::size_t kChannelCount = 12;
  std::vector<std::byte> copy(file.begin(), file.end());
  copy.at(kChannelCount) = std::byte{0};
  copy.at(kChannelCount + 1) = std::byte{3};
  if (!cut.empty()) {
    const auto first = copy.begin() + (cut.data() - file.data());
    copy.erase(first, first + static_cast<std::ptrdiff_t>(cut.size()));
  }
  return copy;
}

Container inspect_psd(ByteReader& reader, int max_side) {
  const std::span<const std::byte> file = reader.rest();
  std::span<const std::byte> cut;
  reader.skip(4);
  if (reader.u16be() != 1) reader.refuse("its version is not 1");
  reader.skip(6);
  const int channels = reader.u16be();
  const std::uint32_t height = reader.u32be(), width = reader.u32be();
  reader.check_size(width, height, max_side);
  const int depth = reader.u16be(), mode = reader.u16be();
  if (channels < 3 || channels > 16 || (depth != 8 && depth != 16) || mode != 3) {
    reader.refuse(std::to_string(channels) + " channels of " + std::to_string(depth) + " bits in mode " +
                  std::to_string(mode) + ", expected 3 to 16 channels of 8 or 16 bits in mode 3 (RGB)");
  }
  for (int section = 0; section < 3; ++section) reader.skip(reader.u32be());
  const int compression = reader.u16be();
  const std::uint64_t rows = std::uint64_t{height} * std::min(channels, 4);
  if (compression == 0) {
    reader.skip(rows * width * (depth / 8));
  } else if (compression == 1 && depth == 8) {
    const auto lengths = reader.take(std::uint64_t{height} * channels * 2);
    std::uint64_t total = 0;
    for (std::uint64_t row = 0; row < rows; ++row) {
      total +=
          std::to_integer<unsigned>(lengths[2 * row]) << 8 | std::to_integer<unsigned>(lengths[2 * row + 1]);
    }
    cut = lengths.subspan(std::size_t{height} * 3 * 2);
    const auto packed = reader.take(total);
    // The decoder fills whole channels without regard to the row lengths: count what the packets give.
    std::uint64_t samples = 0;
    for (std::size_t i = 0; i < packed.size();) {
      const int packet = std::to_integer<int>(packed[i]);
      samples += packet < 128 ? packet + 1 : packet > 128 ? 257 - packet : 0;
      i += packet < 128 ? packet + 2 : packet > 128 ? 2 : 1;
    }
    if (samples < rows * width) reader.fail("truncated: its packed rows are too short");
  } else {
    reader.refuse("compression " + std::to_string(compression) + ", expected none or 8-bit run lengths");
  }
  Container result{
      .format = ImageFormat::psd, .width = static_cast<int>(width), .height = static_cast<int>(height)};
  if (channels > 3) result.replacement = without_alpha(file, cut);
  return result;
}

// The decoder itself notices when a PIC file ends early.
Container inspect_pic(ByteReader& reader, int max_side) {
  reader.skip(92);
  const int width = reader.u16be(), height = reader.u16be();
  reader.check_size(width, height, max_side);
  return {.format = ImageFormat::pic, .width = width, .height = height};
}

std::string_view read_line(ByteReader& reader) {
  const auto rest = reader.rest();
  const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
  constexpr std::ptrdiff_t kMaxLine = 1000;
  if (end == rest.end() || end - rest.begin() > kMaxLine) reader.fail("truncated: its header does not end");
  const std::size_t length = static_cast<std::size_t>(end - rest.begin());
  reader.skip(length + 1);
  return {reinterpret_cast<const char*>(rest.data()), length};
}

// "-Y height +X width", the one order that the decoder reads.
bool parse_hdr_size(std::string_view line, std::uint32_t& width, std::uint32_t& height) {
  const char* end = line.data() + line.size();
  if (!line.starts_with("-Y ")) return false;
  const auto first = std::from_chars(line.data() + 3, end, height);
  const std::string_view rest(first.ptr, static_cast<std::size_t>(end - first.ptr));
  if (first.ec != std::errc() || !rest.starts_with(" +X ")) return false;
  const auto second = std::from_chars(rest.data() + 4, end, width);
  return second.ec == std::errc() && second.ptr == end;
}

// The decoder reads past the end as zeros, and a run of length zero there would never end.
Container inspect_hdr(ByteReader& reader, int max_side) {
  bool rgbe = false;
  read_line(reader);
  for (std::string_view line = read_line(reader); !line.empty(); line = read_line(reader)) {
    rgbe = rgbe || line == "FORMAT=32-bit_rle_rgbe";
    if (line.front() == '\0') reader.fail("a zero in its header");
  }
  std::uint32_t width = 0, height = 0;
  if (!rgbe || !parse_hdr_size(read_line(reader), width, height)) {
    reader.refuse("expected FORMAT=32-bit_rle_rgbe and \"-Y height +X width\"");
  }
  reader.check_size(width, height, max_side);
  const Container result{
      .format = ImageFormat::hdr, .width = static_cast<int>(width), .height = static_cast<int>(height)};
  for (std::uint32_t y = 0; y < height; ++y) {
    const auto rest = reader.rest();
    const auto at = [&](std::size_t i) { return std::to_integer<unsigned>(rest[i]); };
    const bool runs =
        width >= 8 && width < 32768 && rest.size() >= 4 && at(0) == 2 && at(1) == 2 && at(2) < 128;
    if (!runs) {
      if (y != 0) reader.fail("row " + std::to_string(y) + " is not run-length coded as the first is");
      reader.skip(std::uint64_t{width} * height * 4);
      return result;
    }
    if ((at(2) << 8 | at(3)) != width) reader.fail("row " + std::to_string(y) + " has another width");
    reader.skip(4);
    for (int channel = 0; channel < 4; ++channel) {
      for (std::uint32_t x = 0; x < width;) {
        const unsigned packet = reader.u8(), count = packet > 128 ? packet - 128 : packet;
        if (count == 0 || count > width - x) {
          reader.fail("a run of " + std::to_string(count) + " in row " + std::to_string(y) +
                      ", expected 1 to " + std::to_string(width - x));
        }
        reader.skip(packet > 128 ? 1 : count);
        x += count;
      }
    }
  }
  return result;
}

}  // namespace

Container inspect(std::span<const std::byte> file, int max_side, std::string_view name) {
  using std::string_view_literals::operator""sv;
  const auto reader = [&](std::string_view format) { return ByteReader(file, format, name); };
  if (begins_with(file, "\xFF\xD8\xFF"sv)) {
    ByteReader bytes = reader("JPEG");
    return inspect_jpeg(bytes, max_side);
  }
  if (begins_with(file, "\x89PNG\r\n\x1A\n"sv)) {
    ByteReader bytes = reader("PNG");
    return inspect_png(bytes, max_side);
  }
  if (begins_with(file, "BM"sv) && file.size() >= 26) {
    ByteReader bytes = reader("BMP");
    return inspect_bmp(bytes, max_side);
  }
  if (begins_with(file, "GIF87a"sv) || begins_with(file, "GIF89a"sv)) {
    ByteReader bytes = reader("GIF");
    return inspect_gif(bytes, max_side);
  }
  if (begins_with(file, "8BPS"sv)) {
    ByteReader bytes = reader("PSD");
    return inspect_psd(bytes, max_side);
  }
  if (begins_with(file, "\x53\x80\xF6\x34"sv) && begins_with(file, "PICT"sv, 88)) {
    ByteReader bytes = reader("PIC");
    return inspect_pic(bytes, max_side);
  }
  if (begins_with(file, "#?RADIANCE\n"sv) || begins_with(file, "#?RGBE\n"sv)) {
    ByteReader bytes = reader("HDR");
    return inspect_hdr(bytes, max_side);
  }
  if (file.size() >= 3 && (begins_with(file, "P5"sv) || begins_with(file, "P6"sv)) &&
      std::to_integer<int>(file[2]) <= ' ') {
    ByteReader bytes = reader("PNM");
    const PnmHeader header = read_pnm_header(bytes, max_side);
    return {.format = ImageFormat::pnm, .width = header.width, .height = header.height};
  }
  if (TgaHeader header; read_tga_header(file, header)) {
    ByteReader bytes = reader("TGA");
    return inspect_tga(bytes, header, max_side);
  }
  if (file.empty()) {
    throw Error(ErrorCode::corrupt, std::string(name) + ": empty file, expected an image");
  }
  throw Error(ErrorCode::unsupported,
              std::string(name) +
                  ": not an image in a known format (JPEG, PNG, BMP, GIF, TGA, PSD, PIC, "
                  "PNM, HDR)");
}

}  // namespace adaface
