// A large piece of zeroed memory: from the allocator that the process has set, else in huge pages where the
// system has them. Weights that stream from memory would otherwise miss the TLB at every 4 KiB.
#pragma once

#include <cstddef>
#include <utility>

namespace adaface::nn {

inline constexpr std::size_t kAlignment = 64;  // of a cache line and of the widest vector

constexpr std::size_t align_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

class Arena {
 public:
  Arena() = default;
  explicit Arena(std::size_t bytes);  // throws std::bad_alloc
  ~Arena();
  Arena(Arena&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        mapped_(other.mapped_) {}
  Arena& operator=(Arena&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(mapped_, other.mapped_);
    return *this;
  }

  // Aligned to kAlignment; null when empty.
  std::byte* data() const { return data_; }
  float* floats() const { return reinterpret_cast<float*>(data_); }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
  bool mapped_ = false;
};

}  // namespace adaface::nn
