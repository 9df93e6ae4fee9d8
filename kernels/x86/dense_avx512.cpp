#include "kernels/x86/vector_avx512.h"

#include "kernels/x86/dense_version.h"
#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {

void dense_avx512(const float* src, const float* rows, int inputs, int outputs, const float* scale,
                  const float* bias, float* dst) {
  dense(src, rows, inputs, outputs, scale, bias, dst);
}

}  // namespace adaface::kernels::x86
