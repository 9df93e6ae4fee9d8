#include "src/runtime/log.h"

#include <atomic>
#include <mutex>
#include <utility>

namespace adaface {
namespace {

std::atomic<LogLevel> most{LogLevel::none};

struct Log {
  std::mutex mutex;
  LogFunction function;
};
// Made when it is first needed and never destroyed: threads may still write while the process ends.
Log& current() {
  static Log* const log = new Log;
  return *log;
}

}  // namespace

void set_log(LogLevel level, LogFunction function) {
  Log& log = current();
  const std::lock_guard lock(log.mutex);
  most = function ? level : LogLevel::none;
  std::swap(log.function, function);  // the former one is destroyed last, outside the lock
}

bool log::enabled(LogLevel level) noexcept {
  return level != LogLevel::none && level <= most.load(std::memory_order_relaxed);
}

void log::write(LogLevel level, const std::string& message) noexcept {
  try {
    Log& log = current();
    const std::lock_guard lock(log.mutex);
    if (enabled(level) && log.function) log.function(level, message);
  } catch (...) {
    // The function's own trouble.
  }
}

}  // namespace adaface
