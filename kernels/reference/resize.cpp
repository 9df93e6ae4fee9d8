#include <algorithm>

#include "kernels/reference/reference.h"

namespace adaface::kernels::reference {

namespace {

constexpr std::int32_t kHalf = std::int32_t{1} << (kResizeFractionBits - 1);

// The weights of one output sum to 2^22 within a few units, so |sum| stays below 2^31.
std::uint8_t narrow(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kResizeFractionBits, 0, 255));
}

}  // namespace

void resize_row(const ResizeAxis& axis, const std::uint8_t* src, std::uint8_t* dst) {
  for (int i = 0; i < axis.size; ++i, dst += 3) {
    const std::int32_t* weights = axis.weights + static_cast<std::ptrdiff_t>(i) * axis.max_taps;
    const std::uint8_t* tap = src + static_cast<std::ptrdiff_t>(axis.first[i]) * 3;
    std::int32_t red = kHalf, green = kHalf, blue = kHalf;
    for (int k = 0, count = axis.count[i]; k < count; ++k, tap += 3) {
      red += tap[0] * weights[k];
      green += tap[1] * weights[k];
      blue += tap[2] * weights[k];
    }
    dst[0] = narrow(red);
    dst[1] = narrow(green);
    dst[2] = narrow(blue);
  }
}

void resize_column(const ResizeAxis& axis, int i, const std::uint8_t* src, std::ptrdiff_t src_stride,
                   int bytes, std::uint8_t* dst) {
  const std::int32_t* weights = axis.weights + static_cast<std::ptrdiff_t>(i) * axis.max_taps;
  const std::uint8_t* first_row = src + axis.first[i] * src_stride;
  const int count = axis.count[i];

  // A weight is split into 11 high and 11 low bits: 8-bit samples times 12-bit factors are 16-bit
  // multiplications, which every x86-64 CPU does eight at a time. Sums of weights are about 2^22, so neither
  // half can leave 32 bits: high <= 255 * 2^11 * 2, low <= 255 * 2^11 * taps with taps < 2^12.
  constexpr int kSplit = kResizeFractionBits / 2;
  constexpr int kChunk = 64;
  std::int32_t high[kChunk], low[kChunk];
  for (int begin = 0; begin < bytes; begin += kChunk) {
    const int width = std::min(kChunk, bytes - begin);
    std::fill(high, high + kChunk, 0);
    std::fill(low, low + kChunk, kHalf);
    for (int k = 0; k < count; ++k) {
      const std::uint8_t* row = first_row + k * src_stride + begin;
      const auto weight_high = static_cast<std::int16_t>(weights[k] >> kSplit);
      const auto weight_low = static_cast<std::int16_t>(weights[k] & ((1 << kSplit) - 1));
      for (int x = 0; x < width; ++x) {
        const std::int16_t sample = row[x];
        high[x] += sample * weight_high;
        low[x] += sample * weight_low;
      }
    }
    for (int x = 0; x < width; ++x) dst[begin + x] = narrow(high[x] * (1 << kSplit) + low[x]);
  }
}

}  // namespace adaface::kernels::reference
