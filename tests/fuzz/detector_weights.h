// Weights of the detector for targets that detect: MTCNN's own where ../shared is, else made-up ones, which
// find faces everywhere.
#pragma once

#include <cstdlib>
#include <filesystem>

#include "src/adaface.hpp"
#include "tests/fuzz/scratch_file.h"
#include "tools/convert/convert.h"
#include "tools/synthetic/weight_file.h"

namespace adaface::fuzz {

inline void write_detector_weights(const std::filesystem::path& file) {
  namespace fs = std::filesystem;
  const char* elsewhere = std::getenv("ADAFACE_SHARED");
  const fs::path shared = elsewhere ? fs::path(elsewhere) : fs::path(ADAFACE_SOURCE_ROOT) / ".." / "shared",
                 nets = shared / "weights" / "mtcnn";
  if (fs::exists(nets))
    checkpoint::convert_mtcnn({nets / "pnet.npy", nets / "rnet.npy", nets / "onet.npy"}, file);
  else
    synthetic::write_weights(weights::Architecture::mtcnn, file);
}

inline Weights detector_weights() {
  const ScratchFile file("mtcnn");
  write_detector_weights(file.path());
  return Weights::load(file.path());  // mapped: the name is no longer needed
}

}  // namespace adaface::fuzz
