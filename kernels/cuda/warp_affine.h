// The bilinear warp of kernels/kernels.h on a device, bit for bit: crops of one picture.
#pragma once

#include <cstdint>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/picture.h"

namespace adaface::kernels::cuda {

// Crops of one launch: what fits into the arguments of a kernel.
inline constexpr int kMostWarps = 64;

// Each maps crop to picture: {a, b, tx, c, d, ty}.
struct Warps {
  double inverse[kMostWarps][6];
};

// The first `count`, 1 to kMostWarps, of `warps`: to dst{count, side, side, 3}, packed RGB, black outside the
// picture. side is a multiple of 4; dst is aligned to 4 bytes.
Status warp_affine(const Picture& picture, const Warps& warps, int count, int side, std::uint8_t* dst,
                   cudaStream_t stream);

}  // namespace adaface::kernels::cuda
