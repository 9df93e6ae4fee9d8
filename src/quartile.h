// Quartiles of measured times.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace adaface {

// The value that `quarters` quarters (0 to 4) of the values, at least one, lie below: 2 is the median.
// Between two of them it interpolates linearly: the first of n is at 0, the last at 4, the others evenly
// between.
inline double quartile(std::vector<double> values, int quarters) {
  std::ranges::sort(values);
  const double place = static_cast<double>(values.size() - 1) * quarters / 4;
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return std::lerp(values[below], values[above], place - static_cast<double>(below));
}

}  // namespace adaface
