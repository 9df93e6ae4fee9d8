// Signals during long calls: Ctrl-C stops them.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>

#include "src/adaface.hpp"

namespace adaface::python {

// For on_progress: what Python's handlers raise, such as KeyboardInterrupt, ends the call. Taking the
// interpreter's lock may mean waiting 5 ms for a busy thread, so it is not done more often than people
// notice.
inline ProgressFunction stop_by_signal() {
  using Clock = std::chrono::steady_clock;
  return [last = Clock::now()](double) mutable {
    constexpr std::chrono::milliseconds kInterval{100};
    const Clock::time_point now = Clock::now();
    if (now - last < kInterval) return true;
    last = now;
    const pybind11::gil_scoped_acquire locked;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    return true;
  };
}

}  // namespace adaface::python
