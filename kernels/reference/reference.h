// The plain C++ definition of every kernel in kernels.h, which holds their contracts.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace adaface::kernels::reference {

void pack_strip(const std::uint8_t* rgb, std::ptrdiff_t stride, int width, int rows, std::uint8_t* dst);
void resize_across(const ResizeAxis& axis, const std::uint8_t* src, int first_row, int last_row,
                   std::uint8_t* dst, std::ptrdiff_t dst_stride);
void resize_down(const ResizeGroup* groups, int count, const std::uint8_t* src, std::ptrdiff_t src_stride,
                 int lanes, std::uint8_t* dst);

void convolve(const SmallConvolution& layer, const ConvolutionSize& size, const float* src, float* dst,
              float* scratch);
void pool(const float* src, int height, int width, int src_channels, int window, int channels, float* dst);

void warp_affine(const std::uint8_t* src, int src_width, int src_height, std::ptrdiff_t src_stride,
                 const double inverse[6], std::uint8_t* dst, int dst_width, int dst_height,
                 std::ptrdiff_t dst_stride);

void scale_shift(const float* src, const float* scale, const float* shift, float* dst, int blocks, int pixels,
                 int block);
void to_bf16(const float* src, const float* scale, const float* shift, std::uint16_t* dst, int blocks,
             int pixels, int block);
void prelu(float* data, const float* slope, int blocks, int pixels, int block);
void linear(const float* src, const float* weights, const float* bias, int inputs, int outputs, float* dst);
void dense(const float* src, const float* rows, int inputs, int outputs, const float* scale,
           const float* bias, float* dst);
void subsample(const float* src, int blocks, int height, int width, int block, int stride, float* dst);
void global_average(const float* src, int blocks, int pixels, int block, float* dst);
void gate_add(const float* src, const float* gate, const float* residual, float* dst, int blocks, int pixels,
              int block);
void pnet(const PnetWeights& weights, const PnetPart& part, float* scratch);

void dot_products(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                  std::size_t query_count, std::size_t length, std::int32_t* dst);
double multiply_adds(int rounds);
std::uint64_t read_words(const std::uint64_t* src, std::size_t count, bool from_memory);

extern const WinogradKernels kWinograd8, kWinograd16;

}  // namespace adaface::kernels::reference
