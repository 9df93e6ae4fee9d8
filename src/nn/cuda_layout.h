// Pieces of device memory that hold several things.
#pragma once

#include <cstddef>
#include <string>

namespace adaface::nn::cuda {

// Of what begins in a piece of memory: no access to it is shared with what lies before.
constexpr std::size_t aligned(std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Consecutive parts of a piece of memory, each aligned to 256 bytes; or, from null, how large it has to be.
class MemoryLayout {
 public:
  explicit MemoryLayout(std::byte* memory = nullptr) : memory_(memory) {}
  template <typename T>
  T* take(std::size_t count) {
    T* const part = memory_ ? reinterpret_cast<T*>(memory_ + bytes_) : nullptr;
    bytes_ += aligned(count * sizeof(T));
    return part;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  std::size_t bytes_ = 0;
};

// Makes room in DeviceMemory or PinnedMemory; contents are lost where it grows. What was there is given back
// first: both together may be more than there is. Nothing that is under way may use it.
template <typename Memory>
void reserve(Memory& memory, std::size_t bytes, const std::string& what) {
  if (memory.bytes() >= bytes) return;
  memory = Memory();
  memory = Memory(bytes, what);
}

}  // namespace adaface::nn::cuda
