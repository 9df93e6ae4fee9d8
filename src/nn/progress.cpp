#include "src/nn/progress.h"

#include <atomic>
#include <exception>

#include "src/error.hpp"

namespace adaface::nn {

void Progress::report(double part) const {
  if (function_ && !function_(begin_ + (end_ - begin_) * part))
    throw Error(ErrorCode::cancelled, "stopped by its progress function");
}

void Progress::run(ThreadPool& pool, int count, TaskRef task) const {
  if (!function_) return pool.run(count, task);
  run_long(pool, count, [&](int i, int worker, const Progress*) { task(i, worker); });
}

void Progress::run_long(ThreadPool& pool, int count,
                        const std::function<void(int, int, const Progress*)>& task) const {
  if (!function_) return pool.run(count, [&](int i, int worker) { task(i, worker, nullptr); });
  std::atomic<bool> stopped{false};
  std::exception_ptr reason;  // the calling thread's, before those of tasks that only follow it
  const auto perform = [&](int i, int worker) {
    if (stopped.load(std::memory_order_acquire)) return;
    const auto tell = [&](double part) {
      if (worker != 0) return !stopped.load(std::memory_order_acquire);
      try {
        report((i + part) / count);
      } catch (...) {
        reason = std::current_exception();
        stopped.store(true, std::memory_order_release);
        throw;
      }
      return true;
    };
    Progress own;
    own.set(std::ref(tell));
    own.report(0);
    task(i, worker, &own);
  };
  try {
    pool.run(count, perform);
  } catch (...) {
    if (reason) std::rethrow_exception(reason);
    throw;
  }
}

}  // namespace adaface::nn
