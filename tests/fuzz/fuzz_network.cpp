// Weight files whose structure and checksums are right and whose values are not: eight bytes of options, then
// tensor, element and value of each change. A detector made of them finds sound faces or none.
#include <vector>

#include "tests/fuzz/detection.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/scratch_file.h"
#include "tools/synthetic/weight_file.h"

namespace {

using namespace adaface;

constexpr int kSide = 40;  // two levels of the pyramid

struct Change {
  std::uint16_t tensor;
  std::uint32_t element;
  float value;
};

Image noise(std::uint32_t state) {
  Image image(kSide, kSide);
  for (int y = 0; y < kSide; ++y)
    for (int i = 0; i < 3 * kSide; ++i) {
      state = state * 1664525u + 1013904223u;
      image.row(y)[i] = static_cast<std::uint8_t>(state >> 24);
    }
  return image;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<weights::TensorRow> table = [] {
    const auto rows = weights::tensor_table(weights::Architecture::mtcnn);
    return std::vector<weights::TensorRow>(rows.begin(), rows.end());
  }();
  fuzz::Input input(data, size);
  const DetectorOptions options{
      .mode = (input.take<std::uint8_t>() & 1) != 0 ? Mode::reference : Mode::standard,
      .min_face = 24,
      .pyramid_factor = 0.5,
      .score_thresholds = {0.9f, 0.5f, 0.0f},
      .threads = 1};
  const Image image = noise(input.take<std::uint32_t>());
  constexpr std::size_t kMaxChanges = 64;
  std::vector<Change> changes;
  while (!input.rest().empty() && changes.size() < kMaxChanges)
    changes.push_back({input.take<std::uint16_t>(), input.take<std::uint32_t>(), input.coordinate()});

  static const fuzz::ScratchFile file("network");
  try {
    std::size_t tensor = 0;
    synthetic::write_weights(weights::Architecture::mtcnn, file.path(), weights::DataType::f32,
                             [&](const weights::TensorRow&, std::vector<float>& values) {
                               for (const Change& change : changes)
                                 if (change.tensor % table.size() == tensor)
                                   values[change.element % values.size()] = change.value;
                               ++tensor;
                             });
    Detector detector(Weights::load(file.path()), options);
    fuzz::detect_and_align(detector, image, options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt) std::abort();  // NaN, infinity
  }
  return 0;
}
