#include "kernels/x86/pnet_body.h"
#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {

void pnet_avx2(const PnetWeights& weights, const PnetPart& part, float* scratch) {
  run_pnet(weights, part, scratch);
}

}  // namespace adaface::kernels::x86
