// What `adaface bench --layers` prints.
#pragma once

#include "src/adaface.hpp"
#include "tools/adaface/bench_line.h"

namespace adaface::cli {

// What was run, the keys of every line; where; and what to compare with, or null. They throw UsageError where
// that has other layers, before they print anything.
struct LayerReport {
  Json run, context;
  const Against* against;
};

void print_layers(const LayerReport& report, const NetworkProfile& profile);
// One line a layer, and one of the whole.
void print_layers_json(const LayerReport& report, const NetworkProfile& profile);

// What columns, implementations and sums mean, for --help.
extern const char* const kLayerColumns;

}  // namespace adaface::cli
