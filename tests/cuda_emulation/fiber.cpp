#include "tests/cuda_emulation/fiber.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>

#include "tests/cuda_emulation/races.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

// switch_stack(save, load): keeps what the calling convention wants kept on this stack, stores its pointer in
// *save, goes on where the stack `load` was left. A new stack returns into `begin`, which finds the entry
// point and its argument in kept registers.
#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
.globl emulation_switch_stack
.hidden emulation_switch_stack
.type emulation_switch_stack, @function
emulation_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch_stack, .-emulation_switch_stack
.globl emulation_begin
.hidden emulation_begin
.type emulation_begin, @function
emulation_begin:
  movq %r12, %rdi
  callq *%r13
  ud2
.size emulation_begin, .-emulation_begin
)");
extern "C" void emulation_begin();
#elif defined(__aarch64__)
asm(R"(
.text
.p2align 4
.globl emulation_switch_stack
.hidden emulation_switch_stack
.type emulation_switch_stack, %function
emulation_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size emulation_switch_stack, .-emulation_switch_stack
.globl emulation_begin
.hidden emulation_begin
.type emulation_begin, %function
emulation_begin:
  mov x0, x19
  blr x20
  brk #1
.size emulation_begin, .-emulation_begin
)");
extern "C" void emulation_begin();
#else
#error "no switch of stacks for this architecture: build without tests of the CUDA kernels"
#endif
extern "C" void emulation_switch_stack(void** save, void* load);

namespace emulation {
namespace {
std::atomic<int> fibers{0};
}

#if defined(__SANITIZE_THREAD__)
constexpr unsigned kUnordered = 1;  // a switch says nothing about what happened before what
#endif

int Fiber::count() {
  return fibers;
}

Fiber::Fiber() {
  ++fibers;
  const Unseen unseen;
  void* memory = ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  ::mprotect(memory, 4096, PROT_NONE);  // an overflow is a fault, not another stack's data
  stack_ = static_cast<std::byte*>(memory);
#if defined(__SANITIZE_THREAD__)
  seen_inside_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  --fibers;
  ::munmap(stack_, kStackBytes);
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(seen_inside_);
#endif
}

void Fiber::start(void (*entry)(void*), void* argument) {
#if defined(__SANITIZE_ADDRESS__)
  // What the frames that were left behind have marked.
  __asan_unpoison_memory_region(stack_, kStackBytes);
#endif
  const auto top = reinterpret_cast<std::uintptr_t>(stack_ + kStackBytes) & ~std::uintptr_t{15};
#if defined(__x86_64__)
  auto* frame = reinterpret_cast<void**>(top) - 9;  // so that `begin` finds it aligned
  std::memset(frame, 0, 8 * sizeof *frame);
  frame[2] = reinterpret_cast<void*>(entry);  // r13
  frame[3] = argument;                        // r12
  frame[6] = reinterpret_cast<void*>(&emulation_begin);
#else
  auto* frame = reinterpret_cast<void**>(top - 160);
  std::memset(frame, 0, 160);
  frame[0] = argument;                                    // x19
  frame[1] = reinterpret_cast<void*>(entry);              // x20
  frame[11] = reinterpret_cast<void*>(&emulation_begin);  // x30
#endif
  inside_ = frame;
}

EMULATION_UNSEEN void Fiber::resume() {
#if defined(__SANITIZE_THREAD__)
  seen_outside_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(seen_inside_, kUnordered);
#endif
  emulation_switch_stack(&outside_, inside_);
}

EMULATION_UNSEEN void Fiber::leave() {
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(seen_outside_, kUnordered);
#endif
  emulation_switch_stack(&inside_, outside_);
}

}  // namespace emulation
