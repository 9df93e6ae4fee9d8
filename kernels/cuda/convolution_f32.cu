#include "kernels/cuda/convolution_kernel.h"

namespace adaface::kernels::cuda {

template Status with_warp_kernel<Tf32>(const ConvolutionTile&, const TileCall&);

}  // namespace adaface::kernels::cuda
