// Threads that share inputs, where there may not be memory for all of them at once.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>

namespace adaface::cli {

// Each thread has a worker of its own, an engine say, and takes one input after the other, in order, no
// further than `ahead` of the first whose result has not been delivered. A thread that lacks memory for an
// input does it alone: the others give up their workers meanwhile, and make new ones afterwards. A thread
// that lacks memory for its worker leaves, unless it is the last.
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

  struct Turn {
    enum { input, make_way, end } kind;
    std::size_t input_number = 0;
  };
  // What the calling thread is to do: an input; give up its worker and call make_way(); or give it up and
  // call leave().
  Turn next();
  // Returns when the thread that wants to be alone is done. Precondition: the calling thread has no worker.
  void make_way();
  // Runs `work`, which may make a worker, while no other thread has one. Precondition as above.
  void alone(const std::function<void()>& work);
  // The calling thread leaves. Precondition as above.
  void leave();
  // Likewise, unless it is the last.
  bool leave_to_others();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  const std::size_t inputs_, ahead_;
  std::size_t threads_ = 0, waiting_ = 0;  // those waiting have no worker
  std::size_t next_ = 0, delivered_ = 0;
  bool has_begun_ = false, is_stopped_ = false;
  bool is_one_alone_ = false;  // or wants to be
};

}  // namespace adaface::cli
