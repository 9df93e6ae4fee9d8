// Threads that sleep between runs. The caller is worker 0, so a pool of one starts no thread.
//
// A network is a hundred short runs: a thread that has nothing to do looks again for kLookAgain before it
// sleeps, and gives way to any other thread of its CPU meanwhile. A run is over when its tasks are done,
// whether or not every thread of the pool has found the time to look at it.
//
// In a child of fork, where none of the threads exists, the caller does all the work.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace adaface::nn {

// What options of the public interface mean: 0 is available_cpus(). Throws invalid_argument outside 0 to
// 1024.
int thread_count(int requested);

// A reference to what is called for each index: unlike std::function it never allocates. The callable must
// outlive the call that it is passed to.
class TaskRef {
 public:
  template <typename Task>
  TaskRef(const Task& task)  // NOLINT: passes lambdas on
      : task_(&task), call_([](const void* self, int index, int worker) {
          (*static_cast<const Task*>(self))(index, worker);
        }) {}
  void operator()(int index, int worker) const { call_(task_, index, worker); }

 private:
  const void* task_;
  void (*call_)(const void*, int, int);
};

class ThreadPool {
 public:
  // `enter` runs once on every started thread before its first task.
  explicit ThreadPool(int threads, void (*enter)() = nullptr);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_->size()) + 1; }

  // Calls task(index, worker) for index in [0, count), each once, on the threads of the pool;
  // returns when all are done. The first exception is rethrown here, after the others have finished. One
  // caller at a time; not reentrant.
  void run(int count, TaskRef task);

 private:
  void start(int threads);
  void work(int worker);
  void share(int count, TaskRef task);
  void drain(int worker);
  void perform(const TaskRef& task, int index, int worker);

  const int process_;  // whose threads they are
  std::unique_ptr<std::vector<std::thread>> workers_ = std::make_unique<std::vector<std::thread>>();
  void (*enter_)();
  // Number of the run, its count of tasks and the next task, in one word: a thread that comes late takes
  // nothing from a run that it has not seen begin.
  std::atomic<std::uint64_t> state_{0};
  std::atomic<const TaskRef*> task_{nullptr};
  std::atomic<std::int32_t> pending_{0};      // tasks of the run that are not done
  std::atomic<std::uint32_t> generation_{0};  // a change wakes the workers
  std::atomic<bool> stop_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

// On `pool`, or on this thread alone where it is null.
inline void run_tasks(ThreadPool* pool, int count, TaskRef task) {
  if (pool) return pool->run(count, task);
  for (int index = 0; index < count; ++index) task(index, 0);
}

}  // namespace adaface::nn
