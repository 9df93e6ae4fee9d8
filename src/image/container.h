// What an image file is, checked from its structure before any decoder sees it: the format, the size, that no
// part is cut off, and that it holds nothing that the decoder does not handle safely.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace adaface {

class ByteReader;

enum class ImageFormat { jpeg, png, bmp, gif, tga, psd, pic, pnm, hdr };

struct Container {
  ImageFormat format;
  int width = 0;
  int height = 0;
  std::span<const std::byte> exif = {};     // a TIFF block inside the file; empty when there is none
  std::vector<std::byte> replacement = {};  // when not empty: decode this in place of the file
};

// Throws corrupt, unsupported (also for what is no image) or limit (a side above max_side); `name` stands in
// messages.
Container inspect(std::span<const std::byte> file, int max_side, std::string_view name);

// One format each; the reader stands at the start of the file.
Container inspect_jpeg(ByteReader& reader, int max_side);
Container inspect_png(ByteReader& reader, int max_side);

}  // namespace adaface
