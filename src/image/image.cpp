#include "src/adaface.hpp"

namespace adaface {

Image::Image(int width, int height) {
  constexpr int kMaxSide = 65535;
  if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide) {
    throw Error(ErrorCode::invalid_argument, "image size " + std::to_string(width) + "x" +
                                                 std::to_string(height) +
                                                 ", expected 1 to 65535 on each side");
  }
  pixels_.resize(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  width_ = width;
  height_ = height;
}

}  // namespace adaface
