#undef _FILE_OFFSET_BITS  // under which the headers call mmap mmap64
#include "tests/allocations.h"

#include <dirent.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define ADAFACE_ONLY_OPERATOR_NEW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADAFACE_ONLY_OPERATOR_NEW 1
#endif
#endif

namespace adaface::testing {
namespace {

constexpr std::int64_t kNever = INT64_MAX;

// Hooks are functions of the C library's names: their state has nowhere else to be.
std::atomic<std::int64_t> blocks{0}, bytes{0}, mapped{0};
std::atomic<std::int64_t> requests{0}, refused_at{-1}, passed{0}, first_refused{kNever};
std::atomic<bool> watching{false}, refuse_rest{false};
std::atomic<Owner> refused_owner{Owner::ours};
thread_local bool looking = false;  // looking at the stack may itself allocate

struct Range {
  std::uintptr_t begin, end;
};
Range foreign[2];
int foreign_count = 0;

int find_foreign(dl_phdr_info* info, std::size_t, void*) {
  const char* name = std::strrchr(info->dlpi_name, '/');
  if (!name || (!std::strstr(name, "libdnnl.") && !std::strstr(name, "libgomp."))) return 0;
  Range range{UINTPTR_MAX, 0};
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) continue;
    const std::uintptr_t begin = info->dlpi_addr + header.p_vaddr, end = begin + header.p_memsz;
    range = {begin < range.begin ? begin : range.begin, end > range.end ? end : range.end};
  }
  if (foreign_count < 2) foreign[foreign_count++] = range;
  return 0;
}

bool below_onednn() {
  void* frames[96];
  const int count = ::backtrace(frames, 96);
  for (int i = 0; i < count; ++i)
    for (int f = 0; f < foreign_count; ++f) {
      const auto at = reinterpret_cast<std::uintptr_t>(frames[i]);
      if (at >= foreign[f].begin && at < foreign[f].end) return true;
    }
  return false;
}

bool refused() {
  if (!watching.load(std::memory_order_relaxed) || looking) return false;
  const std::int64_t number = requests.fetch_add(1);
  if (number < first_refused.load(std::memory_order_relaxed)) return false;
  if (refused_at.load() >= 0 && !refuse_rest.load()) return false;
  looking = true;
  const bool same_owner = below_onednn() == (refused_owner.load() == Owner::onednn);
  looking = false;
  if (!same_owner) {
    ++passed;
    return false;
  }
  std::int64_t none = -1;
  return refused_at.compare_exchange_strong(none, number) || refuse_rest.load();
}

std::int64_t entries(const char* directory) {
  std::int64_t count = 0;
  DIR* open = ::opendir(directory);
  if (!open) return -1;
  while (const dirent* entry = ::readdir(open)) count += entry->d_name[0] != '.';
  ::closedir(open);
  return count;
}

}  // namespace

Holdings holdings() {
  const std::int64_t threads = entries("/proc/self/task");
  return {blocks.load(), bytes.load(), mapped.load(), threads, entries("/proc/self/fd") - 1};
}

void refuse_requests(std::int64_t first, Owner owner, Refusal refusal) {
  if (foreign_count == 0) {
    void* frame;
    ::backtrace(&frame, 1);  // loads what it needs
    ::dl_iterate_phdr(find_foreign, nullptr);
  }
  requests = passed = 0;
  refused_at = -1;
  refused_owner = owner;
  refuse_rest = refusal == Refusal::rest;
  first_refused = first;
  watching = true;
}

Refused grant_requests() {
  watching = false;
  first_refused = kNever;
  return {requests.load(), refused_at.load(), passed.load()};
}

namespace {

void* taken(void* block) {
  if (block) {
    ++blocks;
    bytes += static_cast<std::int64_t>(::malloc_usable_size(block));
  }
  return block;
}

void given_back(void* block) {
  if (!block) return;
  --blocks;
  bytes -= static_cast<std::int64_t>(::malloc_usable_size(block));
}

[[maybe_unused]] void* out_of_memory() {
  errno = ENOMEM;
  return nullptr;
}

}  // namespace
}  // namespace adaface::testing

// The libraries of the process find these names in the program.
#pragma GCC visibility push(default)

using adaface::testing::given_back;
using adaface::testing::out_of_memory;
using adaface::testing::refused;
using adaface::testing::taken;

#ifdef ADAFACE_ONLY_OPERATOR_NEW

void* operator new(std::size_t size) {
  if (refused()) throw std::bad_alloc();
  if (void* block = taken(std::malloc(size == 0 ? 1 : size))) return block;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return refused() ? nullptr : taken(std::malloc(size == 0 ? 1 : size));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  void* block = nullptr;
  if (refused() || ::posix_memalign(&block, static_cast<std::size_t>(alignment), size == 0 ? 1 : size) != 0)
    throw std::bad_alloc();
  return taken(block);
}
void operator delete(void* block) noexcept {
  given_back(block);
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  operator delete(block);
}
void operator delete(void* block, std::align_val_t) noexcept {
  operator delete(block);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  operator delete(block);
}

#else

// NOLINTBEGIN: names of the C library's
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t size) {
  return refused() ? out_of_memory() : taken(__libc_malloc(size));
}
void* calloc(std::size_t count, std::size_t size) {
  return refused() ? out_of_memory() : taken(__libc_calloc(count, size));
}
void* realloc(void* block, std::size_t size) {
  if (refused()) return out_of_memory();
  const auto before = block ? static_cast<std::int64_t>(::malloc_usable_size(block)) : 0;
  void* grown = __libc_realloc(block, size);
  if (grown || size == 0) {
    if (block) {
      --adaface::testing::blocks;
      adaface::testing::bytes -= before;
    }
    taken(grown);
  }
  return grown;
}
void free(void* block) {
  given_back(block);
  __libc_free(block);
}
void* memalign(std::size_t alignment, std::size_t size) {
  return refused() ? out_of_memory() : taken(__libc_memalign(alignment, size));
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  void* result = memalign(alignment, size);
  if (!result) return ENOMEM;
  *block = result;
  return 0;
}
}

#endif

extern "C" {

void* mmap(void* at, std::size_t size, int protection, int flags, int file, off_t offset) noexcept {
  if (refused()) return errno = ENOMEM, MAP_FAILED;
  const long map = ::syscall(SYS_mmap, at, size, protection, flags, file, offset);
  if (map != -1) adaface::testing::mapped += static_cast<std::int64_t>(size);
  return reinterpret_cast<void*>(map);
}
void* mmap64(void* at, std::size_t size, int protection, int flags, int file, off_t offset) noexcept
    __attribute__((alias("mmap")));

int munmap(void* at, std::size_t size) noexcept {
  adaface::testing::mapped -= static_cast<std::int64_t>(size);
  return static_cast<int>(::syscall(SYS_munmap, at, size));
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
  using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static Create* const create = reinterpret_cast<Create*>(::dlsym(RTLD_NEXT, "pthread_create"));
  return refused() ? EAGAIN : create(thread, attributes, start, argument);
}
}
// NOLINTEND

#pragma GCC visibility pop
