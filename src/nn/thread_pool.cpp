#include "src/nn/thread_pool.h"

#include <system_error>
#include <utility>

namespace adaface::nn {

ThreadPool::ThreadPool(int threads, void (*enter)()) : enter_(enter) {
  try {
    for (int worker = 1; worker < threads; ++worker) workers_.emplace_back(&ThreadPool::work, this, worker);
  } catch (const std::system_error&) {
    // The system has no more threads to give: go on with those that started.
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int count, TaskRef task) {
  task_ = &task;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  if (count > 1 && !workers_.empty()) {
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }
  drain(0);
  for (int busy = busy_.load(std::memory_order_acquire); busy != 0;
       busy = busy_.load(std::memory_order_acquire))
    busy_.wait(busy, std::memory_order_acquire);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::drain(int worker) {
  for (int index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
    try {
      (*task_)(index, worker);
    } catch (...) {
      const std::lock_guard lock(error_mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }
}

void ThreadPool::work(int worker) {
  if (enter_) enter_();
  for (std::uint32_t seen = 0;;) {
    generation_.wait(seen, std::memory_order_acquire);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    drain(worker);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace adaface::nn
