#include "tests/cuda_emulation/grid.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>

#include "src/nn/thread_pool.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace emulation {
namespace {

constexpr std::size_t kSharedAlignment = 1024;
std::atomic<unsigned> chosen_schedule{0};

void enter(void* argument) {
  auto& thread = *static_cast<Thread*>(argument);
  (*thread.block->body)();
  if (!thread.products.empty()) stop("a thread ends before its products");
  thread.done = true;
  ++thread.block->events;
  thread.fiber.leave();
  std::abort();
}

// What one thread of the system keeps from block to block.
struct Multiprocessor {
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<std::byte> shared;

  void run(Block& block) {
    block.threads = static_cast<int>(block.size.x * block.size.y * block.size.z);
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(shared.data(), shared.size());
#endif
    shared.resize(block.shared_bytes + kSharedAlignment);
    void* begin = shared.data();
    std::size_t room = shared.size();
    block.shared = static_cast<std::byte*>(std::align(kSharedAlignment, block.shared_bytes, begin, room));
    std::memset(shared.data(), 0xFF, shared.size());
#if defined(__SANITIZE_ADDRESS__)
    std::byte* const end = block.shared + block.shared_bytes;
    __asan_poison_memory_region(end, static_cast<std::size_t>(shared.data() + shared.size() - end));
#endif
    while (static_cast<int>(threads.size()) < block.threads) threads.push_back(std::make_unique<Thread>());
    for (int i = 0; i < block.threads; ++i) {
      Thread& thread = *threads[static_cast<std::size_t>(i)];
      const auto number = static_cast<unsigned>(i);
      thread.block = &block;
      thread.number = i;
      thread.index = {number % block.size.x, number / block.size.x % block.size.y,
                      number / block.size.x / block.size.y};
      thread.done = false;
      thread.copies.clear();
      thread.groups.clear();
      thread.is_unfenced = thread.may_multiply = false;
      thread.products.clear();
      thread.product_groups.clear();
      thread.fiber.start(enter, &thread);
    }
    const unsigned seed = schedule();
    std::minstd_rand random(seed);
    std::vector<int> order;
    for (int i = 0; i < block.threads; ++i) order.push_back(seed == 1 ? block.threads - 1 - i : i);
    while (!order.empty()) {
      if (seed > 1) std::shuffle(order.begin(), order.end(), random);
      const std::uint64_t events = block.events;
      for (int i : order) {
        self = threads[static_cast<std::size_t>(i)].get();
        self->fiber.resume();
      }
      std::erase_if(order, [&](int i) { return threads[static_cast<std::size_t>(i)]->done; });
      if (events == block.events) {
        std::fprintf(stderr, "emulated device: %zu of %d threads of block (%u, %u, %u) wait for ever\n",
                     order.size(), block.threads, block.index.x, block.index.y, block.index.z);
        std::abort();
      }
    }
    self = nullptr;
  }
};

}  // namespace

void stop(const char* wrong) {
  const Block& block = *self->block;
  std::fprintf(stderr, "emulated device: %s: thread %d of block (%u, %u, %u)\n", wrong, self->number,
               block.index.x, block.index.y, block.index.z);
  std::abort();
}

void yield() {
  self->fiber.leave();
}

void wait(Barrier& barrier, int count) {
  ++self->block->events;
  if (++barrier.arrived == count) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  const unsigned generation = barrier.generation;
  while (barrier.generation == generation) yield();
}

void set_schedule(unsigned seed) {
  chosen_schedule = seed;
}
unsigned schedule() {
  return chosen_schedule;
}

void run_grid(dim3 grid, dim3 size, std::size_t shared_bytes, const std::function<void()>& body) {
  // Kernels of several host threads run one after the other.
  static std::mutex mutex;
  static adaface::nn::ThreadPool pool(adaface::nn::thread_count(0), nullptr);
  const std::lock_guard lock(mutex);
  const auto run_block = [&](int number, int) {
    static thread_local Multiprocessor multiprocessor;
    const auto i = static_cast<unsigned>(number);
    Block block;
    block.index = {i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y};
    block.size = size;
    block.grid = grid;
    block.shared_bytes = shared_bytes;
    block.body = &body;
    multiprocessor.run(block);
  };
  pool.run(static_cast<int>(grid.x * grid.y * grid.z), run_block);
}

}  // namespace emulation
