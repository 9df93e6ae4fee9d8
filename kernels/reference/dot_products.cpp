#include "kernels/reference/reference.h"

namespace adaface::kernels::reference {

void dot_products(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                  std::size_t query_count, std::size_t length, std::int32_t* dst) {
  for (std::size_t q = 0; q < query_count; ++q)
    for (std::size_t b = 0; b < blocks; ++b)
      for (std::size_t r = 0; r < kDotRows; ++r) {
        std::int32_t sum = 0;
        for (std::size_t i = 0; i < length; ++i)
          sum += (rows[b * kDotRows * length + dot_offset(r, i)] - kDotZero) * queries[q * length + i];
        dst[(q * blocks + b) * kDotRows + r] = sum;
      }
}

}  // namespace adaface::kernels::reference
