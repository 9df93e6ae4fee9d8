// Kernels of kernels.h for instruction sets above the baseline; the caller knows that the CPU has them.
#pragma once

namespace adaface::kernels::x86 {

double multiply_adds_avx2(int rounds);
double multiply_adds_avx512(int rounds);

}  // namespace adaface::kernels::x86
