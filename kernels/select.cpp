#include "kernels/kernels.h"
#include "kernels/reference/reference.h"

namespace adaface::kernels {

const Kernels& definitions() {
  static constexpr Kernels kTable = {
      .resize_row = reference::resize_row,
      .resize_column = reference::resize_column,
      .warp_affine = reference::warp_affine,
      .scale_shift = reference::scale_shift,
      .prelu = reference::prelu,
      .linear = reference::linear,
      .subsample = reference::subsample,
      .max_pool = reference::max_pool,
      .global_average = reference::global_average,
      .gate_add = reference::gate_add,
  };
  return kTable;
}

const Kernels& select() {
  return definitions();
}

}  // namespace adaface::kernels
