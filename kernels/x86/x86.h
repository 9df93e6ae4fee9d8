// Kernels of kernels.h for instruction sets above the baseline; the caller knows that the CPU has them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/winograd.h"

namespace adaface::kernels::x86 {

void dot_products_avx2(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                       std::size_t query_count, std::size_t length, std::int32_t* dst);
void dot_products_avx512bw(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                           std::size_t query_count, std::size_t length, std::int32_t* dst);
void dot_products_avx512vnni(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                             std::size_t query_count, std::size_t length, std::int32_t* dst);

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
