// Checks on views that callers pass in.
#pragma once

#include "src/adaface.hpp"

namespace adaface::image {

// Throws invalid_argument unless the view has pixels, sides of 1 to 65535 and rows that do not overlap.
void check_view(const ImageView& view);

}  // namespace adaface::image
