#include "tools/adaface/crew.h"

namespace adaface::cli {

void Crew::begin(std::size_t threads) {
  const std::lock_guard lock(mutex_);
  active_ = threads;
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
  return active_ == 1 && leaving_ == 0;
}

std::optional<std::size_t> Crew::next() {
  std::unique_lock lock(mutex_);
  // While another leaves it may still hand an input over.
  changed_.wait(lock, [&] {
    return is_stopped_ || !again_.empty() || (next_ < inputs_ ? next_ < delivered_ + ahead_ : leaving_ == 0);
  });
  if (is_stopped_) return std::nullopt;
  if (!again_.empty()) {
    const std::size_t input = again_.front();
    again_.pop_front();
    return input;
  }
  return next_ < inputs_ ? std::optional(next_++) : std::nullopt;
}

bool Crew::hand_over(const std::function<void()>& give_up, std::optional<std::size_t> input) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return has_begun_; });
  if (active_ == 1) {
    changed_.wait(lock, [&] { return leaving_ == 0; });
    return false;
  }
  leave(lock, give_up, input);
  return true;
}

void Crew::leave(const std::function<void()>& give_up) {
  std::unique_lock lock(mutex_);
  leave(lock, give_up, std::nullopt);
}

void Crew::leave(std::unique_lock<std::mutex>& lock, const std::function<void()>& give_up,
                 std::optional<std::size_t> input) {
  --active_;
  ++leaving_;
  changed_.notify_all();
  lock.unlock();
  give_up();
  lock.lock();
  --leaving_;
  if (input) again_.push_back(*input);
  changed_.notify_all();
}

}  // namespace adaface::cli
