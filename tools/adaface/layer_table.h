// What `adaface bench --layers` prints.
#pragma once

#include <string>

#include "src/adaface.hpp"

namespace adaface::cli {

void print_layers(const std::string& network, const NetworkProfile& profile);
// One line a layer, and one of the whole.
void print_layers_json(const std::string& network, const NetworkProfile& profile);

// What the columns mean, for --help.
extern const char* const kLayerColumns;

}  // namespace adaface::cli
