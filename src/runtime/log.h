// Messages for whoever asked for them with set_log.
#pragma once

#include <sstream>

#include "src/runtime.hpp"

namespace adaface::log {

// Whether anybody reads messages of that level: cheap.
bool enabled(LogLevel level) noexcept;
void write(LogLevel level, const std::string& message) noexcept;

// The parts one after the other. Composes nothing unless the message is read, and never throws.
template <typename... Parts>
void print(LogLevel level, const Parts&... parts) noexcept {
  if (!enabled(level)) return;
  try {
    std::ostringstream line;
    (line << ... << parts);
    write(level, line.str());
  } catch (...) {
    // A message is not worth an error.
  }
}

}  // namespace adaface::log
