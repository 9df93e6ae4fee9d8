// The memory of one call of stb_image or stb_image_write. Both lose blocks when a later request fails, and
// all that they hold when an exception leaves them, so every block is on a list: what is still held at the
// end of the call is given back. Their hooks carry no context, so the list belongs to the calling thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace adaface::stb {

// One at a time on each thread.
class Memory {
 public:
  // `budget`: bytes that the call may take in all. A few bytes of compressed data can ask for gigabytes.
  explicit Memory(std::size_t budget = SIZE_MAX);
  ~Memory();
  // Whether there was no memory for what the budget allowed: both report that as they report damage.
  bool starved() const;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
};

// The hooks. Memory starts as zeros: what a damaged file leaves unwritten is black on every run. Null when
// there is none, or the budget is spent.
void* take(std::size_t bytes);
void* grow(void* block, std::size_t old_bytes, std::size_t bytes);
void drop(void* block);

// A result that outlives its call.
struct DropKept {
  void operator()(void* block) const;
};
std::unique_ptr<std::uint8_t, DropKept> keep(void* block);

}  // namespace adaface::stb
