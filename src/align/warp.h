// From the similarity transform to the pixels of a crop.
#pragma once

#include <array>

#include "src/adaface.hpp"

namespace adaface {

// Crop to image {a, b, tx, c, d, ty}; zeros when the transform is singular. The order of operations is
// OpenCV's: the last bits decide which 1/32 of a pixel a sample falls on.
std::array<double, 6> invert(const Transform& transform);

// dst[height * width * 3]: packed RGB whatever the channel order of image; black outside it. `transform` maps
// image to dst.
void warp(const ImageView& image, const Transform& transform, int width, int height, std::uint8_t* dst);

}  // namespace adaface
