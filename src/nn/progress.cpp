#include "src/nn/progress.h"

#include <atomic>

#include "src/error.hpp"

namespace adaface::nn {

void Progress::report(double part) const {
  if (function_ && !function_(begin_ + (end_ - begin_) * part))
    throw Error(ErrorCode::cancelled, "stopped by its progress function");
}

void Progress::run(ThreadPool& pool, int count, TaskRef task) const {
  if (!function_) return pool.run(count, task);
  std::atomic<bool> stopped{false};
  pool.run(count, [&](int i, int worker) {
    if (stopped.load(std::memory_order_relaxed)) return;
    if (worker == 0) {
      try {
        report(static_cast<double>(i) / count);
      } catch (...) {
        stopped.store(true, std::memory_order_relaxed);
        throw;
      }
    }
    task(i, worker);
  });
}

}  // namespace adaface::nn
