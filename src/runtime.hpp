// What a process sets once for the engine: where its memory comes from, who reads its log; and which build it
// is.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <new>
#include <string>
#include <string_view>

#include "error.hpp"
#include "export.h"

namespace adaface {

// "1.0.0", of the library that is loaded (headers state theirs in adaface.h: ADAFACE_VERSION).
ADAFACE_API const char* version() noexcept;

// Lines of "key: value": version, compiler, oneDNN as built against and as loaded, the instruction sets of the
// kernels that this CPU gets and of oneDNN, what is odd about their caps, the CUDA devices or why there are
// none.
ADAFACE_API std::string build_info();

// ---- Log ----------------------------------------------------------------------------------------

enum class LogLevel { none, warning, info, debug };

// One line without a final newline. May come from any thread that is inside the engine, one call at a time.
// Must not call set_log. What it makes the engine say meanwhile is dropped, and so is what it throws.
using LogFunction = std::function<void(LogLevel level, std::string_view message)>;

// Replaces the function that gets messages up to `most`; an empty one, or none, ends the log. The engine says
// nothing by default. No message names a person or holds pixels, landmarks or embeddings; paths of weights
// appear. Returns when no call of the former function is running. Thread-safe.
ADAFACE_API void set_log(LogLevel most, LogFunction function);

// ---- Memory -------------------------------------------------------------------------------------

// Where the engine's large memory comes from: pixels, activations, packed and transformed weights, the
// working memory of detection: all whose size depends on a picture or a network. Small objects come from
// operator new, the weight file is mapped, and oneDNN takes its own for code and the little that each of its
// primitives needs.
struct Allocator {
  // `alignment` is a power of two, at most 64. Returns null where there is none: std::bad_alloc then passes
  // to the caller. Called from any thread that is inside the engine, several at once; must not throw.
  void* (*allocate)(void* user, std::size_t bytes, std::size_t alignment) = nullptr;
  void (*release)(void* user, void* memory, std::size_t bytes) = nullptr;  // `bytes` as they were asked for
  void* user = nullptr;
};

// For the whole process; an empty Allocator sets the default again. Throws invalid_argument while memory of
// the present one is in use (an Image, or any session), and when only one of the functions is given.
// Thread-safe.
ADAFACE_API void set_allocator(const Allocator& allocator);

namespace memory {
// From the allocator that is set. Throws std::bad_alloc.
ADAFACE_API void* allocate(std::size_t bytes, std::size_t alignment);
ADAFACE_API void release(void* memory, std::size_t bytes) noexcept;
}  // namespace memory

// The same for containers.
template <typename T>
struct BufferAllocator {
  using value_type = T;
  BufferAllocator() = default;
  template <typename U>
  BufferAllocator(const BufferAllocator<U>&) noexcept {}  // NOLINT: converts, as allocators must

  T* allocate(std::size_t count) {
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_array_new_length();
    return static_cast<T*>(memory::allocate(count * sizeof(T), alignof(T)));
  }
  void deallocate(T* data, std::size_t count) noexcept { memory::release(data, count * sizeof(T)); }
  template <typename U>
  bool operator==(const BufferAllocator<U>&) const noexcept {
    return true;
  }
};

}  // namespace adaface
