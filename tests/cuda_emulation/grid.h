// CUDA's execution model on a CPU: the threads of a block take turns on one thread of the system, switching
// where they wait for one another. Blocks run in any order, on several threads of the system. What a kernel
// gets wrong, index arithmetic, barriers, uninitialised memory, shows here as on a device; a barrier that not
// all threads reach ends the program and says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/cuda_emulation/fiber.h"
#include "tests/cuda_emulation/races.h"

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

namespace emulation {

struct Barrier {
  int arrived = 0;
  unsigned generation = 0;
  char order[2] = {};  // of even and odd generations

  const void* order_of(unsigned which) const { return &order[which % 2]; }
};

// Lanes that do something together: what each brings, and where they wait.
struct Team {
  Barrier barrier;
  void* brought[128] = {};
};

// A copy that has been asked for and not waited for.
struct PendingCopy {
  void* dst;
  const void* src;
  int bytes, read;  // beyond `read` zeros
};

// A product of a warpgroup, likewise.
struct PendingProduct {
  float* sums;
  std::uint64_t a, b;
  int columns, factors;
};

struct Block;
struct Cluster;

struct Thread {
  Fiber fiber;
  Block* block = nullptr;
  dim3 index;
  int number = 0;  // within the block
  bool done = true;
  std::vector<PendingCopy> copies;
  std::vector<std::size_t> groups;  // how many of them each committed group ends with
  bool is_unfenced = false;         // copies are there that products may not see yet
  std::vector<PendingProduct> products;
  std::vector<std::size_t> product_groups;
  bool may_multiply = false;  // since begin_products()
  bool has_arrived = false;   // at the cluster's barrier, and not waited
  unsigned arrived_at = 0;    // its generation then
  bool has_fenced = false;
  std::vector<const void*> atomics;       // since the last fence
  std::shared_ptr<const bool> is_joined;  // of the launch that it ran in last
};

// A launch of a kernel.
struct Grid {
  dim3 size, block;
  unsigned in_cluster = 1;  // blocks, along y
  std::size_t shared_bytes = 0;
  void (*run)(void* call) = nullptr;      // by every thread
  void* call = nullptr;                   // also the address that its end releases
  const void* previous = nullptr;         // that of the launch which may not have ended when this one begins
  std::shared_ptr<const bool> is_joined;  // becomes true when the launch happens before all that comes
};

struct Block {
  dim3 index;
  Cluster* cluster = nullptr;
  int threads = 0, running = 0;
  std::byte* shared = nullptr;
  int unfenced = 0;  // threads
  Barrier all;
  Team warps[32], warpgroups[8];
  const Grid* grid = nullptr;
};

// Blocks along y that run at the same time and read one another's shared memory.
struct Cluster {
  std::vector<Block> blocks;
  Barrier all;
  int threads = 0;
  std::uint64_t events = 0;  // arrivals and exits: without one in a whole round, all wait for ever
};

// The thread that runs.
inline constinit thread_local Thread* self = nullptr;

// Says what a kernel does wrong, and ends the program.
[[noreturn]] void stop(const char* wrong);

// Another thread's turn.
void yield();
void wait(Barrier& barrier, int count);
// The cluster's barrier, in two halves; who arrives without `releasing` orders nothing.
void arrive(Cluster& cluster, bool releasing);
void wait_for_arrivals(Cluster& cluster);
// Where in the shared memory of a block of the cluster lies what `shared` is in this block's.
const std::byte* in_block(const void* shared, int rank);

// Brings `mine`; the last to come runs act(brought), with what lane i brought at i, before any goes on.
template <typename Act>
void together(Team& team, int lane, int lanes, void* mine, Act act) {
  team.brought[lane] = mine;
  ++self->block->cluster->events;
  if (++team.barrier.arrived == lanes) {
    act(team.brought);
    team.barrier.arrived = 0;
    ++team.barrier.generation;
    return;
  }
  const unsigned generation = team.barrier.generation;
  while (team.barrier.generation == generation) yield();
}

EMULATION_UNSEEN inline int lane() {
  return self->number % 32;
}
EMULATION_UNSEEN inline int number_in_warpgroup() {
  return self->number % 128;
}
template <typename Act>
void warp_together(void* mine, Act act) {
  const Unseen unseen;
  together(self->block->warps[self->number / 32], lane(), 32, mine, act);
}
template <typename Act>
void warpgroup_together(void* mine, Act act) {
  const Unseen unseen;
  together(self->block->warpgroups[self->number / 128], number_in_warpgroup(), 128, mine, act);
}

// The order in which the threads of a block take turns: 0 ascending, 1 descending, else shuffled with this
// seed, anew in every round. And of streams: 0 as late as possible, 1 at once, else ahead of the host's waits
// at random. A result that depends on it is a race.
void set_schedule(unsigned seed);
unsigned schedule();

// An atomic operation of a thread, while it lives, for ThreadSanitizer. What comes before a fence before it,
// with no barrier between, happens before what comes after a fence after a later one of the same address.
class SeenAtomic {
 public:
  explicit SeenAtomic(const void* at);
  ~SeenAtomic();
  SeenAtomic(const SeenAtomic&) = delete;
  SeenAtomic& operator=(const SeenAtomic&) = delete;

 private:
  const void* at_;
};
void fence();

// Until the launch before this one has ended.
void wait_for_previous_grid();

// Runs all blocks; shared memory is filled with bytes that make NaNs.
void run_grid(const Grid& grid);

}  // namespace emulation
