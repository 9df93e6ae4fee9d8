#include "src/nn/arena.h"

#include <sys/mman.h>

#include <new>

namespace adaface::nn {

Arena::Arena(std::size_t bytes) {
  if (bytes == 0) return;
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
  ::madvise(data, bytes, MADV_HUGEPAGE);  // advice: small pages do as well
}

Arena::~Arena() {
  if (data_) ::munmap(data_, bytes_);
}

}  // namespace adaface::nn
