// Photographs through the whole engine, on a device and on all of the CPU.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "src/adaface.hpp"

namespace adaface::bench {

struct PictureOptions {
  std::vector<std::filesystem::path> files{};
  int count = 64;  // pictures in a round: the files in turn, again and again
  int rounds = 5;
  // After these no round begins that would take longer, except the first; the device's are short, and go on
  // where the CPU's no longer fit.
  double seconds = 1e9;
  std::vector<int> threads{1, 2, 4, 8};  // of the host, each with an engine of its own on the device
  Device device{};
  Precision precision = Precision::f16;  // on the device
};

// Prints and returns the rounds, the ratio of the fastest ways, and where one picture's time goes. Where the
// device cannot detect, that is said, and detection on the CPU with embedding on the device takes its place.
// `keep` is given what is known after each round.
nlohmann::json time_pictures(const Weights& model, const Weights& detector, const PictureOptions& options,
                             const std::function<void(const nlohmann::json&)>& keep);

}  // namespace adaface::bench
