// NumPy arrays as the engine's views, and the engine's results as arrays.
#pragma once

#include <pybind11/numpy.h>

#include <array>
#include <string>

#include "src/adaface.hpp"

namespace adaface::python {

// An array's pixels, or those of a copy of it, and what keeps them.
struct ImageArgument {
  pybind11::array owner;
  ImageView view;
};

// `object` must be a numpy array of uint8 with shape (height, width, 3). Rows may lie apart; an array whose
// pixels or channels do not follow one another is copied. Raises TypeError or ValueError, which begin with
// `name`.
ImageArgument image_argument(pybind11::handle object, bool bgr, const std::string& name);

// Shape (5, 2), of any real numbers. Raises TypeError or ValueError.
std::array<Point, 5> landmarks_argument(pybind11::handle object);

// The image's own memory, as an array of shape (height, width, 3).
pybind11::array_t<std::uint8_t> to_array(Image&& image);

}  // namespace adaface::python
