// A network to time where no weight file is at hand: times do not depend on what the weights say.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "src/adaface.hpp"
#include "tools/synthetic/weight_file.h"

namespace adaface::synthetic {

// The weights that a network's layers are part of; mtcnn for "pnet", "rnet" and "onet". Throws
// invalid_argument for a name that no network has.
inline weights::Architecture architecture_of(std::string_view network) {
  if (network == "pnet" || network == "rnet" || network == "onet") return weights::Architecture::mtcnn;
  if (const auto known = weights::architecture_from_string(network)) return *known;
  std::string names;
  for (const weights::Architecture each : weights::kEmbedders) names.append(to_string(each)).append(", ");
  throw Error(ErrorCode::invalid_argument,
              "network is " + std::string(network) + ", expected " + names + "pnet, rnet or onet");
}

// Made-up weights, in a file of the temporary directory that is gone when this returns: up to 261 MB.
inline Weights untrained(weights::Architecture architecture) {
  struct Temporary {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("adaface-untrained." + std::to_string(::getpid()) + ".afw");
    ~Temporary() {
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
    }
  } const file;
  write_weights(architecture, file.path);
  return Weights::load(file.path);
}

}  // namespace adaface::synthetic
