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
  if (thread.has_arrived) stop("a thread ends before it has waited for its cluster");
  thread.done = true;
  --thread.block->running;
  ++thread.block->cluster->events;
  thread.fiber.leave();
  std::abort();
}

// Shared memory of a block, of which nothing is initialised.
class Shared {
 public:
  void give(Block& block) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(bytes_.data(), bytes_.size());
#endif
    bytes_.resize(block.shared_bytes + kSharedAlignment);
    void* begin = bytes_.data();
    std::size_t room = bytes_.size();
    block.shared = static_cast<std::byte*>(std::align(kSharedAlignment, block.shared_bytes, begin, room));
    std::memset(bytes_.data(), 0xFF, bytes_.size());
#if defined(__SANITIZE_ADDRESS__)
    std::byte* const end = block.shared + block.shared_bytes;
    __asan_poison_memory_region(end, static_cast<std::size_t>(bytes_.data() + bytes_.size() - end));
#endif
  }

 private:
  std::vector<std::byte> bytes_;
};

// What one thread of the system keeps from cluster to cluster.
struct Multiprocessor {
  std::vector<std::unique_ptr<Thread>> threads;
  std::vector<Shared> shared;

  void start(Thread& thread, Block& block, int number) {
    const auto n = static_cast<unsigned>(number);
    thread.block = &block;
    thread.number = number;
    thread.index = {n % block.size.x, n / block.size.x % block.size.y, n / block.size.x / block.size.y};
    thread.done = false;
    thread.copies.clear();
    thread.groups.clear();
    thread.is_unfenced = thread.may_multiply = thread.has_arrived = false;
    thread.products.clear();
    thread.product_groups.clear();
    thread.fiber.start(enter, &thread);
  }

  void run(Cluster& cluster) {
    if (shared.size() < cluster.blocks.size()) shared.resize(cluster.blocks.size());
    for (std::size_t rank = 0; rank < cluster.blocks.size(); ++rank) {
      Block& block = cluster.blocks[rank];
      shared[rank].give(block);
      block.cluster = &cluster;
      block.threads = block.running = static_cast<int>(block.size.x * block.size.y * block.size.z);
      for (int i = 0; i < block.threads; ++i) {
        const auto place = static_cast<std::size_t>(cluster.threads++);
        if (place == threads.size()) threads.push_back(std::make_unique<Thread>());
        start(*threads[place], block, i);
      }
    }
    const unsigned seed = schedule();
    std::minstd_rand random(seed);
    std::vector<int> order;
    for (int i = 0; i < cluster.threads; ++i) order.push_back(seed == 1 ? cluster.threads - 1 - i : i);
    while (!order.empty()) {
      if (seed > 1) std::shuffle(order.begin(), order.end(), random);
      const std::uint64_t events = cluster.events;
      for (int i : order) {
        self = threads[static_cast<std::size_t>(i)].get();
        self->fiber.resume();
      }
      std::erase_if(order, [&](int i) { return threads[static_cast<std::size_t>(i)]->done; });
      if (events == cluster.events) {
        const Block& block = cluster.blocks[0];
        std::fprintf(stderr, "emulated device: %zu of %d threads of block (%u, %u, %u) wait for ever\n",
                     order.size(), cluster.threads, block.index.x, block.index.y, block.index.z);
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
  ++self->block->cluster->events;
  if (++barrier.arrived == count) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  const unsigned generation = barrier.generation;
  while (barrier.generation == generation) yield();
}

void arrive(Cluster& cluster) {
  if (self->has_arrived) stop("a thread arrives at its cluster's barrier before it has waited there");
  self->has_arrived = true;
  self->arrived_at = cluster.all.generation;
  ++cluster.events;
  if (++cluster.all.arrived < cluster.threads) return;
  cluster.all.arrived = 0;
  ++cluster.all.generation;
}

void wait_for_arrivals(Cluster& cluster) {
  if (!self->has_arrived) stop("a thread waits at its cluster's barrier before it has arrived there");
  while (cluster.all.generation == self->arrived_at) yield();
  self->has_arrived = false;
}

const std::byte* in_block(const void* shared, int rank) {
  const std::vector<Block>& blocks = self->block->cluster->blocks;
  if (rank < 0 || static_cast<std::size_t>(rank) >= blocks.size()) stop("no such block in the cluster");
  const Block& block = blocks[static_cast<std::size_t>(rank)];
  if (block.running < block.threads) stop("a block of the cluster may have ended when its memory is read");
  return block.shared + (static_cast<const std::byte*>(shared) - self->block->shared);
}

void set_schedule(unsigned seed) {
  chosen_schedule = seed;
}
unsigned schedule() {
  return chosen_schedule;
}

void run_grid(dim3 grid, dim3 size, unsigned in_cluster, std::size_t shared_bytes,
              const std::function<void()>& body) {
  // Kernels of several host threads run one after the other.
  static std::mutex mutex;
  static adaface::nn::ThreadPool pool(adaface::nn::thread_count(0), nullptr);
  const std::lock_guard lock(mutex);
  const unsigned clusters_down = grid.y / in_cluster;
  const auto run_cluster = [&](int number, int) {
    static thread_local Multiprocessor multiprocessor;
    const auto i = static_cast<unsigned>(number);
    Cluster cluster;
    cluster.blocks.resize(in_cluster);
    for (unsigned rank = 0; rank < in_cluster; ++rank) {
      Block& block = cluster.blocks[rank];
      block.index = {i % grid.x, i / grid.x % clusters_down * in_cluster + rank, i / grid.x / clusters_down};
      block.size = size;
      block.grid = grid;
      block.shared_bytes = shared_bytes;
      block.body = &body;
    }
    multiprocessor.run(cluster);
  };
  pool.run(static_cast<int>(grid.x * clusters_down * grid.z), run_cluster);
}

}  // namespace emulation
