// A launch for many pieces of different sizes: each entry of a table knows the first of its blocks. For
// kernels only.
#pragma once

namespace adaface::kernels::cuda {

// The last of `count` >= 1 entries that begins at `block` or before it; first(entry) never falls.
template <typename Entry, typename First>
__device__ const Entry& entry_of(const Entry* table, int count, unsigned block, First first) {
  int low = 0, high = count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first(table[middle]) <= block)
      low = middle;
    else
      high = middle;
  }
  return table[low];
}

}  // namespace adaface::kernels::cuda
