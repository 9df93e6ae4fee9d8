// What a host loads at run time and unloads again: a picture from end to end, on the library's own threads.
#include <random>

#include "src/adaface.hpp"

extern "C" __attribute__((visibility("default"))) int use_adaface(const char* detector_file,
                                                                  const char* model_file) try {
  const adaface::Weights model = adaface::Weights::load(model_file),
                         detection = adaface::Weights::load(detector_file);
  adaface::DetectorOptions options;
  options.threads = 2;
  options.pyramid_factor = 0.5;
  options.score_thresholds = {0.5f, 0.2f, 0.2f};
  adaface::Detector detector(detection, options);
  adaface::Embedder embedder(model, {.threads = 2});
  adaface::Image image(64, 48);
  std::mt19937 random(411);
  for (int y = 0; y < image.height(); ++y)
    for (std::size_t x = 0; x < image.stride(); ++x) image.row(y)[x] = static_cast<std::uint8_t>(random());
  const auto faces = detector.detect(adaface::decode_image(adaface::encode_jpeg(image)));
  if (faces.empty()) return 1;
  const adaface::Image crop = adaface::align_face(image, faces.front().landmarks);
  try {
    embedder.embed(image);  // an exception passes through the library's frames
    return 2;
  } catch (const adaface::Error&) {
  }
  return embedder.embed(crop).norm > 0 ? 0 : 3;
} catch (...) {
  return 4;
}
