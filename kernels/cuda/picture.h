// A picture on a device: what the upload of its rows becomes, and what resizing and warping read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda.h"

namespace adaface::kernels::cuda {

// A pixel is a word: red, green, blue from its lowest byte on, and a byte without meaning.
struct Picture {
  const std::uint32_t* pixels;
  int width, height;

  // Words of a row, whole groups of four.
  constexpr std::ptrdiff_t pitch() const { return (static_cast<std::ptrdiff_t>(width) + 3) / 4 * 4; }
  constexpr std::size_t bytes() const {
    return static_cast<std::size_t>(pitch()) * static_cast<std::size_t>(height) * 4;
  }
};

// Bytes of an uploaded row: packed pixels of three bytes, and room up to a group of four.
constexpr std::size_t packed_pitch(int width) {
  return (static_cast<std::size_t>(width) + 3) / 4 * 12;
}

// Makes words of `rows` uploaded rows of `width` pixels, at most 2^31 / packed_pitch(width) of them: `packed`
// {rows, packed_pitch} to `pixels`, the first word of the first of these rows. Both are aligned to 16 bytes.
// `bgr`: blue comes first in `packed`.
Status unpack_rows(const std::uint8_t* packed, int width, int rows, bool bgr, std::uint32_t* pixels,
                   cudaStream_t stream);

}  // namespace adaface::kernels::cuda
