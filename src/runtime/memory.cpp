#include "src/runtime/memory.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace adaface {
namespace {

// Pieces of memory that are out. While the allocator is being changed, less than zero.
std::atomic<std::int64_t> used{0};
constexpr std::int64_t kChanging = INT64_MIN / 2;

std::mutex mutex;
Allocator custom;  // changes under the mutex while `used` is kChanging; without functions: the default

// Waits for a set_allocator on another thread: that takes no longer than an assignment.
void count_one() noexcept {
  while (used.fetch_add(1, std::memory_order_acquire) < 0) {
    used.fetch_sub(1, std::memory_order_relaxed);
    const std::lock_guard wait(mutex);
  }
}

void* counted(void* data) noexcept {
  if (!data) memory::forget();
  return data;
}

}  // namespace

void set_allocator(const Allocator& allocator) {
  if ((allocator.allocate == nullptr) != (allocator.release == nullptr))
    throw Error(ErrorCode::invalid_argument,
                "allocator: one of allocate and release is null, expected both or neither");
  const std::lock_guard lock(mutex);
  std::int64_t none = 0;
  if (!used.compare_exchange_strong(none, kChanging, std::memory_order_acquire))
    throw Error(
        ErrorCode::invalid_argument,
        "allocator: " + std::to_string(none) +
            " pieces of memory are in use, expected none: set it before images and sessions are made");
  custom = allocator;
  used.fetch_sub(kChanging, std::memory_order_release);
}

void* memory::try_allocate(std::size_t bytes, std::size_t alignment) noexcept {
  count_one();
  if (custom.allocate) return counted(custom.allocate(custom.user, bytes, alignment));
  if (alignment <= alignof(std::max_align_t)) return counted(std::malloc(bytes));
  const std::size_t whole = (bytes + alignment - 1) / alignment * alignment;
  return counted(whole < bytes ? nullptr : std::aligned_alloc(alignment, whole));
}

void* memory::try_allocate_zeroed(std::size_t bytes) noexcept {
  if (claim()) return counted(std::calloc(bytes, 1));
  void* data = try_allocate(bytes, alignof(std::max_align_t));
  if (data) std::memset(data, 0, bytes);
  return data;
}

bool memory::claim() noexcept {
  count_one();
  if (!custom.allocate) return true;
  forget();
  return false;
}

void memory::forget() noexcept {
  used.fetch_sub(1, std::memory_order_release);
}

void* memory::allocate(std::size_t bytes, std::size_t alignment) {
  void* data = try_allocate(bytes, alignment);
  if (!data) throw std::bad_alloc();
  return data;
}

void memory::release(void* data, std::size_t bytes) noexcept {
  if (custom.release)
    custom.release(custom.user, data, bytes);
  else
    std::free(data);
  forget();
}

}  // namespace adaface
