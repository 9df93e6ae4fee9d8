// Which slot of an arena holds which activation: a slot is free again after its value's last use.
#pragma once

#include <cstddef>
#include <vector>

#include "src/nn/network.h"

namespace adaface::nn {

struct Slots {
  std::vector<int> slot_of;             // of each value
  std::vector<std::size_t> slot_sizes;  // the largest value's
};

// `sizes`: of each value; values that nothing reads or writes need no slot. A residual sum takes the place of
// its summand, one with a stride has its own; throws internal where that is read again.
Slots assign_slots(const Network& network, const std::vector<std::size_t>& sizes);

}  // namespace adaface::nn
