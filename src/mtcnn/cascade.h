// From an image to faces: pyramid and P-Net propose, R-Net refines, O-Net decides and places landmarks.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "src/adaface.hpp"
#include "src/image/resize.h"
#include "src/mtcnn/boxes.h"
#include "src/nn/plan.h"
#include "src/nn/thread_pool.h"

namespace adaface::mtcnn {

// Cells on a side of the tiles that a pyramid level is cut into: one plan each, whatever the size of the
// image. The large tile's widest activation, 16 channels of 104x104, still lies in a second-level cache of 1
// MiB.
inline constexpr std::array<int, 2> kTileCells = {48, 16};

// What one thread works with.
struct Worker {
  std::array<std::unique_ptr<nn::Session>, kTileCells.size()> pnet;
  std::unique_ptr<nn::Session> rnet, onet;
  Resizer resizer;
  std::vector<std::uint8_t> pixels;  // a candidate's crop, padded
  std::vector<std::uint8_t> resized;
  std::vector<float> band;  // P-Net outputs of one row of tiles
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
  std::function<Worker()> make_worker;
  std::vector<std::optional<Worker>> workers;  // one for each thread of the pool

  // Plans the nets and makes the first worker; the others are made by their threads when they first have
  // work: most pictures keep few of many threads busy.
  void plan(Weights::State& weights);
  Worker& worker(int index);

  // `trace` may be null.
  std::vector<Face> detect(const ImageView& image, Trace* trace);
};

// Scales of the pyramid for an image, the largest first.
std::vector<double> pyramid_scales(int width, int height, const DetectorOptions& options);

// P-Net over the whole pyramid: boxes after suppression within each level, not yet across levels.
std::vector<Candidate> propose(Cascade& cascade, const ImageView& image, Trace* trace);

// Planes of (v - 127.5) / 128 from packed RGB rows.
void fill_planes(const std::uint8_t* rgb, std::ptrdiff_t stride, int width, int height, int plane_width,
                 int plane_height, float* planes);

// Probability of the second of two logits.
float face_probability(const float* logits);

}  // namespace adaface::mtcnn
