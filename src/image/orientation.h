// The EXIF orientation of a picture.
#pragma once

#include <cstddef>
#include <span>

namespace adaface {

// From a TIFF block (the body of a JPEG's Exif segment or a PNG's eXIf chunk). 1 to 8; 1, upright, when the
// block is damaged or has no orientation: a broken annotation does not make the pixels unreadable.
int exif_orientation(std::span<const std::byte> tiff) noexcept;

// How to read a stored picture so that it comes out upright: pixel (x, y) of the upright picture, of the
// given size, is stored at origin_x + x * column_x + y * row_x, origin_y + x * column_y + y * row_y.
struct Turn {
  int width, height;
  int origin_x, origin_y;
  int column_x, column_y;
  int row_x, row_y;
};
Turn turn_upright(int orientation, int stored_width, int stored_height) noexcept;

}  // namespace adaface
