// MTCNN's published weights, converted.
#pragma once

#include <filesystem>

#include "tests/golden.h"
#include "tools/convert/convert.h"

namespace adaface::testing {

// Written once for each program; empty, after saying so, without ../shared.
inline std::filesystem::path published_detector() {
  static const Scratch scratch("published-detector");
  const std::filesystem::path folder = shared_directory() / "weights" / "mtcnn",
                              path = scratch.path / "mtcnn.afw";
  if (!have(folder)) return {};
  if (!std::filesystem::exists(path))
    checkpoint::convert_mtcnn({folder / "pnet.npy", folder / "rnet.npy", folder / "onet.npy"}, path);
  return path;
}

}  // namespace adaface::testing
