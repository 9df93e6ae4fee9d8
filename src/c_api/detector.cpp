#include "src/c_api/status.h"

using namespace adaface;

namespace adaface::c_api {
namespace {

adaface_detector_options default_detector_options() {
  const DetectorOptions defaults;
  adaface_detector_options options{sizeof(adaface_detector_options),
                                   static_cast<int32_t>(defaults.mode),
                                   defaults.threads,
                                   defaults.min_face,
                                   defaults.pyramid_factor,
                                   {},
                                   {},
                                   static_cast<int32_t>(defaults.device.kind),
                                   defaults.device.index};
  std::copy_n(defaults.score_thresholds.begin(), 3, options.score_thresholds);
  std::copy_n(defaults.overlap_thresholds.begin(), 3, options.overlap_thresholds);
  return options;
}

}  // namespace

DetectorOptions detector_options(const adaface_detector_options* options) {
  const adaface_detector_options known =
      read_options(options, default_detector_options(), offsetof(adaface_detector_options, device),
                   "detector options", "call adaface_detector_options_init first");
  DetectorOptions result{.mode = enumerator(known.mode, Mode::reference, "mode"),
                         .min_face = known.min_face,
                         .pyramid_factor = known.pyramid_factor,
                         .threads = known.threads,
                         .device = device_of(known.device, known.device_index)};
  std::copy_n(known.score_thresholds, 3, result.score_thresholds.begin());
  std::copy_n(known.overlap_thresholds, 3, result.overlap_thresholds.begin());
  return result;
}

std::array<Point, 5> points_of(const float landmarks[5][2]) {
  required(landmarks, "landmarks");
  std::array<Point, 5> points;
  for (std::size_t i = 0; i < points.size(); ++i) points[i] = {landmarks[i][0], landmarks[i][1]};
  return points;
}

void write_face(const Face& face, adaface_face& to) {
  to = {{face.box.x1, face.box.y1, face.box.x2, face.box.y2}, face.score, {}};
  for (std::size_t i = 0; i < face.landmarks.size(); ++i) {
    to.landmarks[i][0] = face.landmarks[i].x;
    to.landmarks[i][1] = face.landmarks[i].y;
  }
}

ProgressFunction progress_function(adaface_progress function, void* user) {
  if (!function) return {};
  return [function, user](double done) { return function(user, done) == 0; };
}

}  // namespace adaface::c_api

extern "C" {

void adaface_detector_options_init(adaface_detector_options* options, size_t size) {
  c_api::init_options(options, size, c_api::default_detector_options());
}

adaface_status adaface_detector_create(const adaface_weights* weights,
                                       const adaface_detector_options* options, adaface_detector** detector) {
  return c_api::guarded([&] {
    c_api::required(detector, "detector");
    *detector = new adaface_detector{
        Detector(c_api::required(weights, "weights").weights, c_api::detector_options(options))};
  });
}

void adaface_detector_free(adaface_detector* detector) {
  delete detector;
}

adaface_status adaface_detector_set_progress(adaface_detector* detector, adaface_progress function,
                                             void* user) {
  return c_api::guarded([&] {
    c_api::required(detector, "detector").detector.on_progress(c_api::progress_function(function, user));
  });
}

adaface_status adaface_detect(adaface_detector* detector, const adaface_image_view* image,
                              adaface_face* faces, size_t capacity, size_t* count) {
  return c_api::guarded([&] {
    c_api::required(count, "count");
    if (capacity > 0) c_api::required(faces, "faces");
    const std::vector<Face> found =
        c_api::required(detector, "detector").detector.detect(c_api::view_of(image, "image"));
    for (std::size_t i = 0; i < std::min(capacity, found.size()); ++i) c_api::write_face(found[i], faces[i]);
    *count = found.size();
  });
}

adaface_status adaface_alignment_transform(const float landmarks[5][2], adaface_mode mode, double m[2][3]) {
  return c_api::guarded([&] {
    c_api::required(m, "m");
    const Transform transform =
        alignment_transform(c_api::points_of(landmarks), c_api::enumerator(mode, Mode::reference, "mode"));
    for (std::size_t row = 0; row < 2; ++row) std::copy_n(transform.m[row].begin(), 3, m[row]);
  });
}

adaface_status adaface_align(const adaface_image_view* image, const float landmarks[5][2], adaface_mode mode,
                             uint8_t crop[ADAFACE_CROP_BYTES]) {
  static_assert(kCropSize == ADAFACE_CROP_SIZE);
  return c_api::guarded([&] {
    c_api::required(crop, "crop");
    const Image aligned = align_face(c_api::view_of(image, "image"), c_api::points_of(landmarks),
                                     c_api::enumerator(mode, Mode::reference, "mode"));
    std::memcpy(crop, aligned.row(0), ADAFACE_CROP_BYTES);
  });
}

}  // extern "C"
