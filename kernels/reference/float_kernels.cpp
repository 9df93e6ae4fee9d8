#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/reference/reference.h"

namespace adaface::kernels::reference {
namespace {

std::size_t size(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

// One block of every pixel; the block size is a constant so that its loop becomes vector instructions.
template <int kBlock, typename F>
void for_each_pixel(int blocks, int pixels, F&& f) {
  for (int b = 0; b < blocks; ++b)
    for (int p = 0; p < pixels; ++p)
      f(size(b, kBlock), (size(b, pixels) + static_cast<std::size_t>(p)) * kBlock);
}

// f(std::integral_constant<int, block>).
template <typename F>
void with_constant(int block, F&& f) {
  switch (block) {
    case 16: return f(std::integral_constant<int, 16>());
    case 8: return f(std::integral_constant<int, 8>());
    default: return f(std::integral_constant<int, 1>());
  }
}

template <int kBlock>
void scale_shift_block(const float* src, const float* __restrict scale, const float* __restrict shift,
                       float* dst, int blocks, int pixels) {
  for_each_pixel<kBlock>(blocks, pixels, [&](std::size_t channel, std::size_t at) {
    for (std::size_t k = 0; k < kBlock; ++k)
      dst[at + k] = src[at + k] * scale[channel + k] + shift[channel + k];
  });
}

template <int kBlock>
void prelu_block(float* __restrict data, const float* __restrict slope, int blocks, int pixels) {
  for_each_pixel<kBlock>(blocks, pixels, [&](std::size_t channel, std::size_t at) {
    for (std::size_t k = 0; k < kBlock; ++k) {
      const float x = data[at + k];
      data[at + k] = std::max(x, 0.0f) + std::min(x, 0.0f) * slope[channel + k];
    }
  });
}

template <int kBlock>
void gate_add_block(const float* src, const float* __restrict gate, const float* residual, float* dst,
                    int blocks, int pixels) {
  for_each_pixel<kBlock>(blocks, pixels, [&](std::size_t channel, std::size_t at) {
    for (std::size_t k = 0; k < kBlock; ++k) dst[at + k] = src[at + k] * gate[channel + k] + residual[at + k];
  });
}

}  // namespace

void scale_shift(const float* src, const float* scale, const float* shift, float* dst, int blocks, int pixels,
                 int block) {
  with_constant(block,
                [&](auto constant) { scale_shift_block<constant>(src, scale, shift, dst, blocks, pixels); });
}

void to_bf16(const float* src, const float* scale, const float* shift, std::uint16_t* dst, int blocks,
             int pixels, int block) {
  for (int b = 0; b < blocks; ++b)
    for (int p = 0; p < pixels; ++p)
      for (int k = 0; k < block; ++k, ++src, ++dst) {
        const float value = scale ? *src * scale[b * block + k] + shift[b * block + k] : *src;
        const auto bits = std::bit_cast<std::uint32_t>(value);
        *dst = static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
      }
}

void prelu(float* data, const float* slope, int blocks, int pixels, int block) {
  with_constant(block, [&](auto constant) { prelu_block<constant>(data, slope, blocks, pixels); });
}

void gate_add(const float* src, const float* gate, const float* residual, float* dst, int blocks, int pixels,
              int block) {
  with_constant(block,
                [&](auto constant) { gate_add_block<constant>(src, gate, residual, dst, blocks, pixels); });
}

void linear(const float* src, const float* weights, const float* bias, int inputs, int outputs, float* dst) {
  for (int o = 0; o < outputs; ++o, weights += inputs) {
    double sum = bias[o];
    for (int i = 0; i < inputs; ++i) sum += static_cast<double>(weights[i]) * src[i];
    dst[o] = static_cast<float>(sum);
  }
}

void dense(const float* src, const float* rows, int inputs, int outputs, const float* scale,
           const float* bias, float* dst) {
  for (int o = 0; o < outputs; ++o, rows += inputs) {
    float sum = 0;
    for (int i = 0; i < inputs; ++i) sum += rows[i] * src[i];
    dst[o] = sum * scale[o] + bias[o];
  }
}

void subsample(const float* src, int blocks, int height, int width, int block, int stride, float* dst) {
  for (int b = 0; b < blocks; ++b)
    for (int y = 0; y < height; y += stride)
      for (int x = 0; x < width; x += stride)
        dst = std::copy_n(
            src + ((size(b, height) + static_cast<std::size_t>(y)) * static_cast<std::size_t>(width) +
                   static_cast<std::size_t>(x)) *
                      static_cast<std::size_t>(block),
            block, dst);
}

// Summed in double: the result does not depend on how a faster version orders its sums by more than half an
// ulp.
void global_average(const float* src, int blocks, int pixels, int block, float* dst) {
  for (int b = 0; b < blocks; ++b)
    for (int k = 0; k < block; ++k) {
      double sum = 0;
      for (int p = 0; p < pixels; ++p)
        sum += src[(size(b, pixels) + static_cast<std::size_t>(p)) * static_cast<std::size_t>(block) +
                   static_cast<std::size_t>(k)];
      dst[size(b, block) + static_cast<std::size_t>(k)] = static_cast<float>(sum / pixels);
    }
}

double multiply_adds(int rounds) {
  constexpr int kSums = 32;  // eight vectors of four
  volatile float unknown = 0.5f;
  const float factor = unknown;
  float sums[kSums] = {};
  for (int round = 0; round < rounds; ++round)
    for (float& sum : sums) sum = sum * factor + factor;
  for (float sum : sums) unknown = sum;
  return static_cast<double>(kSums) * rounds;
}

std::uint64_t read_words(const std::uint64_t* src, std::size_t count, bool) {
  std::uint64_t result = 0;
  for (std::size_t i = 0; i < count; ++i) result ^= src[i];
  return result;
}

}  // namespace adaface::kernels::reference
