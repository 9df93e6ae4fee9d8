// The allocator of the public interface, for code that may not throw or wants more than it promises.
#pragma once

#include <cstddef>
#include <vector>

#include "src/runtime.hpp"

namespace adaface {

// Contents that grow with a picture or a network.
template <typename T>
using Buffer = std::vector<T, BufferAllocator<T>>;

namespace memory {

// Null where there is none.
void* try_allocate(std::size_t bytes, std::size_t alignment) noexcept;
void* try_allocate_zeroed(std::size_t bytes) noexcept;

// Counts a piece of memory that is the engine's own to take as it likes, since no allocator is set; false:
// one is, and it must be asked. A claim is followed by forget() when the memory is given back.
bool claim() noexcept;
void forget() noexcept;

}  // namespace memory
}  // namespace adaface
