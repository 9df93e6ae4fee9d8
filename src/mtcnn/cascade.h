// From an image to faces: pyramid and P-Net propose, R-Net refines, O-Net decides and places landmarks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "src/adaface.hpp"
#include "src/image/resize.h"
#include "src/mtcnn/boxes.h"
#include "src/mtcnn/nets.h"
#include "src/nn/progress.h"
#include "src/nn/thread_pool.h"
#include "src/weights_state.h"

namespace adaface::mtcnn {

struct Nets {
  explicit Nets(const weights::AfwFile& file)
      : pnet(file), rnet(CandidateNet::rnet(file)), onet(CandidateNet::onet(file)) {}
  Pnet pnet;
  CandidateNet rnet, onet;
};

// What one thread works with.
struct Worker {
  ResizeScratch resize;
  Buffer<float> pnet;  // scratch of the kernel
  Buffer<float> band;  // P-Net outputs of a band of rows
  Buffer<float> rows;  // and of some of them
  PlaneResizer crop;
  Buffer<std::uint8_t> pixels;      // a candidate's planes
  Buffer<float> input;              // and what the net sees of it
  Buffer<float> features, outputs;  // of some candidates
  CandidateNet::Scratch net;
};

// A level of the pyramid; tables and memory are kept from one picture to the next.
struct Level {
  double scale = 0;
  int width = 0, height = 0;  // of the resized image
  int rows = 0, columns = 0;  // of cells
  std::ptrdiff_t pitch = 0;   // bytes of a row of one plane; rows of the three planes alternate
  PlaneResizer resizer;
  ResizeBand resize_bands[3];  // of the three planes
  Buffer<std::uint8_t> pixels;
  std::vector<std::vector<Candidate>> bands;  // from the top
};

// How many boxes came through each stage.
struct Trace {
  std::vector<std::pair<double, int>>
      levels;  // scale; boxes above the threshold, after suppression within the level
  int rnet_inputs = 0;
  int onet_inputs = 0;
};

// Everything that the stages share for one detector.
struct Cascade {
  DetectorOptions options;
  nn::ThreadPool& pool;
  nn::Progress progress{};
  std::shared_ptr<const Nets> nets;
  std::vector<Worker> workers;  // one for each thread of the pool
  std::vector<Level> levels{};
  PackedStrips strips{};  // of the image that is being looked at
  // Of larger pictures the packed form is not held, but made again for each thread.
  std::size_t most_kept_pixels = std::size_t{1} << 25;

  // Reads the nets.
  void plan(Weights::State& weights);

  // `trace` may be null.
  std::vector<Face> detect(const ImageView& image, Trace* trace);
};

// Shares of the time that a photograph of a megapixel takes: where its progress stands when it is packed,
// when P-Net has proposed, when R-Net has refined.
inline constexpr double kPacked = 0.05, kProposed = 0.75, kRefined = 0.95;

// Suppression within a level of the pyramid.
inline constexpr double kLevelOverlap = 0.5;

// Scales of the pyramid for an image, the largest first.
std::vector<double> pyramid_scales(int width, int height, const DetectorOptions& options);

// Differences of P-Net's logits up to which a cell cannot pass the threshold.
float least_difference(const DetectorOptions& options);

// The window that a cell of P-Net has seen, without offsets.
Candidate make_candidate(double scale, int row, int column, float score);

// P-Net over the whole pyramid: boxes after suppression within each level, not yet across levels.
std::vector<Candidate> propose(Cascade& cascade, const ImageView& image, Trace* trace);

// Scores every candidate with R-Net or O-Net and keeps those above `threshold`, in order. As published, the
// box stays clipped to the image from here on, although the net saw the padded square.
void score(Cascade& cascade, const ImageView& image, const CandidateNet& net, float threshold,
           std::vector<Candidate>& candidates);

// A box as whole pixels and what of it lies inside the image.
struct Crop {
  std::int64_t left, top, width, height;  // the box
  std::int64_t x1, y1, x2, y2;            // inside, inclusive
};

// False for a box without pixels inside the image, or one that only broken weights give: not finite, or more
// than twice as large as the image.
bool to_crop(const Candidate& candidate, int image_width, int image_height, Crop& crop);

// The box inside the image, and what a net that has seen the crop makes of it: logits, offsets, and where
// there are 16 `outputs` landmarks.
void decide(Candidate& candidate, const Crop& crop, const float* outputs, std::size_t count);

// What the next net looks at: those left by the suppression, moved by their offsets, as squares of whole
// pixels.
std::vector<Candidate> next_boxes(const std::vector<Candidate>& candidates, double overlap_threshold);
// O-Net's: landmarks and boxes in pixels, then the last suppression.
std::vector<Face> to_faces(std::vector<Candidate> candidates, double overlap_threshold);

// Probability of the second of two logits.
float face_probability(const float* logits);

}  // namespace adaface::mtcnn
