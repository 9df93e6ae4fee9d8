// A byte of options, then any bytes as an image file: decoded, its faces found and aligned.
#include <array>
#include <optional>

#include "tests/fuzz/detection.h"
#include "tests/fuzz/detector_weights.h"

namespace {

using namespace adaface;

// Pyramids of a few levels, of pictures of a few thousand pixels: a run takes milliseconds.
constexpr int kMaxSide = 96;

DetectorOptions options_of(unsigned choice) {
  DetectorOptions options{.threads = 1};
  if ((choice & 1) != 0) options.mode = Mode::reference;
  if ((choice & 2) != 0) options.min_face = 12;
  if ((choice & 4) != 0) options.pyramid_factor = 0.5;
  // More boxes than are faces, and hardly any that is dropped for another.
  if ((choice & 8) != 0) {
    options.score_thresholds = {0.4f, 0.2f, 0.0f};
    options.overlap_thresholds = {1, 1, 0.9};
  }
  return options;
}

// Made once: to pack the weights takes far longer than to look at a picture.
Detector& detector_of(unsigned choice) {
  static const Weights weights = fuzz::detector_weights();
  static std::array<std::optional<Detector>, 16> detectors;
  std::optional<Detector>& detector = detectors.at(choice);
  if (!detector) detector.emplace(weights, options_of(choice));
  return *detector;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned choice = data[0] % 16;
  try {
    const Image image = decode_image(std::as_bytes(std::span(data + 1, size - 1)), {.max_side = kMaxSide});
    fuzz::detect_and_align(detector_of(choice), image, options_of(choice));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt && error.code() != ErrorCode::unsupported &&
        error.code() != ErrorCode::limit)
      std::abort();
  }
  return 0;
}
