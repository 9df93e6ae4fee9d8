#include "src/mtcnn/cascade.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "src/mtcnn/nets.h"
#include "src/weights_state.h"

namespace adaface::mtcnn {
namespace {

// A box as whole pixels and what of it lies inside the image.
struct Crop {
  std::int64_t left, top, width, height;  // the box
  std::int64_t x1, y1, x2, y2;            // inside, inclusive

  bool whole() const { return x1 == left && y1 == top && x2 == left + width - 1 && y2 == top + height - 1; }
};

// False for a box without pixels inside the image, or one that only broken weights give: not finite, or more
// than twice as large as the image, which would have us fill a picture of mostly zeros.
bool to_crop(const Candidate& c, const ImageView& image, Crop& crop) {
  const double limit = 2.0 * std::max({image.width, image.height, 64});
  if (!(std::abs(c.x1) <= 2 * limit && std::abs(c.y1) <= 2 * limit)) return false;
  if (!(c.width() >= 1 && c.width() <= limit && c.height() >= 1 && c.height() <= limit)) return false;
  crop.left = static_cast<std::int64_t>(c.x1);
  crop.top = static_cast<std::int64_t>(c.y1);
  crop.width = static_cast<std::int64_t>(c.width());
  crop.height = static_cast<std::int64_t>(c.height());
  crop.x1 = std::max<std::int64_t>(crop.left, 0);
  crop.y1 = std::max<std::int64_t>(crop.top, 0);
  crop.x2 = std::min<std::int64_t>(crop.left + crop.width, image.width) - 1;
  crop.y2 = std::min<std::int64_t>(crop.top + crop.height, image.height) - 1;
  return crop.x1 <= crop.x2 && crop.y1 <= crop.y2;
}

// The box's pixels, zero outside the image, resized to the net's input.
void fill_input(Worker& worker, const ImageView& image, const Crop& crop, int size, float* planes) {
  ImageView view{image.data + crop.y1 * image.stride + 3 * crop.x1, static_cast<int>(crop.width),
                 static_cast<int>(crop.height), image.stride, image.order};
  if (!crop.whole()) {
    const std::size_t stride = 3 * static_cast<std::size_t>(crop.width);
    worker.pixels.assign(stride * static_cast<std::size_t>(crop.height), 0);
    for (std::int64_t y = crop.y1; y <= crop.y2; ++y)
      std::memcpy(worker.pixels.data() + static_cast<std::size_t>(y - crop.top) * stride +
                      3 * static_cast<std::size_t>(crop.x1 - crop.left),
                  image.data + y * image.stride + 3 * crop.x1,
                  3 * static_cast<std::size_t>(crop.x2 - crop.x1 + 1));
    view.data = worker.pixels.data();
    view.stride = static_cast<std::ptrdiff_t>(stride);
  }
  worker.resized.resize(3 * static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
  worker.resizer.resize(view, size, size, worker.resized.data());
  fill_planes(worker.resized.data(), 3 * size, size, size, size, size, planes);
}

// Scores every candidate with R-Net or O-Net and keeps those above `threshold`, in order. As published, the
// box stays clipped to the image from here on, although the net saw the padded square.
void score(Cascade& cascade, const ImageView& image, std::unique_ptr<nn::Session> Worker::*net, int size,
           float threshold, std::vector<Candidate>& candidates) {
  std::erase_if(candidates, [&](const Candidate& c) {
    Crop crop;
    return !to_crop(c, image, crop);
  });
  cascade.pool.run(static_cast<int>(candidates.size()), [&](int i, int w) {
    Worker& worker = cascade.worker(w);
    Candidate& c = candidates[static_cast<std::size_t>(i)];
    nn::Session& session = *(worker.*net);
    Crop crop;
    to_crop(c, image, crop);
    fill_input(worker, image, crop, size, session.input());
    session.run();
    const float* output = session.output();
    c.x1 = static_cast<double>(crop.x1);
    c.y1 = static_cast<double>(crop.y1);
    c.x2 = static_cast<double>(crop.x2);
    c.y2 = static_cast<double>(crop.y2);
    c.score = face_probability(output);
    std::copy_n(output + 2, 4, c.offsets.begin());
    if (net == &Worker::onet) std::copy_n(output + 6, 10, c.landmarks.begin());
  });
  std::erase_if(candidates, [&](const Candidate& c) { return !(c.score > threshold); });
}

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

void fill_planes(const std::uint8_t* rgb, std::ptrdiff_t stride, int width, int height, int plane_width,
                 int plane_height, float* planes) {
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(plane_width) * plane_height;
  for (int y = 0; y < height; ++y, rgb += stride) {
    float* row = planes + static_cast<std::ptrdiff_t>(y) * plane_width;
    for (int x = 0; x < width; ++x)
      for (int channel = 0; channel < 3; ++channel)
        row[channel * plane + x] = (static_cast<float>(rgb[3 * x + channel]) - 127.5f) * 0.0078125f;
  }
}

void Cascade::plan(Weights::State& weights) {
  std::array<std::shared_ptr<const nn::Plan>, kTileCells.size()> pnet;
  for (std::size_t i = 0; i < pnet.size(); ++i) {
    const int cells = kTileCells[i];
    pnet[i] =
        weights.plan("pnet " + std::to_string(cells), {}, [&] { return describe_pnet(weights.file, cells); });
  }
  const auto rnet = weights.plan("rnet", {}, [&] { return describe_rnet(weights.file); });
  const auto onet = weights.plan("onet", {}, [&] { return describe_onet(weights.file); });
  make_worker = [=] {
    Worker worker;
    for (std::size_t i = 0; i < pnet.size(); ++i) worker.pnet[i] = pnet[i]->create_session();
    worker.rnet = rnet->create_session();
    worker.onet = onet->create_session();
    return worker;
  };
  workers.resize(static_cast<std::size_t>(pool.threads()));
  worker(0);
}

Worker& Cascade::worker(int index) {
  std::optional<Worker>& worker = workers[static_cast<std::size_t>(index)];
  if (!worker) worker = make_worker();
  return *worker;
}

std::vector<Face> Cascade::detect(const ImageView& image, Trace* trace) {
  std::vector<Candidate> candidates = propose(*this, image, trace);
  candidates = suppress(candidates, options.overlap_thresholds[0], Overlap::over_union);
  for (Candidate& c : candidates) {
    apply_offsets(c);
    make_square_and_round(c);
  }

  if (trace) trace->rnet_inputs = static_cast<int>(candidates.size());
  score(*this, image, &Worker::rnet, kRnetSize, options.score_thresholds[1], candidates);
  candidates = suppress(candidates, options.overlap_thresholds[1], Overlap::over_union);
  for (Candidate& c : candidates) {
    apply_offsets(c);
    make_square_and_round(c);
  }

  if (trace) trace->onet_inputs = static_cast<int>(candidates.size());
  score(*this, image, &Worker::onet, kOnetSize, options.score_thresholds[2], candidates);
  // Landmarks are relative to the box before its own offsets; they follow their box through the suppression.
  std::vector<Face> faces;
  for (Candidate& c : candidates) {
    for (std::size_t i = 0; i < 5; ++i) {
      c.landmarks[i] = static_cast<float>(c.x1 + c.width() * c.landmarks[i]);
      c.landmarks[i + 5] = static_cast<float>(c.y1 + c.height() * c.landmarks[i + 5]);
    }
    apply_offsets(c);
  }
  for (const Candidate& c : suppress(candidates, options.overlap_thresholds[2], Overlap::over_smaller))
    faces.push_back(to_face(c));
  return faces;
}

}  // namespace adaface::mtcnn
