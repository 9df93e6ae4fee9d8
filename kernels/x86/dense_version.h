// Dense rows over one `Vector`: see winograd_version.h.
#pragma once

#include <cstddef>

namespace adaface::kernels::x86 {
namespace {

// Rows that are read at once: a memory stream each, and sums enough to keep the units busy.
constexpr int kRows = 8, kParts = Vector::kLanes / 8;

template <int kCount>
void dense_rows(const float* src, const float* rows, int inputs, const float* scale, const float* bias,
                float* dst) {
  constexpr int kStep = kParts * Vector::kLanes;
  Vector::Type sums[kCount][kParts];
#pragma GCC unroll 16
  for (auto& row : sums)
#pragma GCC unroll 16
    for (Vector::Type& sum : row) sum = Vector::zero();
  int i = 0;
  for (; i + kStep <= inputs; i += kStep) {
    Vector::Type x[kParts];
#pragma GCC unroll 16
    for (int p = 0; p < kParts; ++p) x[p] = Vector::load_unaligned(src + i + p * Vector::kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kCount; ++r) {
      const float* row = rows + static_cast<std::ptrdiff_t>(r) * inputs + i;
#pragma GCC unroll 16
      for (int line = 0; line < kStep * 4; line += 64)
        Vector::prefetch_second_level(reinterpret_cast<const unsigned char*>(row) + 8192 + line);
#pragma GCC unroll 16
      for (int p = 0; p < kParts; ++p)
        sums[r][p] = Vector::multiply_add(x[p], Vector::load_unaligned(row + p * Vector::kLanes), sums[r][p]);
    }
  }
  for (int r = 0; r < kCount; ++r) {
    alignas(64) float lanes[Vector::kLanes];
    Vector::Type total = sums[r][0];
    for (int p = 1; p < kParts; ++p) total = total + sums[r][p];
    Vector::store(lanes, total);
    float sum = 0;
    for (float lane : lanes) sum += lane;
    for (int k = i; k < inputs; ++k) sum += rows[static_cast<std::ptrdiff_t>(r) * inputs + k] * src[k];
    dst[r] = sum * scale[r] + bias[r];
  }
}

void dense(const float* src, const float* rows, int inputs, int outputs, const float* scale,
           const float* bias, float* dst) {
  int o = 0;
  for (; o + kRows <= outputs; o += kRows)
    dense_rows<kRows>(src, rows + static_cast<std::ptrdiff_t>(o) * inputs, inputs, scale + o, bias + o,
                      dst + o);
  for (; o < outputs; ++o)
    dense_rows<1>(src, rows + static_cast<std::ptrdiff_t>(o) * inputs, inputs, scale + o, bias + o, dst + o);
}

}  // namespace
}  // namespace adaface::kernels::x86
