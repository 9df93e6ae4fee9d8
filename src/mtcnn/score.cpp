#include <algorithm>
#include <array>
#include <cmath>

#include "src/mtcnn/cascade.h"

namespace adaface::mtcnn {
namespace {

// Candidates that share one pass over the weights of a linear layer.
constexpr int kBatch = 24;

// The box's pixels, zero outside the image, resized to worker.input{size, size, 3}.
void fill_input(Worker& worker, const PackedStrips& strips, const Crop& crop, int size) {
  const std::ptrdiff_t pitch = size + kernels::kResizeLanes, plane = pitch * size;
  worker.pixels.resize(static_cast<std::size_t>(3 * plane));
  ResizeWindow window{static_cast<int>(crop.left), static_cast<int>(crop.top), static_cast<int>(crop.width),
                      static_cast<int>(crop.height)};
  const auto resize = [&](const PackedStrips& source) {
    worker.crop.prepare(source.view(), window, size, size);
    worker.crop.run(source, worker.pixels.data(), pitch, plane, worker.resize);
  };
  if (strips.kept()) {
    resize(strips);
  } else {
    // Of a large picture only what the box covers is packed.
    ImageView inside = strips.view();
    inside.data += crop.y1 * inside.stride + 3 * crop.x1;
    inside.width = static_cast<int>(crop.x2 - crop.x1 + 1);
    inside.height = static_cast<int>(crop.y2 - crop.y1 + 1);
    window.left -= static_cast<int>(crop.x1);
    window.top -= static_cast<int>(crop.y1);
    PackedStrips part;
    part.look_at(inside);
    resize(part);
  }
  worker.input.resize(3 * static_cast<std::size_t>(size) * static_cast<std::size_t>(size) +
                      kernels::kChannelBlock);
  float* input = worker.input.data();
  for (int y = 0; y < size; ++y) {
    const std::uint8_t* row = worker.pixels.data() + y * pitch;
    for (int x = 0; x < size; ++x)
      for (int c = 0; c < 3; ++c) *input++ = (static_cast<float>(row[c * plane + x]) - 127.5f) * 0.0078125f;
  }
}

void score_some(Worker& worker, const PackedStrips& strips, const CandidateNet& net,
                std::span<Candidate> candidates) {
  const auto features = static_cast<std::size_t>(net.features()),
             outputs = static_cast<std::size_t>(net.outputs());
  worker.features.resize(candidates.size() * features);
  worker.outputs.resize(candidates.size() * outputs);
  std::array<Crop, kBatch> crops{};
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    to_crop(candidates[i], strips.view().width, strips.view().height, crops[i]);
    fill_input(worker, strips, crops[i], net.size());
    net.extract(worker.input.data(), worker.features.data() + i * features, worker.net);
  }
  net.decide(worker.features.data(), static_cast<int>(candidates.size()), worker.outputs.data(), worker.net);
  for (std::size_t i = 0; i < candidates.size(); ++i)
    decide(candidates[i], crops[i], worker.outputs.data() + i * outputs, outputs);
}

}  // namespace

bool to_crop(const Candidate& c, int image_width, int image_height, Crop& crop) {
  const double limit = 2.0 * std::max({image_width, image_height, 64});
  if (!(std::abs(c.x1) <= 2 * limit && std::abs(c.y1) <= 2 * limit)) return false;
  if (!(c.width() >= 1 && c.width() <= limit && c.height() >= 1 && c.height() <= limit)) return false;
  crop.left = static_cast<std::int64_t>(c.x1);
  crop.top = static_cast<std::int64_t>(c.y1);
  crop.width = static_cast<std::int64_t>(c.width());
  crop.height = static_cast<std::int64_t>(c.height());
  crop.x1 = std::max<std::int64_t>(crop.left, 0);
  crop.y1 = std::max<std::int64_t>(crop.top, 0);
  crop.x2 = std::min<std::int64_t>(crop.left + crop.width, image_width) - 1;
  crop.y2 = std::min<std::int64_t>(crop.top + crop.height, image_height) - 1;
  return crop.x1 <= crop.x2 && crop.y1 <= crop.y2;
}

void decide(Candidate& c, const Crop& crop, const float* outputs, std::size_t count) {
  c.x1 = static_cast<double>(crop.x1);
  c.y1 = static_cast<double>(crop.y1);
  c.x2 = static_cast<double>(crop.x2);
  c.y2 = static_cast<double>(crop.y2);
  c.score = face_probability(outputs);
  std::copy_n(outputs + 2, 4, c.offsets.begin());
  if (count > 6) std::copy_n(outputs + 6, 10, c.landmarks.begin());
}

void score(Cascade& cascade, const ImageView& image, const CandidateNet& net, float threshold,
           std::vector<Candidate>& candidates) {
  std::erase_if(candidates, [&](const Candidate& c) {
    Crop crop;
    return !to_crop(c, image.width, image.height, crop);
  });
  const int count = static_cast<int>(candidates.size()), threads = cascade.pool.threads();
  const int batch = std::clamp((count + threads - 1) / threads, 1, kBatch);
  cascade.progress.run(cascade.pool, (count + batch - 1) / batch, [&](int i, int worker) {
    const int first = i * batch;
    score_some(cascade.workers[static_cast<std::size_t>(worker)], cascade.strips, net,
               std::span(candidates)
                   .subspan(static_cast<std::size_t>(first),
                            static_cast<std::size_t>(std::min(batch, count - first))));
  });
  std::erase_if(candidates, [&](const Candidate& c) { return !(c.score > threshold); });
}

}  // namespace adaface::mtcnn
