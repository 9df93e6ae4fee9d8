// A picture that no file has to hold.
#pragma once

#include <cstdint>
#include <random>

#include "src/adaface.hpp"

namespace adaface::testing {

// The same for the same seed.
inline Image noise(int width, int height, unsigned seed) {
  std::mt19937 random(seed);
  Image image(width, height);
  for (int y = 0; y < height; ++y)
    for (std::size_t i = 0; i < image.stride(); ++i) image.row(y)[i] = static_cast<std::uint8_t>(random());
  return image;
}

}  // namespace adaface::testing
