// Annotates photographs: boxes, landmarks and captions that stay readable at any picture size.
#pragma once

#include <span>
#include <string>

#include "src/adaface.hpp"

namespace adaface::cli {

struct Annotation {
  Face face;
  std::string caption;  // above the box, on one line; empty: none. Bytes outside ASCII appear as '?'.
};

// Draws on `image`, in the order given. What lies outside the picture is cut off; faces with a coordinate
// that is not finite are left out.
void draw_faces(Image& image, std::span<const Annotation> annotations);

// Text in the caption's letters, cut off at the picture's edge; `scale` pixels a stroke. Bytes outside ASCII
// appear as '?'.
inline constexpr int kTextHeight = 9;     // times scale
int text_width(const std::string& text);  // times scale
void draw_text(Image& image, int x, int y, int scale, const std::string& text);

}  // namespace adaface::cli
