#include "kernels/x86/convolution_body.h"
#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {

void convolve_avx512(const SmallConvolution& layer, const ConvolutionSize& size, const float* src, float* dst,
                     float* scratch) {
  run_convolution(layer, size, src, dst, scratch);
}

void pool_avx512(const float* src, int height, int width, int src_channels, int window, int channels,
                 float* dst) {
  run_pool(src, height, width, src_channels, window, channels, dst);
}

}  // namespace adaface::kernels::x86
