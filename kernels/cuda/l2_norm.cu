#include "kernels/cuda/l2_norm.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace adaface::kernels::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    l2_norm_kernel(const float* src, int length, float* units, float* norms) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  auto* const parts = reinterpret_cast<double*>(ptx::dynamic_shared());
  const int thread = static_cast<int>(threadIdx.x);
  src += static_cast<long long>(blockIdx.x) * length;
  units += static_cast<long long>(blockIdx.x) * length;
  double square = 0;
  for (int i = thread; i < length; i += kThreads) square += static_cast<double>(src[i]) * src[i];
  for (int bits = 16; bits > 0; bits /= 2) square += __shfl_xor_sync(~0u, square, bits);
  if (thread % 32 == 0) parts[thread / 32] = square;
  __syncthreads();
  double total = 0;
  for (int i = 0; i < kThreads / 32; ++i) total += parts[i];
  const double norm = sqrt(total), scale = norm > 0 ? 1 / norm : 0;
  for (int i = thread; i < length; i += kThreads) units[i] = static_cast<float>(src[i] * scale);
  if (thread == 0) norms[blockIdx.x] = static_cast<float>(norm);
}

}  // namespace

Status prepare_l2_norm() {
  return prepare_kernel(l2_norm_kernel);
}

Status l2_norm(const float* src, int count, int length, float* units, float* norms, cudaStream_t stream) {
  return launch(l2_norm_kernel, dim3(static_cast<unsigned>(count)), dim3(kThreads),
                kThreads / 32 * sizeof(double), stream, src, length, units, norms);
}

}  // namespace adaface::kernels::cuda
