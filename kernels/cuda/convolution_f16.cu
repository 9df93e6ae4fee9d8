#include "kernels/cuda/convolution_kernel.h"

namespace adaface::kernels::cuda {

template Status with_warp_kernel<F16>(const ConvolutionTile&, const TileCall&);

}  // namespace adaface::kernels::cuda
