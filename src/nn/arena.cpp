#include "src/nn/arena.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include "src/runtime/memory.h"

namespace adaface::nn {

Arena::Arena(std::size_t bytes) {
  if (bytes == 0) return;
  mapped_ = memory::claim();
  if (mapped_) {
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      memory::forget();
      throw std::bad_alloc();
    }
    ::madvise(data, bytes, MADV_HUGEPAGE);  // advice: small pages do as well
    data_ = static_cast<std::byte*>(data);
  } else {
    data_ = static_cast<std::byte*>(memory::allocate(bytes, kAlignment));
    std::memset(data_, 0, bytes);
  }
  bytes_ = bytes;
}

Arena::~Arena() {
  if (!data_) return;
  if (mapped_) {
    ::munmap(data_, bytes_);
    memory::forget();
  } else {
    memory::release(data_, bytes_);
  }
}

}  // namespace adaface::nn
