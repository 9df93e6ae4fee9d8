// Annotates photographs: boxes, landmarks and captions that stay readable at any picture size.
#pragma once

#include <span>
#include <string>

#include "src/adaface.hpp"

namespace adaface::cli {

struct Annotation {
  Face face;
  std::string caption;        // at the box, on one line; empty: none
  std::string short_caption;  // where there is no room for that
};

// Draws on `image`. What lies outside the picture is cut off; faces with a coordinate that is not finite are
// left out. Captions stand above their box, else below, else inside, and cover neither another face nor
// another caption: the first ones have the choice, and one that fits nowhere is left out.
void draw_faces(Image& image, std::span<const Annotation> annotations);

// What there are letters for: ASCII, one '?' for each other character and each byte that is none.
std::string drawable(const std::string& text);

// Text in the caption's letters, as drawable() gives it, cut off at the picture's edge; `scale` pixels a
// stroke.
inline constexpr int kTextHeight = 9;     // times scale
int text_width(const std::string& text);  // times scale
void draw_text(Image& image, int x, int y, int scale, const std::string& text);

}  // namespace adaface::cli
