#include "src/nn/thread_pool.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

namespace adaface::nn {
namespace {

// Longer than the gaps between the layers of a network, shorter than anybody would notice.
constexpr std::chrono::microseconds kLookAgain{50};

// {run: 24 bits, count: 20, next: 20}
constexpr int kTaskBits = 20;
constexpr int kMostTasks = (1 << kTaskBits) - 1;

std::uint64_t word(std::uint32_t generation, int count) {
  return static_cast<std::uint64_t>(generation) << (2 * kTaskBits) | static_cast<std::uint64_t>(count)
                                                                         << kTaskBits;
}
int count_of(std::uint64_t state) {
  return static_cast<int>(state >> kTaskBits & kMostTasks);
}
int next_of(std::uint64_t state) {
  return static_cast<int>(state & kMostTasks);
}

template <typename Condition>
void look_again(Condition condition) {
  if (condition()) return;
  const auto until = std::chrono::steady_clock::now() + kLookAgain;
  while (!condition() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
}

}  // namespace

ThreadPool::ThreadPool(int threads, void (*enter)()) : process_(::getpid()), enter_(enter) {
  workers_->reserve(static_cast<std::size_t>(std::max(threads, 1) - 1));
  if (threads > 1) start(threads);
}

void ThreadPool::start(int threads) {
  // A new thread has its maker's mask: the process's signals are for threads of its own.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (int worker = 1; worker < threads; ++worker) workers_->emplace_back(&ThreadPool::work, this, worker);
  } catch (const std::system_error&) {
    // The system has no more threads to give: go on with those that started.
  } catch (const std::bad_alloc&) {
    // Nor memory for them.
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ThreadPool::~ThreadPool() {
  if (::getpid() != process_) {
    // A child of fork: there are no threads to wait for, and what their handles point to may be another
    // thread's by now.
    workers_.release();
    return;
  }
  stop_ = true;
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& worker : *workers_) worker.join();
}

void ThreadPool::run(int count, TaskRef task) {
  if (count <= 1 || workers_->empty()) {
    for (int index = 0; index < count; ++index) perform(task, index, 0);
  } else if (count <= kMostTasks) {
    share(count, task);
  } else {
    for (int first = 0; first < count; first += kMostTasks) {
      const auto part = [&](int index, int worker) { task(first + index, worker); };
      share(std::min(kMostTasks, count - first), part);
    }
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::share(int count, TaskRef task) {
  task_.store(&task, std::memory_order_relaxed);
  pending_.store(count, std::memory_order_relaxed);
  const std::uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  state_.store(word(generation, count), std::memory_order_release);
  generation_.store(generation, std::memory_order_release);
  generation_.notify_all();
  drain(0);
  look_again([&] { return pending_.load(std::memory_order_acquire) == 0; });
  for (std::int32_t pending; (pending = pending_.load(std::memory_order_acquire)) != 0;)
    pending_.wait(pending, std::memory_order_acquire);
}

void ThreadPool::perform(const TaskRef& task, int index, int worker) {
  try {
    task(index, worker);
  } catch (...) {
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::drain(int worker) {
  std::uint64_t state = state_.load(std::memory_order_acquire);
  while (next_of(state) < count_of(state)) {
    const TaskRef* task = task_.load(std::memory_order_relaxed);
    // Succeeds only while the run goes on: this task is still to be done, so `task` is this run's.
    if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel, std::memory_order_acquire))
      continue;
    perform(*task, next_of(state), worker);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
    state = state_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int worker) {
  if (enter_) enter_();
  for (std::uint32_t seen = 0;;) {
    look_again([&] { return generation_.load(std::memory_order_acquire) != seen; });
    generation_.wait(seen, std::memory_order_acquire);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    drain(worker);
  }
}

}  // namespace adaface::nn
