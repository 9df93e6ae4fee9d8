// The embeddings of a SearchIndex as its two passes read them: rounded to bytes, with what that lost, in the
// order that the kernel wants, and beside them the floats as they came.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "src/gallery.hpp"

namespace adaface::search {

inline constexpr std::size_t kLength = kEmbeddingSize;
inline constexpr double kMaxNorm = 1.001;  // of an embedding that is accepted

using Vector = SearchIndex::Vector;

// A vector v as scale * codes, v^ below.
struct Rounded {
  std::array<std::int8_t, kLength> codes;  // in [-127, 127]
  float scale;
  float residual;  // at least |v - v^|
  float norm;      // at least |v^|
};

// Throws invalid_argument, naming `what`, for a value that is not finite or a norm above kMaxNorm.
Rounded round_to_bytes(Vector v, const char* what);

// Grows by chunks; rows never move. Reading is safe from any number of threads, while none adds.
class RowStore {
 public:
  static constexpr std::size_t kChunkRows = 16384;

  struct Chunk {
    std::uint8_t* codes;  // blocks of kernels::kDotRows rows; the last is filled up with zero vectors
    float* scales;
    float* residuals;
    std::uint32_t* groups;
    float* rows;  // {kChunkRows, kLength}
  };

  std::size_t size() const { return size_; }
  void reserve(std::size_t rows);
  // Throws as round_to_bytes does, and bad_alloc; then nothing has changed.
  void add(Vector unit, std::uint32_t group);

  const Chunk& chunk(std::size_t row) const { return chunks_[row / kChunkRows].arrays; }
  const float* row(std::size_t row) const { return chunk(row).rows + row % kChunkRows * kLength; }

  // Of the arrays that every query reads whole.
  static constexpr std::size_t kScanBytesPerRow = kLength + 2 * sizeof(float);

 private:
  struct Free {
    void operator()(std::uint8_t* memory) const;
  };
  struct Owned {
    std::unique_ptr<std::uint8_t, Free> memory;
    Chunk arrays;
  };
  static Owned allocate();

  std::vector<Owned> chunks_;
  std::size_t size_ = 0;
};

}  // namespace adaface::search
