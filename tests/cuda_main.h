// The main function of tests that need a CUDA device. They are built twice: for devices, where they are
// skipped when there is none, and with the emulation of tests/cuda_emulation, which is one.
#pragma once

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "src/adaface.hpp"
#include "src/nn/cuda_backend.h"

inline constexpr int kSkipped = 77;

// A thousand times slower, and of any compute capability.
inline bool is_emulated() {
  return adaface::cuda_devices().at(0).name == "emulated device";
}

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what was found is there, whatever ends the program
  std::string reason;
  const auto devices = adaface::nn::cuda_device_list(&reason);
  if (devices.empty()) {
    std::printf("skipped: %s\n", reason.c_str());
    return kSkipped;
  }
  std::printf("on %s, compute capability %d.%d\n", devices[0].name.c_str(), devices[0].compute_major,
              devices[0].compute_minor);
  return doctest::Context(argc, argv).run();
}
