// For compute capability 9.0 alone.
#include "kernels/cuda/convolution_kernel.h"

namespace adaface::kernels::cuda {

template Status with_warpgroup_kernel<Bf16>(const ConvolutionTile&, const TileCall&);

}  // namespace adaface::kernels::cuda
