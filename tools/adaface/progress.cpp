#include "tools/adaface/progress.h"

#include <unistd.h>

#include <cstdio>

namespace adaface::cli {

Progress::Progress(std::size_t total, bool wanted)
    : total_(total), wanted_(wanted && total > 1 && ::isatty(STDERR_FILENO)) {}

void Progress::update(std::size_t done) {
  const Clock::time_point now = Clock::now();
  if (!wanted_ || done == 0 || now - last_ < std::chrono::milliseconds(200)) return;
  last_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count(),
               rate = static_cast<double>(done) / seconds;
  const long left = static_cast<long>(static_cast<double>(total_ - done) / rate + 0.5);
  std::fprintf(stderr, "\r\x1b[K%zu of %zu  %.1f/s  ", done, total_, rate);
  if (left >= 60) std::fprintf(stderr, "%ld min ", left / 60);
  std::fprintf(stderr, "%ld s left", left % 60);
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace adaface::cli
