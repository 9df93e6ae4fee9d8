// Threads that sleep between runs. The caller is worker 0, so a pool of one starts no thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace adaface::nn {

class ThreadPool {
 public:
  // `enter` runs once on every started thread before its first task.
  explicit ThreadPool(int threads, void (*enter)() = nullptr);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(index, worker) for index in [0, count), each once, on the threads of the pool; returns when
  // all are done. The first exception is rethrown here, after the others have finished. One caller at a time;
  // not reentrant.
  void run(int count, const std::function<void(int index, int worker)>& task);

 private:
  void work(int worker);
  void drain(int worker);

  std::vector<std::thread> workers_;
  void (*enter_)();
  const std::function<void(int, int)>* task_ = nullptr;
  int count_ = 0;
  std::atomic<int> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<std::uint32_t> generation_{0};  // a change wakes the workers
  std::atomic<bool> stop_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace adaface::nn
