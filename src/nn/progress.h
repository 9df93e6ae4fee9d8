// What a long call tells its caller, and the caller's wish to stop.
#pragma once

#include <functional>
#include <utility>

#include "src/nn/thread_pool.h"

namespace adaface::nn {

// Belongs to one session: reports go to the thread that called it, between pieces of work. Without a function
// it costs nothing.
class Progress {
 public:
  // done: from 0 to 1, never falling within a call; false: stop.
  void set(std::function<bool(double done)> function) { function_ = std::move(function); }

  // What follows is the stretch of the call from `begin` to `end`.
  void stage(double begin, double end) {
    begin_ = begin;
    end_ = end;
  }

  // `part` of the stage is done. Throws cancelled when the function asks to stop, and what it throws.
  void report(double part) const;

  // ThreadPool::run, with a report before each task that falls to the calling thread. Once stopped, no task
  // begins. In run_long tasks take long, and report with the Progress that they are given, on any thread:
  // from 0 to 1 of their own, null where nobody listens.
  void run(ThreadPool& pool, int count, TaskRef task) const;
  void run_long(ThreadPool& pool, int count,
                const std::function<void(int, int, const Progress*)>& task) const;

 private:
  std::function<bool(double)> function_;
  double begin_ = 0, end_ = 1;
};

}  // namespace adaface::nn
