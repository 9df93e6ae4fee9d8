// What a detection promises, whatever the pixels: aborts where it is not so. Then each face is aligned.
#pragma once

#include <cmath>
#include <cstdlib>

#include "src/adaface.hpp"

namespace adaface::fuzz {

inline void detect_and_align(Detector& detector, const ImageView& image, const DetectorOptions& options) {
  float last = 1;
  for (const Face& face : detector.detect(image)) {
    if (!(face.score > options.score_thresholds[2] && face.score <= last)) std::abort();
    last = face.score;
    const Box& box = face.box;
    for (float value : {box.x1, box.y1, box.x2, box.y2})
      if (!std::isfinite(value)) std::abort();
    for (const Point& point : face.landmarks)
      if (!std::isfinite(point.x) || !std::isfinite(point.y)) std::abort();
    try {
      const Image crop = align_face(image, face.landmarks, options.mode);
      if (crop.width() != kCropSize || crop.height() != kCropSize) std::abort();
    } catch (const Error& error) {
      // Of made-up weights; five points that coincide.
      if (error.code() != ErrorCode::invalid_argument) std::abort();
    }
  }
}

}  // namespace adaface::fuzz
