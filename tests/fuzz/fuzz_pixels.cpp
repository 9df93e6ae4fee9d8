// Views, landmarks and options that a caller may get wrong, over pixels that end where the view says:
// detection, alignment, resizing and encoding refuse them with invalid_argument, or stay inside the pixels.
#include <optional>
#include <vector>

#include "tests/fuzz/detection.h"
#include "tests/fuzz/detector_weights.h"
#include "tests/fuzz/input.h"

namespace {

using namespace adaface;

// Pixels that one run may look at.
constexpr std::int64_t kMaxPixels = 1 << 13;
constexpr int kMaxSide = 65535;

int side(fuzz::Input& input) {
  static constexpr int kBreaking[] = {0, -1, 1, 2, 3, kMaxSide, kMaxSide + 1, 1 << 30, INT32_MAX, INT32_MIN};
  const auto kind = input.take<std::uint8_t>();
  return kind < 32 ? kBreaking[kind % std::size(kBreaking)] : input.take<std::uint8_t>();
}

// A view that keeps the contract lies in exactly as many bytes as the contract says; of another not one may
// be read.
struct Picture {
  ImageView view;
  std::vector<std::uint8_t> pixels;

  explicit Picture(fuzz::Input& input) {
    view.width = side(input);
    view.height = side(input);
    static constexpr std::ptrdiff_t kStrides[] = {0, 0, 0, 1, 64, -1, -3, PTRDIFF_MIN, PTRDIFF_MAX};
    const std::ptrdiff_t packed = 3 * static_cast<std::ptrdiff_t>(view.width), more = input.one_of(kStrides);
    view.stride = more > 64 || more < -64 ? more : packed + more;
    view.order = (input.take<std::uint8_t>() & 1) != 0 ? ChannelOrder::bgr : ChannelOrder::rgb;
    const bool valid = view.width >= 1 && view.height >= 1 && view.width <= kMaxSide &&
                       view.height <= kMaxSide && view.stride >= packed;
    if (!valid) {
      pixels.resize(1);
    } else {
      // One row needs no stride; of several, the stride is one that memory has room for.
      if (view.height > 1 && more > 64) view.stride = packed + 64;
      if (std::int64_t{view.width} * view.height > kMaxPixels)
        view.height = static_cast<int>(std::max<std::int64_t>(1, kMaxPixels / view.width));
      pixels.resize(
          static_cast<std::size_t>((view.height - 1) * (view.height > 1 ? view.stride : 0) + packed));
    }
    std::uint32_t state = input.take<std::uint32_t>();
    const std::span<const std::uint8_t> given = input.rest();
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      state = state * 1664525u + 1013904223u;
      pixels[i] = given.empty() ? static_cast<std::uint8_t>(state >> 24) : given[i % given.size()];
    }
    view.data = pixels.data();
  }
};

template <typename F>
void refused_or_done(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_argument) std::abort();
  }
}

DetectorOptions options_of(fuzz::Input& input) {
  DetectorOptions options{.threads = 1};
  static constexpr double kMinFace[] = {12, 20, 40, 11.9, 0, -1, 65535, 1e300, NAN, INFINITY};
  static constexpr double kFactor[] = {0.85, 0.5, 0.9, 1e-300, 0, 1, -1, NAN, INFINITY};
  static constexpr float kScore[] = {0.6f, 0.9f, 0.0f, 0.999999f, 1, -1, NAN, INFINITY};
  static constexpr double kOverlap[] = {0.7, 1, 1e-300, 0, 2, -1, NAN};
  options.mode = (input.take<std::uint8_t>() & 1) != 0 ? Mode::reference : Mode::standard;
  options.min_face = input.one_of(kMinFace);
  options.pyramid_factor = input.one_of(kFactor);
  options.score_thresholds[2] = input.one_of(kScore);
  options.overlap_thresholds[2] = input.one_of(kOverlap);
  return options;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Weights weights = fuzz::detector_weights();
  static std::optional<Detector> detectors[2];
  fuzz::Input input(data, size);
  const auto what = input.take<std::uint8_t>();
  const DetectorOptions options = options_of(input);
  std::array<Point, 5> landmarks;
  for (Point& point : landmarks) point = {input.coordinate(), input.coordinate()};
  if ((what & 1) != 0) landmarks.fill(landmarks[0]);
  const int width = side(input), height = side(input), quality = input.take<std::int8_t>();
  const Picture picture(input);

  refused_or_done([&] {
    for (const auto& row : alignment_transform(landmarks, options.mode).m)
      for (double value : row)
        if (!std::isfinite(value)) std::abort();
  });
  refused_or_done([&] { align_face(picture.view, landmarks, options.mode); });
  refused_or_done([&] {
    // To pack the weights takes far longer than to look at a picture: once for the usual options.
    if ((what & 0x18) != 0) {
      const DetectorOptions usual{.mode = options.mode, .threads = 1};
      std::optional<Detector>& detector = detectors[usual.mode == Mode::reference];
      if (!detector) detector.emplace(weights, usual);
      fuzz::detect_and_align(*detector, picture.view, usual);
    } else {
      Detector detector(weights, options);
      fuzz::detect_and_align(detector, picture.view, options);
    }
  });
  // A result of 65535 x 65535 pixels is allowed, and takes minutes.
  if (std::int64_t{width} * height <= kMaxPixels)
    refused_or_done([&] { resize_image(picture.view, width, height); });
  if ((what & 2) != 0) refused_or_done([&] { encode_jpeg(picture.view, quality); });
  if ((what & 4) != 0) refused_or_done([&] { encode_png(picture.view); });
  return 0;
}
