#include "kernels/reference/reference.h"
#include "kernels/x86/vector_avx512.h"
#include "kernels/x86/x86.h"

namespace adaface::kernels::x86 {

void to_bf16_avx512(const float* src, const float* scale, const float* shift, std::uint16_t* dst, int blocks,
                    int pixels, int block) {
  if (block != Vector::kLanes) return reference::to_bf16(src, scale, shift, dst, blocks, pixels, block);
  for (int b = 0; b < blocks; ++b) {
    const Vector::Type factor = scale ? Vector::load_unaligned(scale + b * block) : Vector::zero();
    const Vector::Type offset = scale ? Vector::load_unaligned(shift + b * block) : Vector::zero();
    for (int p = 0; p < pixels; ++p, src += block, dst += block) {
      const Vector::Type value = Vector::load(src);
      Vector::store(dst, scale ? value * factor + offset : value);
    }
  }
}

}  // namespace adaface::kernels::x86
