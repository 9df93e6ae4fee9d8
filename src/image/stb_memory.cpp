#include "src/image/stb_memory.h"

#include <algorithm>
#include <cstring>

#include "src/runtime/memory.h"

namespace adaface::stb {
namespace {

// Before each block.
struct alignas(std::max_align_t) Link {
  Link* before;
  Link* after;
  std::size_t bytes;  // of the block
};

thread_local Link held{nullptr, nullptr, 0};
thread_local std::size_t left = 0;  // of the budget
thread_local bool short_of_memory = false;

bool spend(std::size_t bytes) {
  if (bytes > left || bytes > SIZE_MAX - sizeof(Link)) return false;
  left -= bytes;
  return true;
}

Link* link_of(void* block) {
  return static_cast<Link*>(block) - 1;
}

void* allocate(std::size_t bytes) {
  auto* const link = static_cast<Link*>(memory::try_allocate_zeroed(sizeof(Link) + bytes));
  if (link == nullptr) {
    short_of_memory = true;
    return nullptr;
  }
  *link = {&held, held.after, bytes};
  if (link->after != nullptr) link->after->before = link;
  held.after = link;
  return link + 1;
}

void remove(Link* link) {
  link->before->after = link->after;
  if (link->after != nullptr) link->after->before = link->before;
}

void release(Link* link) {
  memory::release(link, sizeof(Link) + link->bytes);
}

}  // namespace

Memory::Memory(std::size_t budget) {
  left = budget;
  short_of_memory = false;
}

Memory::~Memory() {
  while (held.after != nullptr) drop(held.after + 1);
}

bool Memory::starved() const {
  return short_of_memory;
}

void* take(std::size_t bytes) {
  return spend(bytes) ? allocate(bytes) : nullptr;
}

void* grow(void* block, std::size_t old_bytes, std::size_t bytes) {
  if (bytes > old_bytes && !spend(bytes - old_bytes)) return nullptr;
  void* const grown = allocate(bytes);
  if (grown != nullptr && block != nullptr) {
    std::memcpy(grown, block, std::min(link_of(block)->bytes, bytes));
    drop(block);
  }
  return grown;
}

void drop(void* block) {
  if (block == nullptr) return;
  remove(link_of(block));
  release(link_of(block));
}

void DropKept::operator()(void* block) const {
  release(link_of(block));
}

std::unique_ptr<std::uint8_t, DropKept> keep(void* block) {
  if (block != nullptr) remove(link_of(block));
  return std::unique_ptr<std::uint8_t, DropKept>(static_cast<std::uint8_t*>(block));
}

}  // namespace adaface::stb
