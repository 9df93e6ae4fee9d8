// The one door to stb_image.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "src/image/container.h"
#include "src/image/stb_memory.h"

namespace adaface {

struct StbPixels {
  std::unique_ptr<std::uint8_t, stb::DropKept> samples;  // packed rows
  int width, height;
  int channels;  // 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha
};

// `file` has passed inspect() with this result. Throws corrupt when the picture itself cannot be decoded,
// limit when decoding would take more memory than a picture of its size needs.
StbPixels decode_with_stb(std::span<const std::byte> file, const Container& container, std::string_view name);

}  // namespace adaface
