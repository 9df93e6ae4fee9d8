#include "src/image/pnm.h"

#include <algorithm>
#include <string>

#include "src/image/byte_reader.h"

namespace adaface {

namespace {

bool is_space(int c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// A number after any white space and comments; takes the one byte of white space that follows it.
int read_number(ByteReader& reader) {
  int c = reader.u8();
  while (is_space(c) || c == '#') {
    while (c == '#') {
      do c = reader.u8();
      while (c != '\n' && c != '\r');
    }
    c = reader.u8();
  }
  constexpr int kMax = 10'000'000;
  int value = 0;
  if (c < '0' || c > '9') reader.fail("expected a number in the header");
  for (; c >= '0' && c <= '9'; c = reader.u8()) {
    value = value * 10 + (c - '0');
    if (value > kMax) reader.fail("a number in the header is above " + std::to_string(kMax));
  }
  if (!is_space(c)) reader.fail("expected white space after a number in the header");
  return value;
}

}  // namespace

PnmHeader read_pnm_header(ByteReader& reader, int max_side) {
  PnmHeader header{};
  reader.skip(1);
  header.channels = reader.u8() == '5' ? 1 : 3;
  header.width = read_number(reader);
  header.height = read_number(reader);
  reader.check_size(header.width, header.height, max_side);
  header.max_value = read_number(reader);
  if (header.max_value < 1 || header.max_value > 65535) {
    reader.fail("its greatest value is " + std::to_string(header.max_value) + ", expected 1 to 65535");
  }
  const std::uint64_t needed = std::uint64_t(header.width) * std::uint64_t(header.height) *
                               std::uint64_t(header.channels) * (header.max_value > 255 ? 2 : 1);
  if (reader.remaining() < needed) {
    reader.fail("truncated: " + std::to_string(needed - reader.remaining()) + " bytes are missing");
  }
  return header;
}

Buffer<std::uint8_t> read_pnm_samples(ByteReader& reader, const PnmHeader& header) {
  Buffer<std::uint8_t> samples(std::size_t(header.width) * std::size_t(header.height) *
                               std::size_t(header.channels));
  const bool wide = header.max_value > 255;
  const auto source = reader.take(samples.size() * (wide ? 2 : 1));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(source.data());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const int value = std::min(wide ? bytes[2 * i] << 8 | bytes[2 * i + 1] : bytes[i], header.max_value);
    samples[i] = static_cast<std::uint8_t>((value * 255 + header.max_value / 2) / header.max_value);
  }
  return samples;
}

}  // namespace adaface
