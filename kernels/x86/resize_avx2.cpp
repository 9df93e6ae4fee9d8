#include "kernels/x86/resize_body.h"
#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {

void resize_across_avx2(const ResizeAxis& axis, const std::uint8_t* src, int first_row, int last_row,
                        std::uint8_t* dst, std::ptrdiff_t dst_stride) {
  across(axis, src, first_row, last_row, dst, dst_stride);
}

void resize_down_avx2(const ResizeGroup* groups, int count, const std::uint8_t* src,
                      std::ptrdiff_t src_stride, int lanes, std::uint8_t* dst) {
  down(groups, count, src, src_stride, lanes, dst);
}

}  // namespace adaface::kernels::x86
