#include "src/runtime/log.h"

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <new>
#include <utility>

namespace adaface {
namespace {

std::atomic<LogLevel> most{LogLevel::none};

struct Log {
  // Of the thread that is inside the function, which may end up here again.
  std::recursive_mutex mutex;
  LogFunction function;
  bool writing = false;

  Log();
};
// Made when it is first needed and never destroyed: threads may still write while the process ends.
Log& current() {
  alignas(Log) static std::byte place[sizeof(Log)];
  static Log* const log = new (place) Log;
  return *log;
}

// A child of fork finds the mutex free: no other thread is inside while it is made.
Log::Log() {
  ::pthread_atfork([] { current().mutex.lock(); }, [] { current().mutex.unlock(); },
                   [] { new (&current().mutex) std::recursive_mutex; });
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
    if (log.writing || !enabled(level) || !log.function) return;
    log.writing = true;
    try {
      log.function(level, message);
    } catch (...) {
      // The function's own trouble.
    }
    log.writing = false;
  } catch (...) {
    // No memory for the log itself.
  }
}

}  // namespace adaface
