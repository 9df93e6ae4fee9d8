// Which operations order the threads of the emulated device for ThreadSanitizer: a kernel with one of them is
// passed, the same without it reported. In builds with ThreadSanitizer alone (tools/sanitize thread).
#include <string>
#include <vector>

#include "kernels/cuda/last_block.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "tests/child_process.h"
#include "tests/cuda_main.h"
#include "tests/cuda_memory.h"

namespace {

using namespace adaface::kernels::cuda;
using namespace adaface::testing;
using adaface::nn::cuda::DeviceMemory;
using adaface::nn::cuda::Stream;

constexpr int kThreads = 64, kBlocks = 3;
constexpr std::size_t kSharedBytes = 48 << 10;

const std::string kPassed = "exit code 0", kReported = "exit code 66";

struct Memory {
  float *src, *dst;
  unsigned* counter;
};

// In a process of its own, since a report ends it.
template <typename... Launches>
std::string ending_of(Launches... launches) {
  return in_child([&] {
    Stream stream;
    const DeviceMemory src = on_device(stream, std::vector<float>(kBlocks * kThreads * 16, 1.0f)),
                       dst = on_device(stream, std::vector<float>(kBlocks * kThreads, 0.0f)),
                       counter = on_device(stream, std::vector<unsigned>(1, 0u));
    const Memory memory{src.as<float>(), dst.as<float>(), counter.as<unsigned>()};
    (launches(memory, stream.get()), ...);
    return fetch<float>(stream, dst).empty() ? 1 : 0;
  });
}

template <void (*kKernel)(Memory), unsigned kInCluster = 1, unsigned kDown = kBlocks,
          unsigned kAcross = kThreads>
void run(Memory memory, cudaStream_t stream) {
  using adaface::nn::cuda::check;
  check(prepare_kernel(kKernel, kSharedBytes), "test");
  check(launch_clusters(kInCluster, kKernel, dim3(1, kDown), dim3(kAcross), kSharedBytes, stream, memory),
        "test");
}
template <void (*kKernel)(Memory)>
constexpr auto run_cluster = run<kKernel, kBlocks>;
template <void (*kKernel)(Memory)>
constexpr auto run_warpgroup = run<kKernel, 1, 1, 128>;

int thread() {
  return static_cast<int>(threadIdx.x);
}
int neighbour() {
  return (thread() + 1) % kThreads;
}
int place() {
  return static_cast<int>(blockIdx.y) * kThreads + thread();
}
float* shared() {
  return reinterpret_cast<float*>(ptx::dynamic_shared());
}

template <bool kBarrier>
void exchange(Memory memory) {
  ptx::wait_for_previous_kernel();
  shared()[thread()] = memory.src[place()];
  if (kBarrier) __syncthreads();
  memory.dst[place()] = shared()[neighbour()];
}

template <bool kBarrier>
void copy(Memory memory) {
  ptx::wait_for_previous_kernel();
  ptx::copy_async(shared() + 4 * thread(), memory.src + 4 * place(), 16);
  ptx::commit_copies();
  ptx::wait_for_copies<0>();
  if (kBarrier) __syncthreads();
  memory.dst[place()] = shared()[4 * neighbour()];
}

// A copy to where others may still read.
template <bool kBarrier>
void copy_again(Memory memory) {
  ptx::wait_for_previous_kernel();
  shared()[4 * thread()] = memory.src[place()];
  __syncthreads();
  memory.dst[place()] = shared()[4 * neighbour()];
  if (kBarrier) __syncthreads();
  ptx::copy_async(shared() + 4 * thread(), memory.src + 4 * place(), 16);
  ptx::commit_copies();
  ptx::wait_for_copies<0>();
}

// Of the fences of is_last_block, before the atomic operation and after it.
template <bool kBefore, bool kAfter>
void add_up_blocks(Memory memory) {
  ptx::wait_for_previous_kernel();
  memory.dst[place()] = memory.src[place()];
  bool* const flag = reinterpret_cast<bool*>(shared());
  if (kBefore && kAfter) {
    if (!is_last_block(memory.counter, kBlocks, flag)) return;
  } else {
    __syncthreads();
    if (thread() == 0) {
      if (kBefore) __threadfence();
      *flag = atomicAdd(memory.counter, 1u) + 1 == kBlocks;
      if (kAfter) __threadfence();
    }
    __syncthreads();
    if (!*flag) return;
  }
  float sum = 0;
  for (int i = thread(); i < kBlocks * kThreads; i += kThreads) sum += __ldcg(memory.dst + i);
  memory.src[thread()] = sum;
}

template <bool kShow>
void add_up_cluster(Memory memory) {
  ptx::wait_for_previous_kernel();
  shared()[4 * thread()] = memory.src[place()];
  if (kShow)
    ptx::arrive_at_cluster();
  else
    ptx::arrive_at_cluster_for_leaving();
  ptx::wait_for_cluster();
  memory.dst[place()] =
      ptx::load_from_block(shared() + 4 * thread(), (static_cast<int>(blockIdx.y) + 1) % kBlocks).x;
  ptx::arrive_at_cluster_for_leaving();
  ptx::wait_for_cluster();
}

void produce(Memory memory) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  memory.dst[place()] = memory.src[place()];
}
template <bool kWait>
void consume(Memory memory) {
  if (kWait) ptx::wait_for_previous_kernel();
  memory.src[place()] = memory.dst[place()];
}

// Writes to the rows of a product that may still be under way.
template <bool kWait>
void multiply(Memory) {
  float sums[32] = {};
  for (int i = thread(); i < 128 * 32; i += 128) shared()[i] = 0;
  ptx::fence_shared_for_products();
  __syncthreads();
  const std::uint64_t rows = ptx::describe_matrix(shared()),
                      columns = ptx::describe_matrix(shared() + 64 * 32);
  ptx::begin_products();
  ptx::multiply_warpgroup<ptx::Product::f16, 64>(sums, rows, columns);
  ptx::commit_products();
  if (kWait) ptx::wait_for_products<0>();
  __syncthreads();
  shared()[127 * 32 - thread() * 32] = sums[0];
  ptx::wait_for_products<0>();
}

}  // namespace

TEST_CASE("a block's barrier orders its threads") {
  CHECK(ending_of(run<exchange<true>>) == kPassed);
  CHECK(ending_of(run<exchange<false>>) == kReported);
}

TEST_CASE("a copy is its own thread's, from the request to the wait") {
  CHECK(ending_of(run<copy<true>>) == kPassed);
  CHECK(ending_of(run<copy<false>>) == kReported);
  CHECK(ending_of(run<copy_again<true>>) == kPassed);
  CHECK(ending_of(run<copy_again<false>>) == kReported);
}

TEST_CASE("an atomic operation orders blocks only between fences") {
  CHECK(ending_of(run<add_up_blocks<true, true>>) == kPassed);
  CHECK(ending_of(run<add_up_blocks<true, false>>) == kReported);
  CHECK(ending_of(run<add_up_blocks<false, true>>) == kReported);
}

TEST_CASE("a cluster's barrier orders its blocks, if they arrive to show what they wrote") {
  CHECK(ending_of(run_cluster<add_up_cluster<true>>) == kPassed);
  CHECK(ending_of(run_cluster<add_up_cluster<false>>) == kReported);
}

TEST_CASE("a kernel comes after the one before when it has waited for it") {
  CHECK(ending_of(run<produce>, run<consume<true>>) == kPassed);
  CHECK(ending_of(run<produce>, run<consume<false>>) == kReported);
}

TEST_CASE("a product reads until it is waited for") {
  CHECK(ending_of(run_warpgroup<multiply<true>>) == kPassed);
  CHECK(ending_of(run_warpgroup<multiply<false>>) == kReported);
}
