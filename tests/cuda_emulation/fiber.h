// Stacks that take turns on one thread of the system: what the threads of a block are made of.
#pragma once

#include <cstddef>

namespace emulation {

class Fiber {
 public:
  static constexpr std::size_t kStackBytes = std::size_t{256} << 10;

  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Of the process.
  static int count();

  // The next resume() begins entry(argument), which must end with leave() and not return.
  void start(void (*entry)(void*), void* argument);
  // Runs it until it leaves; called by the system's thread, never by a fiber.
  void resume();
  // Back to resume().
  void leave();

 private:
  std::byte* stack_;
  void* inside_ = nullptr;   // the stack pointer of the fiber while it does not run
  void* outside_ = nullptr;  // of its resume() while it does
  // ThreadSanitizer's names of the same two.
  void *seen_inside_ = nullptr, *seen_outside_ = nullptr;
};

}  // namespace emulation
