#include "src/align/warp.h"

#include <utility>

#include "kernels/kernels.h"
#include "src/image/view.h"

namespace adaface {

std::array<double, 6> invert(const Transform& transform) {
  const auto& m = transform.m;
  double scale = m[0][0] * m[1][1] - m[0][1] * m[1][0];
  scale = scale != 0 ? 1.0 / scale : 0.0;
  const double a = m[1][1] * scale, b = m[0][1] * -scale;
  const double c = m[1][0] * -scale, d = m[0][0] * scale;
  return {a, b, -a * m[0][2] - b * m[1][2], c, d, -c * m[0][2] - d * m[1][2]};
}

void warp(const ImageView& image, const Transform& transform, int width, int height, std::uint8_t* dst) {
  const std::array<double, 6> inverse = invert(transform);
  kernels::select().warp_affine(image.data, image.width, image.height, image.stride, inverse.data(), dst,
                                width, height, static_cast<std::ptrdiff_t>(width) * 3);
  if (image.order == ChannelOrder::bgr) {
    const std::size_t bytes = static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3;
    for (std::size_t i = 0; i < bytes; i += 3) std::swap(dst[i], dst[i + 2]);
  }
}

Image align_face(const ImageView& image, const std::array<Point, 5>& landmarks, Mode mode) {
  image::check_view(image);
  Image crop(kCropSize, kCropSize);
  warp(image, alignment_transform(landmarks, mode), kCropSize, kCropSize, crop.row(0));
  return crop;
}

}  // namespace adaface
