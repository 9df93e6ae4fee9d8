#include "src/gallery/row_store.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "kernels/kernels.h"

namespace adaface::search {
namespace {

using kernels::kDotRows;

static_assert(RowStore::kChunkRows % kDotRows == 0);

constexpr std::size_t kHugePage = 2u << 20;

// The least float that is not below `value` once the error of computing it has been added: sums of 512
// squares in double are off by less than 514 * 2^-53 of their value.
float rounded_up(double value) {
  value *= 1 + 1e-12;
  const auto nearest = static_cast<float>(value);
  return nearest < value ? std::nextafter(nearest, std::numeric_limits<float>::infinity()) : nearest;
}

}  // namespace

Rounded round_to_bytes(Vector v, const char* what) {
  float greatest = 0;
  double square = 0;
  for (float value : v) {
    greatest = std::max(greatest, std::abs(value));
    square += static_cast<double>(value) * value;
  }
  // A value that is not finite leaves a sum that is not.
  if (!std::isfinite(square))
    throw Error(ErrorCode::invalid_argument,
                std::string(what) + ": a value is not finite, expected a vector of norm 1");
  if (std::sqrt(square) > kMaxNorm)
    throw Error(
        ErrorCode::invalid_argument,
        std::string(what) + ": norm " + std::to_string(std::sqrt(square)) + ", expected at most 1.001");

  // Whatever rounding does here, down to a scale of zero, the residual tells: bounds need nothing else.
  Rounded out;
  out.scale = greatest / 127;
  double lost = 0, kept = 0;
  for (std::size_t i = 0; i < kLength; ++i) {
    const float steps = out.scale > 0 ? v[i] / out.scale : 0;
    const int code = std::clamp(static_cast<int>(steps + (steps < 0 ? -0.5f : 0.5f)), -127, 127);
    out.codes[i] = static_cast<std::int8_t>(code);
    const double rounded = static_cast<double>(out.scale) * code, difference = v[i] - rounded;
    lost += difference * difference;
    kept += rounded * rounded;
  }
  out.residual = rounded_up(std::sqrt(lost));
  out.norm = rounded_up(std::sqrt(kept));
  return out;
}

void RowStore::Free::operator()(std::uint8_t* memory) const {
  std::free(memory);
}

// Pages that are never written take no memory. Huge ones, where the system has them, make the scan faster by
// a sixth: it crosses a page of 4 KB every eight rows otherwise.
RowStore::Owned RowStore::allocate() {
  constexpr std::size_t kBytes =
      kChunkRows * (kLength + 2 * sizeof(float) + sizeof(std::uint32_t) + kLength * sizeof(float));
  constexpr std::size_t kRounded = (kBytes + kHugePage - 1) / kHugePage * kHugePage;
  std::unique_ptr<std::uint8_t, Free> memory(
      static_cast<std::uint8_t*>(std::aligned_alloc(kHugePage, kRounded)));
  if (!memory) throw std::bad_alloc();
  ::madvise(memory.get(), kRounded, MADV_HUGEPAGE);

  Chunk arrays;
  arrays.codes = memory.get();
  arrays.scales = reinterpret_cast<float*>(arrays.codes + kChunkRows * kLength);
  arrays.residuals = arrays.scales + kChunkRows;
  arrays.groups = reinterpret_cast<std::uint32_t*>(arrays.residuals + kChunkRows);
  arrays.rows = reinterpret_cast<float*>(arrays.groups + kChunkRows);
  return {std::move(memory), arrays};
}

void RowStore::reserve(std::size_t rows) {
  const std::size_t chunks = rows / kChunkRows + (rows % kChunkRows != 0);
  if (chunks > chunks_.max_size()) throw std::bad_alloc();
  chunks_.reserve(chunks);
  while (chunks_.size() < chunks) chunks_.push_back(allocate());
}

void RowStore::add(Vector unit, std::uint32_t group) {
  const Rounded rounded = round_to_bytes(unit, "embedding");
  if (size_ / kChunkRows == chunks_.size()) chunks_.push_back(allocate());

  const Chunk& to = chunk(size_);
  const std::size_t at = size_ % kChunkRows, row = at % kDotRows;
  std::uint8_t* block = to.codes + (at - row) * kLength;
  if (row == 0) std::memset(block, kernels::kDotZero, kDotRows * kLength);
  for (std::size_t i = 0; i < kLength; ++i)
    block[kernels::dot_offset(row, i)] = static_cast<std::uint8_t>(rounded.codes[i] + kernels::kDotZero);
  to.scales[at] = rounded.scale;
  to.residuals[at] = rounded.residual;
  to.groups[at] = group;
  std::copy(unit.begin(), unit.end(), to.rows + at * kLength);
  ++size_;
}

}  // namespace adaface::search
