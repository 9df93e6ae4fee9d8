#include "kernels/x86/vector_avx2.h"
#include "kernels/x86/winograd_version.h"
#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {

const WinogradKernels kWinogradAvx2 = kVersion;

}  // namespace adaface::kernels::x86
