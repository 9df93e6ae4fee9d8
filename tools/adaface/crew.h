// Threads that share inputs, where there may not be memory for all of them.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

namespace adaface::cli {

// Each thread has a worker of its own, an engine say, and takes one input after the other, in order. One that
// lacks memory, for its worker or for an input, gives its worker up, its input to the others, and leaves; the
// last of them tries again when what the others had is free. Inputs are handed out no further than `ahead` of
// the first whose result has not been delivered.
class Crew {
 public:
  Crew(std::size_t inputs, std::size_t ahead) : inputs_(inputs), ahead_(ahead) {}

  // How many threads there are: all calls of theirs wait for it.
  void begin(std::size_t threads);
  // Of the inputs [0, count) the results are delivered.
  void delivered(std::size_t count);
  // next() gives nothing any more.
  void stop();

  // ---- For the threads ----

  // Whether no other thread has a worker, nor may make one.
  bool is_alone();
  // The next input; none where there is none for this thread any more.
  std::optional<std::size_t> next();
  // The calling thread lacks memory, for an input or for its worker. True: it is to leave; its worker was
  // given up by `give_up`, and another will take the input. False: it is alone, and everything that others
  // had is free.
  bool hand_over(const std::function<void()>& give_up, std::optional<std::size_t> input);
  // The calling thread leaves for good; `give_up` ends its worker.
  void leave(const std::function<void()>& give_up);

 private:
  void leave(std::unique_lock<std::mutex>& lock, const std::function<void()>& give_up,
             std::optional<std::size_t> input);

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::size_t inputs_, ahead_;
  std::size_t active_ = 0;   // threads with a worker, or that may make one
  std::size_t leaving_ = 0;  // whose worker is not gone yet
  std::size_t next_ = 0, delivered_ = 0;
  std::deque<std::size_t> again_;
  bool has_begun_ = false, is_stopped_ = false;
};

}  // namespace adaface::cli
