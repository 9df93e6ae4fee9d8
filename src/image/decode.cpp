#include <string>

#include "src/adaface.hpp"
#include "src/image/byte_reader.h"
#include "src/image/container.h"
#include "src/image/orientation.h"
#include "src/image/pnm.h"
#include "src/image/stb_decoder.h"
#include "src/io/file.h"

namespace adaface {

namespace {

// Upright RGB from stored samples: alpha dropped, grey in all three channels.
Image upright(const std::uint8_t* samples, int width, int height, int channels, int orientation) {
  const Turn turn = turn_upright(orientation, width, height);
  Image image(turn.width, turn.height);
  const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(width) * channels;
  const std::ptrdiff_t column_step = turn.column_y * line + turn.column_x * channels;
  const int green = channels >= 3 ? 1 : 0, blue = channels >= 3 ? 2 : 0;
  for (int y = 0; y < turn.height; ++y) {
    const std::uint8_t* sample = samples +
                                 (turn.origin_y + static_cast<std::ptrdiff_t>(y) * turn.row_y) * line +
                                 (turn.origin_x + static_cast<std::ptrdiff_t>(y) * turn.row_x) * channels;
    std::uint8_t* pixel = image.row(y);
    for (int x = 0; x < turn.width; ++x) {
      const std::uint8_t* source = sample + x * column_step;
      pixel[3 * x] = source[0];
      pixel[3 * x + 1] = source[green];
      pixel[3 * x + 2] = source[blue];
    }
  }
  return image;
}

}  // namespace

Image decode_image(std::span<const std::byte> file, const DecodeOptions& options, std::string_view name) {
  constexpr int kMaxSide = 65535;
  if (options.max_side < 1 || options.max_side > kMaxSide) {
    throw Error(ErrorCode::invalid_argument, "max_side is " + std::to_string(options.max_side) +
                                                 ", expected 1 to " + std::to_string(kMaxSide));
  }
  if (file.size() > options.max_file_bytes) {
    throw Error(ErrorCode::limit, std::string(name) + ": the file has " + std::to_string(file.size()) +
                                      " bytes, expected at most " + std::to_string(options.max_file_bytes));
  }
  const Container container = inspect(file, options.max_side, name);
  const int orientation = options.apply_orientation ? exif_orientation(container.exif) : 1;
  if (container.format == ImageFormat::pnm) {
    ByteReader reader(file, "PNM", name);
    const PnmHeader header = read_pnm_header(reader, options.max_side);
    return upright(read_pnm_samples(reader, header).data(), header.width, header.height, header.channels, 1);
  }
  const std::span<const std::byte> source =
      container.replacement.empty() ? file : std::span<const std::byte>(container.replacement);
  const StbPixels pixels = decode_with_stb(source, container, name);
  return upright(pixels.samples.get(), pixels.width, pixels.height, pixels.channels, orientation);
}

Image read_image(const std::filesystem::path& path, const DecodeOptions& options) {
  return decode_image(io::read_file(path, options.max_file_bytes), options, io::printable(path));
}

}  // namespace adaface
