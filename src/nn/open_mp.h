// oneDNN brings an OpenMP runtime whose threads spin between parallel regions; we spread work over our own
// pool, which sleeps, and have OpenMP use one thread.
#pragma once

namespace adaface::nn {

// Call on each thread of a pool: primitives then run on the calling thread alone.
void enter_worker_thread();

// The same for the caller's thread, for the lifetime of the object; its own setting comes back afterwards.
class SingleThreadedScope {
 public:
  SingleThreadedScope();
  ~SingleThreadedScope();
  SingleThreadedScope(const SingleThreadedScope&) = delete;
  SingleThreadedScope& operator=(const SingleThreadedScope&) = delete;

 private:
  int previous_;
};

}  // namespace adaface::nn
