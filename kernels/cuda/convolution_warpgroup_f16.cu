// For compute capability 9.0 alone.
#include "kernels/cuda/convolution_kernel.h"

namespace adaface::kernels::cuda {

template Status launch_warpgroups<F16>(const ConvolutionTile&, const ConvolutionArguments*, cudaStream_t);

}  // namespace adaface::kernels::cuda
