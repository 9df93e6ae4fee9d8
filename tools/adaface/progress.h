// "12 of 300  4.1/s  1 min 10 s left" on a terminal; nothing in a pipe.
#pragma once

#include <chrono>
#include <cstddef>

namespace adaface::cli {

class Progress {
 public:
  // Shown only where standard error is a terminal.
  Progress(std::size_t total, bool wanted);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::size_t done);
  // Takes the line away, so that other output does not run into it.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  std::size_t total_;
  bool wanted_;
  bool drawn_ = false;
  Clock::time_point start_ = Clock::now(), last_ = start_;
};

}  // namespace adaface::cli
