// The smallest networks there are, untrained, and pictures for them: for tests of what happens around a run.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "src/adaface.hpp"
#include "tests/golden.h"
#include "tests/noise.h"
#include "tests/synthetic_weights.h"

namespace adaface::testing {

// Written once for each program.
struct SmallModels {
  Scratch scratch{"small-models"};
  std::filesystem::path detector = scratch.path / "mtcnn.afw", embedder = scratch.path / "ir_18.afw";

  SmallModels() {
    write_weights(weights::Architecture::mtcnn, detector);
    write_weights(weights::Architecture::ir_18, embedder);
  }
};

inline const SmallModels& small_models() {
  static const SmallModels models;
  return models;
}

// Untrained networks find every place alike: with these thresholds some candidates come through each stage.
inline DetectorOptions small_detection(int threads) {
  DetectorOptions options;
  options.threads = threads;
  options.pyramid_factor = 0.5;
  options.score_thresholds = {0.5f, 0.2f, 0.2f};
  return options;
}

inline bool same_bits(const std::vector<Face>& a, const std::vector<Face>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(Face)) == 0;
}
inline bool same_bits(const Embedding& a, const Embedding& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace adaface::testing
