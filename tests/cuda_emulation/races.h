// What ThreadSanitizer is told about the threads of the emulated device, in builds that have it
// (tools/sanitize thread). Each is a thread to it, although they take turns on one of the system's, and they
// synchronise only by what synchronises them on a device: barriers, fences with atomics, ends of kernels. So
// it reports accesses that come in the right order merely because the emulation runs them so: of one block,
// of several, or of kernels that overlap. Work of different streams is ordered by the host that runs it here,
// so waits that are missing there are not reported.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_THREAD__)
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}
// Of functions that device threads run and that are the emulation's, not the kernel's.
#define EMULATION_UNSEEN __attribute__((no_sanitize_thread))
#else
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#error "ThreadSanitizer of the emulated device is written for g++: build without tests"
#endif
#endif
#define EMULATION_UNSEEN
#endif

namespace emulation {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kSeesRaces = true;

// What this thread has done happens before what a thread does after it has acquired the same address.
inline void release(const void* order) {
  __tsan_release(const_cast<void*>(order));
}
inline void acquire(const void* order) {
  __tsan_acquire(const_cast<void*>(order));
}
// Accesses that an instruction makes for this thread.
inline void sees_read(const void* at, std::size_t bytes) {
  if (bytes > 0) __tsan_read_range(const_cast<void*>(at), bytes);
}
inline void sees_write(void* at, std::size_t bytes) {
  __tsan_write_range(at, bytes);
}

// While it lives, accesses are the emulation's own.
class Unseen {
 public:
  Unseen() { AnnotateIgnoreReadsBegin(__FILE__, __LINE__); }
  ~Unseen() { AnnotateIgnoreReadsEnd(__FILE__, __LINE__); }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
};
#else
inline constexpr bool kSeesRaces = false;
inline void release(const void*) {}
inline void acquire(const void*) {}
inline void sees_read(const void*, std::size_t) {}
inline void sees_write(void*, std::size_t) {}
class Unseen {
 public:
  Unseen() {}  // so that none is an unused variable
};
#endif

}  // namespace emulation
