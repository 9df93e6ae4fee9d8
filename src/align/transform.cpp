#include <Eigen/Geometry>
#include <Eigen/LU>
#include <Eigen/QR>
#include <cmath>

#include "src/adaface.hpp"

namespace adaface {

namespace {

using Points = Eigen::Matrix<double, 5, 2>;
// Acts on row vectors (x, y, 1) from the left.
using RowTransform = Eigen::Matrix3d;

// Where the five landmarks lie in an aligned crop.
const Points& crop_template() {
  static const Points points = [] {
    constexpr float kPoints[5][2] = {{38.29459953f, 51.69630051f},
                                     {73.53179932f, 51.50139999f},
                                     {56.02519989f, 71.73660278f},
                                     {41.54930115f, 92.3655014f},
                                     {70.72990036f, 92.20410156f}};
    Points values;
    for (int i = 0; i < 5; ++i) values.row(i) << kPoints[i][0], kPoints[i][1];
    return values;
  }();
  return points;
}

// The similarity without reflection that carries `target` to `image` by least squares, inverted: it maps
// image to target. In r = (s cos, s sin, tx, ty): [x y 1 0; y -x 0 1] r = [u; v].
RowTransform fit(const Points& image, const Points& target) {
  Eigen::Matrix<double, 10, 4> x;
  Eigen::Matrix<double, 10, 1> u;
  x << target.col(0), target.col(1), Points::ColXpr::PlainObject::Ones(), Points::ColXpr::PlainObject::Zero(),
      target.col(1), -target.col(0), Points::ColXpr::PlainObject::Zero(), Points::ColXpr::PlainObject::Ones();
  u << image.col(0), image.col(1);
  const Eigen::Vector4d r = x.colPivHouseholderQr().solve(u);

  // The scale from crop to image must rise above the rounding of the solve, which is of the order of the
  // largest coordinate times epsilon over the template's spread of about 40 pixels.
  const double scale = std::hypot(r[0], r[1]);
  const double rounding = image.cwiseAbs().maxCoeff() * 1e-14;
  if (!(scale > rounding)) {
    throw Error(ErrorCode::invalid_argument,
                "alignment: the five landmarks coincide, expected eyes, nose and mouth corners apart");
  }
  RowTransform inverse;
  inverse << r[0], -r[1], 0, r[1], r[0], 0, r[2], r[3], 1;
  RowTransform transform = inverse.inverse();
  transform.col(2) << 0, 0, 1;
  return transform;
}

double distance(const RowTransform& transform, const Points& image, const Points& target) {
  return (image.rowwise().homogeneous() * transform.leftCols<2>() - target).norm();
}

// Both candidates are measured against the mirrored template, as the published code does: it mirrors its
// template in place before it compares. Strong profiles come out mirrored for that.
RowTransform fit_published(const Points& image) {
  Points mirrored = crop_template();
  mirrored.col(0) *= -1;
  const RowTransform plain = fit(image, crop_template());
  RowTransform reflected = fit(image, mirrored);
  reflected.col(0) *= -1;
  return distance(plain, image, mirrored) <= distance(reflected, image, mirrored) ? plain : reflected;
}

}  // namespace

Transform alignment_transform(const std::array<Point, 5>& landmarks, Mode mode) {
  Points image;
  for (int i = 0; i < 5; ++i) image.row(i) << landmarks[i].x, landmarks[i].y;
  if (!image.allFinite()) {
    throw Error(ErrorCode::invalid_argument,
                "alignment: a landmark is not finite, expected five points in pixels");
  }
  const RowTransform transform = mode == Mode::reference ? fit_published(image) : fit(image, crop_template());
  Transform result;
  for (int row = 0; row < 2; ++row) {
    for (int column = 0; column < 3; ++column) result.m[row][column] = transform(column, row);
  }
  return result;
}

}  // namespace adaface
