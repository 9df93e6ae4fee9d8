#include "kernels/cuda/picture.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace adaface::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// Four pixels each: three words to four.
__global__ void __launch_bounds__(kThreads)
    unpack_kernel(const std::uint32_t* packed, int groups, bool bgr, std::uint32_t* pixels) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (i >= groups) return;
  const std::uint32_t* from = packed + 3 * static_cast<std::ptrdiff_t>(i);
  const std::uint32_t a = from[0], b = from[1], c = from[2];
  std::uint32_t words[4] = {a & 0xFFFFFF, a >> 24 | (b & 0xFFFF) << 8, b >> 16 | (c & 0xFF) << 16, c >> 8};
  if (bgr) {
#pragma unroll
    for (std::uint32_t& word : words) word = word >> 16 | (word & 0xFF00) | (word & 0xFF) << 16;
  }
  reinterpret_cast<uint4*>(pixels)[i] = make_uint4(words[0], words[1], words[2], words[3]);
}

}  // namespace

Status unpack_rows(const std::uint8_t* packed, int width, int rows, bool bgr, std::uint32_t* pixels,
                   cudaStream_t stream) {
  const int groups = static_cast<int>(packed_pitch(width) / 12) * rows;
  return launch(unpack_kernel, dim3(blocks_for(groups, kThreads)), dim3(kThreads), 0, stream,
                reinterpret_cast<const std::uint32_t*>(packed), groups, bgr, pixels);
}

}  // namespace adaface::kernels::cuda
