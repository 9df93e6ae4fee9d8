#include "src/mtcnn/cascade.h"

#include <algorithm>
#include <cmath>

#include "src/runtime/log.h"

namespace adaface::mtcnn {
namespace {

// More packed pixels than this are given back after each picture.
constexpr std::size_t kKeptBytes = std::size_t{1} << 25;

Face to_face(const Candidate& c) {
  Face face{{static_cast<float>(c.x1), static_cast<float>(c.y1), static_cast<float>(c.x2),
             static_cast<float>(c.y2)},
            c.score,
            {}};
  for (std::size_t i = 0; i < 5; ++i) face.landmarks[i] = {c.landmarks[i], c.landmarks[i + 5]};
  return face;
}

}  // namespace

float face_probability(const float* logits) {
  // Softmax in float32, step by step: which scores saturate to the same value decides the order of
  // suppression.
  const float peak = std::max(logits[0], logits[1]);
  const auto other = static_cast<float>(std::exp(static_cast<double>(logits[0] - peak)));
  const auto face = static_cast<float>(std::exp(static_cast<double>(logits[1] - peak)));
  return face / (other + face);
}

std::vector<Candidate> next_boxes(const std::vector<Candidate>& candidates, double overlap_threshold) {
  std::vector<Candidate> boxes = suppress(candidates, overlap_threshold, Overlap::over_union);
  for (Candidate& c : boxes) {
    apply_offsets(c);
    make_square_and_round(c);
  }
  return boxes;
}

std::vector<Face> to_faces(std::vector<Candidate> candidates, double overlap_threshold) {
  // Landmarks are relative to the box before its own offsets; they follow their box through the suppression.
  for (Candidate& c : candidates) {
    for (std::size_t i = 0; i < 5; ++i) {
      c.landmarks[i] = static_cast<float>(c.x1 + c.width() * c.landmarks[i]);
      c.landmarks[i + 5] = static_cast<float>(c.y1 + c.height() * c.landmarks[i + 5]);
    }
    apply_offsets(c);
  }
  std::vector<Face> faces;
  for (const Candidate& c : suppress(candidates, overlap_threshold, Overlap::over_smaller))
    faces.push_back(to_face(c));
  return faces;
}

void Cascade::plan(Weights::State& weights) {
  nets = std::make_shared<const Nets>(weights.file);
  workers.resize(static_cast<std::size_t>(pool.threads()));
}

std::vector<Face> Cascade::detect(const ImageView& image, Trace* trace) {
  strips.look_at(image);
  const std::size_t pixels = static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height);
  if (pixels <= most_kept_pixels) {
    strips.keep();
    progress.stage(0, kPacked);
    progress.run(pool, strips.count(), [&](int strip, int) { strips.pack_kept(strip); });
  }
  std::vector<Candidate> candidates = next_boxes(propose(*this, image, trace), options.overlap_thresholds[0]);

  progress.stage(kProposed, kRefined);
  if (trace) trace->rnet_inputs = static_cast<int>(candidates.size());
  score(*this, image, nets->rnet, options.score_thresholds[1], candidates);
  candidates = next_boxes(candidates, options.overlap_thresholds[1]);

  progress.stage(kRefined, 1);
  if (trace) trace->onet_inputs = static_cast<int>(candidates.size());
  score(*this, image, nets->onet, options.score_thresholds[2], candidates);
  std::vector<Face> faces = to_faces(std::move(candidates), options.overlap_thresholds[2]);
  log::print(LogLevel::debug, image.width, "x", image.height, ": ", levels.size(), " levels, ", faces.size(),
             " faces");
  strips.shrink(kKeptBytes);
  progress.report(1);
  return faces;
}

}  // namespace adaface::mtcnn
