// Pieces of device memory that hold several things.
#pragma once

#include <cstddef>
#include <string>

namespace adaface::nn::cuda {

// Consecutive parts of a piece of memory, each aligned to 256 bytes; or, from null, how large it has to be.
class MemoryLayout {
 public:
  explicit MemoryLayout(std::byte* memory = nullptr) : memory_(memory) {}
  template <typename T>
  T* take(std::size_t count) {
    T* const part = memory_ ? reinterpret_cast<T*>(memory_ + bytes_) : nullptr;
    bytes_ += (count * sizeof(T) + 255) / 256 * 256;
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
