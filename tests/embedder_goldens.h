// What the tests of embeddings on a CPU and on a device have in common: networks of made-up weights, and
// goldens.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "src/adaface.hpp"
#include "tests/golden.h"
#include "tests/synthetic_weights.h"

namespace adaface::testing {

// Written once for each program.
inline std::filesystem::path network(weights::Architecture architecture) {
  static const Scratch scratch("embedder-goldens");
  const std::filesystem::path path = scratch.path / (std::string(weights::to_string(architecture)) + ".afw");
  if (!std::filesystem::exists(path)) write_weights(architecture, path);
  return path;
}

// To what was computed in double, of any length.
inline double cosine(const Embedding& a, const std::vector<double>& expected) {
  double dot = 0, square = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    dot += a.unit[i] * expected[i];
    square += expected[i] * expected[i];
  }
  return dot / std::sqrt(square);
}

}  // namespace adaface::testing
