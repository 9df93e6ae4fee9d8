#include "tools/adaface/crew.h"

namespace adaface::cli {

void Crew::begin(std::size_t threads) {
  const std::lock_guard lock(mutex_);
  threads_ = threads;
  has_begun_ = true;
  changed_.notify_all();
}

void Crew::delivered(std::size_t count) {
  const std::lock_guard lock(mutex_);
  delivered_ = count;
  changed_.notify_all();
}

void Crew::stop() {
  const std::lock_guard lock(mutex_);
  is_stopped_ = true;
  changed_.notify_all();
}

bool Crew::is_alone() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return has_begun_; });
  return threads_ == 1;
}

Crew::Turn Crew::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(
      lock, [&] { return is_stopped_ || is_one_alone_ || next_ >= inputs_ || next_ < delivered_ + ahead_; });
  if (is_stopped_ || next_ >= inputs_) return {Turn::end};
  if (is_one_alone_) return {Turn::make_way};
  return {Turn::input, next_++};
}

void Crew::make_way() {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return !is_one_alone_; });
  --waiting_;
}

void Crew::alone(const std::function<void()>& work) {
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return !is_one_alone_; });
  is_one_alone_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return waiting_ == threads_; });
  lock.unlock();
  const auto end = [&] {
    lock.lock();
    is_one_alone_ = false;
    --waiting_;
    changed_.notify_all();
  };
  try {
    work();
  } catch (...) {
    end();
    throw;
  }
  end();
}

void Crew::leave() {
  const std::lock_guard lock(mutex_);
  --threads_;
  changed_.notify_all();
}

bool Crew::leave_to_others() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return has_begun_; });
  if (threads_ == 1) return false;
  --threads_;
  changed_.notify_all();
  return true;
}

}  // namespace adaface::cli
