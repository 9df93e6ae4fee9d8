// Kernels of kernels.h for instruction sets above the baseline; the caller knows that the CPU has them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace adaface::kernels::x86 {

void dot_products_avx2(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                       std::size_t query_count, std::size_t length, std::int32_t* dst);
void dot_products_avx512bw(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                           std::size_t query_count, std::size_t length, std::int32_t* dst);
void dot_products_avx512vnni(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                             std::size_t query_count, std::size_t length, std::int32_t* dst);

double multiply_adds_avx2(int rounds);
double multiply_adds_avx512(int rounds);
double multiply_adds_avx512bf16(int rounds);
std::uint64_t read_words_avx2(const std::uint64_t* src, std::size_t count);
std::uint64_t read_words_avx512(const std::uint64_t* src, std::size_t count);

}  // namespace adaface::kernels::x86
