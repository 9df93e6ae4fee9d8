// Every kind of convolution of a network, alone, with every tile that there is a kernel for.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "bench/cuda/timing.h"
#include "bench/cuda/yardsticks.h"
#include "src/nn/cuda_plan.h"

namespace adaface::bench {

struct LayerOptions {
  int batch = 1;
  int samples = 9;
  std::string matching{};   // only layers whose name has this in it
  bool every_tile = false;  // printed, not only the chosen and the fastest
};

// Measured beforehand; 0: unknown.
struct DeviceLimits {
  double matrix_teraflops = 0, copy_gigabytes = 0;
};

// Prints a table, and gives `keep` its rows, one object for each tile of a kind of layer, as soon as that
// kind is done.
void time_layers(const nn::cuda::Plan& plan, const DeviceFacts& facts, const DeviceLimits& limits,
                 Cudnn* cudnn, const LayerOptions& options,
                 const std::function<void(const nlohmann::json& rows)>& keep);

}  // namespace adaface::bench
