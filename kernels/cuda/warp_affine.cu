#include "kernels/cuda/warp_affine.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace adaface::kernels::cuda {
namespace {

// Those of kernels/reference/warp_affine.cpp, which defines the results.
constexpr int kPositionBits = 10, kSubpixelBits = 5, kDropBits = kPositionBits - kSubpixelBits,
              kSubpixels = 1 << kSubpixelBits, kWeightBits = 15;
constexpr int kThreads = 128;
constexpr int kPixelsEach = 4;

struct Arguments {
  Picture picture;
  int side;
  std::uint8_t* dst;
  Warps warps;
};

__device__ long long fixed(double position) {
  constexpr double kFar = 1099511627776.0;
  return __double2ll_rn(fmin(fmax(__dmul_rn(position, 1 << kPositionBits), -kFar), kFar));
}

__device__ std::uint32_t pixel_at(const Picture& picture, long long x, long long y) {
  if (x < 0 || y < 0 || x >= picture.width || y >= picture.height) return 0;
  return picture.pixels[y * picture.pitch() + x];
}

__device__ std::uint32_t blend(const Picture& picture, long long at_x, long long at_y) {
  const long long x = at_x >> kSubpixelBits, y = at_y >> kSubpixelBits;
  const int fx = static_cast<int>(at_x & (kSubpixels - 1)), fy = static_cast<int>(at_y & (kSubpixels - 1));
  constexpr int kScale = 1 << (kWeightBits - 2 * kSubpixelBits);
  const int weights[4] = {(kSubpixels - fx) * (kSubpixels - fy) * kScale, fx * (kSubpixels - fy) * kScale,
                          (kSubpixels - fx) * fy * kScale, fx * fy * kScale};
  const std::uint32_t pixels[4] = {pixel_at(picture, x, y), pixel_at(picture, x + 1, y),
                                   pixel_at(picture, x, y + 1), pixel_at(picture, x + 1, y + 1)};
  std::uint32_t result = 0;
#pragma unroll
  for (int shift = 0; shift < 24; shift += 8) {
    int sum = 1 << (kWeightBits - 1);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum += static_cast<int>(pixels[i] >> shift & 0xFF) * weights[i];
    result |= static_cast<std::uint32_t>(sum >> kWeightBits) << shift;
  }
  return result;
}

// Four pixels of a row each; a crop for each row of the grid.
__global__ void __launch_bounds__(kThreads) warp_kernel(const __grid_constant__ Arguments a) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const int groups = a.side / kPixelsEach, i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (i >= groups * a.side) return;
  const int y = i / groups, x = i % groups * kPixelsEach;
  const double* inverse = a.warps.inverse[blockIdx.y];
  constexpr long long kHalf = 1 << (kDropBits - 1);
  const long long row_x = fixed(__dadd_rn(__dmul_rn(inverse[1], y), inverse[2])) + kHalf,
                  row_y = fixed(__dadd_rn(__dmul_rn(inverse[4], y), inverse[5])) + kHalf;
  std::uint32_t pixels[kPixelsEach];
#pragma unroll
  for (int k = 0; k < kPixelsEach; ++k)
    pixels[k] = blend(a.picture, (row_x + fixed(__dmul_rn(inverse[0], x + k))) >> kDropBits,
                      (row_y + fixed(__dmul_rn(inverse[3], x + k))) >> kDropBits);
  auto* to = reinterpret_cast<std::uint32_t*>(
      a.dst + ((static_cast<std::ptrdiff_t>(blockIdx.y) * a.side + y) * a.side + x) * 3);
  to[0] = pixels[0] | pixels[1] << 24;
  to[1] = pixels[1] >> 8 | pixels[2] << 16;
  to[2] = pixels[2] >> 16 | pixels[3] << 8;
}

}  // namespace

Status warp_affine(const Picture& picture, const Warps& warps, int count, int side, std::uint8_t* dst,
                   cudaStream_t stream) {
  const dim3 grid(blocks_for(static_cast<long long>(side) * side / kPixelsEach, kThreads),
                  static_cast<unsigned>(count));
  return launch(warp_kernel, grid, dim3(kThreads), 0, stream, Arguments{picture, side, dst, warps});
}

}  // namespace adaface::kernels::cuda
