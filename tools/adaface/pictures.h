// Reading pictures as the mode wants them, and the words of the human output.
#pragma once

#include <algorithm>
#include <string>

#include "src/adaface.hpp"
#include "tools/adaface/inputs.h"
#include "tools/adaface/options.h"

namespace adaface::cli {

// Reference mode ignores the EXIF orientation, as the published pipeline does.
inline DecodeOptions decode_options(const Options& options) {
  return {.apply_orientation = options.detection_mode() == Mode::standard};
}

inline Image read_picture(const Input& input, const Options& options) {
  return read_image(input.path, decode_options(options));
}

// "no face", "1 face", "13 faces"
inline std::string count_text(std::size_t faces) {
  return faces == 0 ? "no face" : faces == 1 ? "1 face" : std::to_string(faces) + " faces";
}

// The number of characters of printable() text, which is UTF-8; for columns.
inline std::size_t characters(const std::string& text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}
inline std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, characters(text)), ' ');
}

// "1 photograph", "2 photographs"
inline std::string counted(std::size_t number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}
inline std::string people_text(std::size_t number) {
  return number == 1 ? "1 person" : std::to_string(number) + " people";
}

}  // namespace adaface::cli
