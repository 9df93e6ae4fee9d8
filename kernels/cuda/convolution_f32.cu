#include "kernels/cuda/convolution_kernel.h"

namespace adaface::kernels::cuda {

template Status launch_warps<Tf32>(const ConvolutionTile&, const ConvolutionArguments*, cudaStream_t);

}  // namespace adaface::kernels::cuda
