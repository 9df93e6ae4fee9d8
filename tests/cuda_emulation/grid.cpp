#include "tests/cuda_emulation/grid.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <ranges>

#include "src/nn/thread_pool.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace emulation {
namespace {

std::atomic<unsigned> chosen_schedule{0};
bool atomic_runs = false;
constexpr int kManyFibers = 3000;  // ThreadSanitizer knows 8128 threads

void finish(Thread& thread) {
  const Unseen unseen;
  if (!thread.products.empty()) stop("a thread ends before its products");
  if (thread.has_arrived) stop("a thread ends before it has waited for its cluster");
  thread.done = true;
  --thread.block->running;
  ++thread.block->cluster->events;
}

EMULATION_UNSEEN void enter(void* argument) {
  auto& thread = *static_cast<Thread*>(argument);
  const Grid& grid = *thread.block->grid;
  acquire(thread.block->cluster);
  grid.run(grid.call);
  release(grid.call);
  finish(thread);
  thread.fiber.leave();
  std::abort();
}

// Shared memory of a block, of which nothing is initialised. For ThreadSanitizer new pages each time, which
// it knows no accesses of.
class Shared {
 public:
  Shared() = default;
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() { unmap(); }

  void give(Block& block) {
    const Unseen unseen;
    const std::size_t bytes = block.grid->shared_bytes, room = bytes + kRoomBehind;
    if (kSeesRaces || room > room_) {
      unmap();
      void* memory = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) throw std::bad_alloc();
      memory_ = static_cast<std::byte*>(memory);
      room_ = room;
    }
    block.shared = memory_;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(memory_, room_);
#endif
    std::memset(memory_, 0xFF, room);
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(memory_ + bytes, room_ - bytes);
#endif
  }

 private:
  static constexpr std::size_t kRoomBehind = 1024;

  void unmap() {
    if (!memory_) return;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(memory_, room_);
#endif
    ::munmap(memory_, room_);
    memory_ = nullptr;
    room_ = 0;
  }

  std::byte* memory_ = nullptr;
  std::size_t room_ = 0;
};

EMULATION_UNSEEN void give_turn(Thread& thread) {
  self = &thread;
  thread.fiber.resume();
  self = nullptr;
}

// What one thread of the system keeps from cluster to cluster.
struct Multiprocessor {
  // In the order in which they were used last.
  std::deque<std::unique_ptr<Thread>> idle;
  std::deque<Shared> shared;

  // To ThreadSanitizer what one fiber does happens in that order. So a fiber is reused when its last launch
  // happens before everything that comes. Of a launch of very many threads, for which new fibers would take
  // minutes, blocks far from one another share them: races between these are not seen.
  std::unique_ptr<Thread> take(const Grid& grid) {
    if (idle.empty()) return std::make_unique<Thread>();
    if constexpr (!kSeesRaces) {
      std::unique_ptr<Thread> last = std::move(idle.back());
      idle.pop_back();
      return last;
    }
    const bool are_many = Fiber::count() >= kManyFibers;
    const auto is_reusable = [&](const Thread& thread) {
      return *thread.is_joined || (are_many && thread.is_joined == grid.is_joined);
    };
    if (!are_many && !is_reusable(*idle.front())) return std::make_unique<Thread>();
    std::unique_ptr<Thread> first = std::move(idle.front());
    idle.pop_front();
    return is_reusable(*first) ? std::move(first) : std::make_unique<Thread>();
  }

  void start(Thread& thread, Block& block, int number) {
    const auto n = static_cast<unsigned>(number);
    thread.block = &block;
    thread.number = number;
    const dim3 size = block.grid->block;
    thread.index = {n % size.x, n / size.x % size.y, n / size.x / size.y};
    thread.done = false;
    thread.copies.clear();
    thread.groups.clear();
    thread.is_unfenced = thread.may_multiply = thread.has_arrived = false;
    thread.products.clear();
    thread.product_groups.clear();
    thread.has_fenced = false;
    thread.atomics.clear();
    thread.is_joined = block.grid->is_joined;
    thread.fiber.start(enter, &thread);
  }

  void run(Cluster& cluster) {
    std::vector<std::unique_ptr<Thread>> threads;
    while (shared.size() < cluster.blocks.size()) shared.emplace_back();
    for (std::size_t rank = 0; rank < cluster.blocks.size(); ++rank) {
      Block& block = cluster.blocks[rank];
      shared[rank].give(block);
      block.cluster = &cluster;
      const dim3 size = block.grid->block;
      block.threads = block.running = static_cast<int>(size.x * size.y * size.z);
      for (int i = 0; i < block.threads; ++i) {
        ++cluster.threads;
        threads.push_back(take(*block.grid));
        start(*threads.back(), block, i);
      }
    }
    release(&cluster);
    const unsigned seed = schedule();
    std::minstd_rand random(seed);
    std::vector<int> order;
    for (int i = 0; i < cluster.threads; ++i) order.push_back(seed == 1 ? cluster.threads - 1 - i : i);
    while (!order.empty()) {
      if (seed > 1) std::shuffle(order.begin(), order.end(), random);
      const std::uint64_t events = cluster.events;
      for (int i : order) {
        give_turn(*threads[static_cast<std::size_t>(i)]);
      }
      std::erase_if(order, [&](int i) { return threads[static_cast<std::size_t>(i)]->done; });
      if (events == cluster.events) {
        const Block& block = cluster.blocks[0];
        std::fprintf(stderr, "emulated device: %zu of %d threads of block (%u, %u, %u) wait for ever\n",
                     order.size(), cluster.threads, block.index.x, block.index.y, block.index.z);
        std::abort();
      }
    }
    // In ordinary builds the next cluster gets the same stacks in the same order.
    if (kSeesRaces)
      std::ranges::move(threads, std::back_inserter(idle));
    else
      std::ranges::move(threads | std::views::reverse, std::back_inserter(idle));
  }
};

}  // namespace

void stop(const char* wrong) {
  const Block& block = *self->block;
  std::fprintf(stderr, "emulated device: %s: thread %d of block (%u, %u, %u)\n", wrong, self->number,
               block.index.x, block.index.y, block.index.z);
  std::abort();
}

EMULATION_UNSEEN void yield() {
  self->fiber.leave();
}

void wait(Barrier& barrier, int count) {
  const Unseen unseen;
  const unsigned generation = barrier.generation;
  release(barrier.order_of(generation));
  ++self->block->cluster->events;
  if (++barrier.arrived == count) {
    barrier.arrived = 0;
    ++barrier.generation;
  }
  while (barrier.generation == generation) yield();
  acquire(barrier.order_of(generation));
  // An earlier fence covers nothing of what the barrier has ordered before this.
  self->has_fenced = false;
}

void arrive(Cluster& cluster, bool releasing) {
  const Unseen unseen;
  if (self->has_arrived) stop("a thread arrives at its cluster's barrier before it has waited there");
  self->has_arrived = true;
  self->arrived_at = cluster.all.generation;
  if (releasing) release(cluster.all.order_of(self->arrived_at));
  ++cluster.events;
  if (++cluster.all.arrived < cluster.threads) return;
  cluster.all.arrived = 0;
  ++cluster.all.generation;
}

void wait_for_arrivals(Cluster& cluster) {
  const Unseen unseen;
  if (!self->has_arrived) stop("a thread waits at its cluster's barrier before it has arrived there");
  while (cluster.all.generation == self->arrived_at) yield();
  self->has_arrived = false;
  acquire(cluster.all.order_of(self->arrived_at));
}

void fence() {
  // ThreadSanitizer knows no fences: there the fence before an atomic operation and the one after it do it.
  if constexpr (!kSeesRaces) return std::atomic_thread_fence(std::memory_order_seq_cst);
  const Unseen unseen;
  self->has_fenced = true;
  for (const void* at : self->atomics) acquire(at);
  self->atomics.clear();
}

// A lock that ThreadSanitizer does not see: only fences order.
EMULATION_UNSEEN SeenAtomic::SeenAtomic(const void* at) : at_(at) {
  while (__atomic_exchange_n(&atomic_runs, true, __ATOMIC_ACQUIRE)) {
  }
}
EMULATION_UNSEEN SeenAtomic::~SeenAtomic() {
  if (self->has_fenced) release(at_);
  __atomic_store_n(&atomic_runs, false, __ATOMIC_RELEASE);
  const Unseen unseen;
  self->atomics.push_back(at_);
}

EMULATION_UNSEEN void wait_for_previous_grid() {
  if (const void* previous = self->block->grid->previous) acquire(previous);
}

const std::byte* in_block(const void* shared, int rank) {
  const Unseen unseen;
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

void run_grid(const Grid& grid) {
  // Kernels of several host threads run one after the other.
  static std::mutex mutex;
  static adaface::nn::ThreadPool pool(kSeesRaces ? 2 : adaface::nn::thread_count(0), nullptr);
  const std::lock_guard lock(mutex);
  const unsigned clusters_down = grid.size.y / grid.in_cluster;
  const auto run_cluster = [&](int number, int) {
    static thread_local Multiprocessor multiprocessor;
    const auto i = static_cast<unsigned>(number);
    // Not on the stack: ThreadSanitizer takes an address for the same until its memory is freed.
    const auto on_heap = std::make_unique<Cluster>();
    Cluster& cluster = *on_heap;
    cluster.blocks.resize(grid.in_cluster);
    for (unsigned rank = 0; rank < grid.in_cluster; ++rank) {
      Block& block = cluster.blocks[rank];
      block.index = {i % grid.size.x, i / grid.size.x % clusters_down * grid.in_cluster + rank,
                     i / grid.size.x / clusters_down};
      block.grid = &grid;
    }
    multiprocessor.run(cluster);
  };
  pool.run(static_cast<int>(grid.size.x * clusters_down * grid.size.z), run_cluster);
}

}  // namespace emulation
