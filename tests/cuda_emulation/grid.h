// CUDA's execution model on a CPU: the threads of a block take turns on one thread of the system, switching
// where they wait for one another. Blocks run in any order, on several threads of the system. What a kernel
// gets wrong, index arithmetic, barriers, uninitialised memory, shows here as on a device; a barrier that not
// all threads reach ends the program and says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "tests/cuda_emulation/fiber.h"

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

namespace emulation {

struct Barrier {
  int arrived = 0;
  unsigned generation = 0;
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
};

struct Block {
  dim3 index, size, grid;
  Cluster* cluster = nullptr;
  int threads = 0, running = 0;
  std::byte* shared = nullptr;
  std::size_t shared_bytes = 0;
  int unfenced = 0;  // threads
  Barrier all;
  Team warps[32], warpgroups[8];
  const std::function<void()>* body = nullptr;
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
// The cluster's barrier, in two halves.
void arrive(Cluster& cluster);
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

inline int lane() {
  return self->number % 32;
}
template <typename Act>
void warp_together(void* mine, Act act) {
  together(self->block->warps[self->number / 32], lane(), 32, mine, act);
}
template <typename Act>
void warpgroup_together(void* mine, Act act) {
  together(self->block->warpgroups[self->number / 128], self->number % 128, 128, mine, act);
}

// The order in which the threads of a block take turns: 0 ascending, 1 descending, else shuffled with this
// seed, anew in every round. And of streams: 0 as late as possible, 1 at once, else ahead of the host's waits
// at random. A result that depends on it is a race.
void set_schedule(unsigned seed);
unsigned schedule();

// Runs all blocks, in clusters of `in_cluster` along y; `shared_bytes` of shared memory each, filled with
// bytes that make NaNs.
void run_grid(dim3 grid, dim3 block, unsigned in_cluster, std::size_t shared_bytes,
              const std::function<void()>& body);

}  // namespace emulation
