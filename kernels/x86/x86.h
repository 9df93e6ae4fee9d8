// Kernels of kernels.h for instruction sets above the baseline; the caller knows that the CPU has them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/levels.h"
#include "kernels/winograd.h"

namespace adaface::kernels::x86 {

// Those that this CPU has, behind the definitions.
void add_levels(Levels& levels);

void dot_products_avx2(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                       std::size_t query_count, std::size_t length, std::int32_t* dst);
void dot_products_avx512bw(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                           std::size_t query_count, std::size_t length, std::int32_t* dst);
void dot_products_avx512vnni(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                             std::size_t query_count, std::size_t length, std::int32_t* dst);

void pack_strip_sse41(const std::uint8_t* rgb, std::ptrdiff_t stride, int width, int rows, std::uint8_t* dst);
void resize_across_sse41(const ResizeAxis& axis, const std::uint8_t* src, int first_row, int last_row,
                         std::uint8_t* dst, std::ptrdiff_t dst_stride);
void resize_down_sse41(const ResizeGroup* groups, int count, const std::uint8_t* src,
                       std::ptrdiff_t src_stride, int lanes, std::uint8_t* dst);
void resize_across_avx2(const ResizeAxis& axis, const std::uint8_t* src, int first_row, int last_row,
                        std::uint8_t* dst, std::ptrdiff_t dst_stride);
void resize_down_avx2(const ResizeGroup* groups, int count, const std::uint8_t* src,
                      std::ptrdiff_t src_stride, int lanes, std::uint8_t* dst);
void resize_across_vnni(const ResizeAxis& axis, const std::uint8_t* src, int first_row, int last_row,
                        std::uint8_t* dst, std::ptrdiff_t dst_stride);
void resize_down_vnni(const ResizeGroup* groups, int count, const std::uint8_t* src,
                      std::ptrdiff_t src_stride, int lanes, std::uint8_t* dst);

void convolve_sse41(const SmallConvolution& layer, const ConvolutionSize& size, const float* src, float* dst,
                    float* scratch);
void pool_sse41(const float* src, int height, int width, int src_channels, int window, int channels,
                float* dst);
void convolve_avx2(const SmallConvolution& layer, const ConvolutionSize& size, const float* src, float* dst,
                   float* scratch);
void pool_avx2(const float* src, int height, int width, int src_channels, int window, int channels,
               float* dst);
void convolve_avx512(const SmallConvolution& layer, const ConvolutionSize& size, const float* src, float* dst,
                     float* scratch);
void pool_avx512(const float* src, int height, int width, int src_channels, int window, int channels,
                 float* dst);

void pnet_sse41(const PnetWeights& weights, const PnetPart& part, float* scratch);
void pnet_avx2(const PnetWeights& weights, const PnetPart& part, float* scratch);
void pnet_avx512(const PnetWeights& weights, const PnetPart& part, float* scratch);

extern const WinogradKernels kWinogradAvx2;    // needs FMA and F16C too
extern const WinogradKernels kWinogradAvx512;  // needs F, BW, DQ, VL
// For CPUs with BF16 in addition.
void winograd_input_bf16(const WinogradInput& shape, const float* src, std::uint16_t* v, float* scratch);
void winograd_multiply_bf16(const WinogradGrid& grid, int images, int in_blocks, const void* u,
                            const std::uint16_t* v, float* m);

void to_bf16_avx512(const float* src, const float* scale, const float* shift, std::uint16_t* dst, int blocks,
                    int pixels, int block);

void dense_avx2(const float* src, const float* rows, int inputs, int outputs, const float* scale,
                const float* bias, float* dst);
void dense_avx512(const float* src, const float* rows, int inputs, int outputs, const float* scale,
                  const float* bias, float* dst);

double multiply_adds_avx2(int rounds);
double multiply_adds_avx512(int rounds);
double multiply_adds_avx512bf16(int rounds);
std::uint64_t read_words_avx2(const std::uint64_t* src, std::size_t count, bool from_memory);
std::uint64_t read_words_avx512(const std::uint64_t* src, std::size_t count, bool from_memory);

}  // namespace adaface::kernels::x86
