// Many inputs across threads, where there may not be memory for all of them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tools/adaface/batch.h"

namespace {

using namespace adaface;
using namespace adaface::cli;

constexpr unsigned kSeed = 20261127;

// Memory that does not last for all.
class Memory {
 public:
  explicit Memory(int size) : left_(size) {}

  bool take(int size) {
    int left = left_;
    while (left >= size)
      if (left_.compare_exchange_weak(left, left - size)) return true;
    return false;
  }
  void give_back(int size) { left_ += size; }
  int left() const { return left_; }

 private:
  std::atomic<int> left_;
};

class Worker {
 public:
  Worker(Memory& memory, int size) : memory_(&memory), size_(size) {
    if (!memory.take(size)) throw MemoryError("no memory for a worker");
  }
  // Memory comes back late.
  ~Worker() {
    if (!memory_) return;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    memory_->give_back(size_);
  }
  Worker(Worker&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)), size_(other.size_) {}

  // Takes as much for a while, as sessions on a device do for a picture that is larger than those before.
  void need(int size) {
    if (!memory_->take(size)) throw Error(ErrorCode::out_of_memory, "no memory for an input");
    std::this_thread::yield();
    memory_->give_back(size);
  }

 private:
  Memory* memory_;
  int size_;
};

std::vector<Input> numbered(int count) {
  std::vector<Input> inputs;
  for (int i = 0; i < count; ++i) inputs.push_back({std::to_string(i), std::to_string(i)});
  return inputs;
}

struct Outcome {
  std::vector<int> done;  // in the order of results
  std::set<std::string> failed;
};

// Input i needs needs[i].
Outcome run(Memory& memory, int worker_size, const std::vector<int>& needs, int threads) {
  Outcome outcome;
  const auto work = [&](Worker& worker, const Input& input) {
    const int i = std::stoi(input.path.string());
    worker.need(needs[static_cast<std::size_t>(i)]);
    return i;
  };
  const auto take = [&](const Input& input, const int* i, const Failure* failure) {
    if (failure) {
      CHECK(failure->code == ErrorCode::out_of_memory);
      outcome.failed.insert(input.path.string());
    } else {
      outcome.done.push_back(*i);
    }
  };
  for_each_input<int>(
      numbered(static_cast<int>(needs.size())), {threads, threads}, false,
      [&](int) { return Worker(memory, worker_size); }, work, take);
  return outcome;
}

}  // namespace

TEST_CASE("what one thread alone has memory for is done by any number, in order; what it has not fails") {
  MESSAGE("seed ", kSeed);
  std::mt19937 random(kSeed);
  for (int round = 0; round < 200; ++round) {
    // Each worker takes 10 of 100; an input up to 90 is possible for one alone, 91 for none.
    std::vector<int> needs(1 + random() % 40);
    std::set<std::string> impossible;
    for (std::size_t i = 0; i < needs.size(); ++i) {
      needs[i] = random() % 4 == 0 ? 60 + static_cast<int>(random() % 40) : static_cast<int>(random() % 20);
      if (needs[i] > 90) impossible.insert(std::to_string(i));
    }
    Memory memory(100);
    const int threads = 1 + static_cast<int>(random() % 16);
    CAPTURE(round);
    CAPTURE(threads);
    const Outcome outcome = run(memory, 10, needs, threads);
    CHECK(outcome.failed == impossible);
    CHECK(outcome.done.size() + impossible.size() == needs.size());
    CHECK(std::ranges::is_sorted(outcome.done));
    CHECK(memory.left() == 100);
  }
}

TEST_CASE("after an input that was too large for all, all go on") {
  constexpr int kThreads = 4;
  Memory memory(100);
  std::vector<int> needs(200, 1);
  needs[0] = 91;
  std::mutex mutex;
  std::condition_variable all_late;
  std::set<std::thread::id> late;
  bool patient = true;
  int at_once = 0, most = 0;
  const auto work = [&](Worker& worker, const Input& input) {
    const int i = std::stoi(input.path.string());
    {
      const std::lock_guard lock(mutex);
      most = std::max(most, ++at_once);
      if (i >= 100) late.insert(std::this_thread::get_id());
    }
    const auto leave = [&] {
      const std::lock_guard lock(mutex);
      --at_once;
    };
    try {
      worker.need(needs[static_cast<std::size_t>(i)]);
    } catch (const Error&) {
      leave();
      throw;
    }
    // Nobody takes the share of a thread that is yet to come; one that never comes fails the test.
    if (i >= 100) {
      std::unique_lock lock(mutex);
      all_late.notify_all();
      if (patient)
        patient = all_late.wait_for(lock, std::chrono::seconds(30), [&] { return late.size() == kThreads; });
    }
    leave();
    return i;
  };
  const int failed = for_each_input<int>(
      numbered(static_cast<int>(needs.size())), {kThreads, kThreads}, false,
      [&](int) { return Worker(memory, 10); }, work, [](const Input&, const int*, const Failure*) {});
  CHECK(failed == 1);
  CHECK(most == kThreads);
  CHECK(late.size() == kThreads);
  CHECK(memory.left() == 100);
}

TEST_CASE("workers without memory leave their inputs to those that have some; none at all is an error") {
  Memory some(25), none(9);
  const std::vector<int> needs(50, 1);
  CHECK(run(some, 10, needs, 8).done.size() == needs.size());
  CHECK_THROWS_AS(run(none, 10, needs, 8), MemoryError);
  CHECK_THROWS_AS(run(none, 10, needs, 1), MemoryError);
}
