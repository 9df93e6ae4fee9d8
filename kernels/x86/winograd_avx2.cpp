#include "kernels/x86/vector_avx2.h"
#include "kernels/x86/winograd_version.h"
#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {
namespace {

void input(const WinogradInput& shape, const float* src, float* v, float* scratch) {
  transform_image(shape, src, v, scratch);
}

}  // namespace

const WinogradKernels kWinogradAvx2 = {.block = kBlock,
                                       .panel = kBlock * Vector::kPanel,
                                       .weights = weights,
                                       .input = input,
                                       .multiply = multiply,
                                       .output = output,
                                       .input_bf16 = nullptr,
                                       .multiply_bf16 = nullptr};

}  // namespace adaface::kernels::x86
