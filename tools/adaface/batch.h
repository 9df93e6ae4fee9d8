// Many pictures: across threads, one thread each; one picture: threads inside. Results come out in input
// order.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "src/adaface.hpp"
#include "tools/adaface/inputs.h"
#include "tools/adaface/options.h"
#include "tools/adaface/progress.h"

namespace adaface::cli {

// `make_worker(threads)` gives what one thread works with, or throws MemoryError, which stops the call only
// where there is no other worker; `work(worker, input)` one result, or throws
// adaface::Error, which becomes that input's Failure; `take(input, result, failure)` runs on the calling
// thread in input order, with one of the two null. Returns how many failed. At most a few results a thread
// wait for their turn.
template <typename Result, typename MakeWorker, typename Work, typename Take>
int for_each_input(const std::vector<Input>& inputs, const Parallelism& parallelism, bool show_progress,
                   MakeWorker make_worker, Work work, Take take) {
  struct Outcome {
    std::optional<Result> result;
    std::optional<Failure> failure;
  };
  const auto attempt = [&](auto& worker, const Input& input) {
    Outcome outcome;
    outcome.failure = input.failure;
    if (outcome.failure) return outcome;
    try {
      outcome.result = work(worker, input);
    } catch (const Error& error) {
      const std::string message = error.what(), name = printable(input.path);
      outcome.failure = Failure{error.code(), message.starts_with(name) ? message : name + ": " + message};
    } catch (const std::bad_alloc&) {
      outcome.failure = Failure{ErrorCode::out_of_memory, printable(input.path) + ": out of memory"};
    }
    return outcome;
  };
  int failed = 0;
  Progress progress(inputs.size(), show_progress);
  const auto deliver = [&](std::size_t i, Outcome& outcome) {
    progress.clear();
    take(inputs[i], outcome.result ? &*outcome.result : nullptr,
         outcome.failure ? &*outcome.failure : nullptr);
    failed += outcome.failure.has_value();
    progress.update(i + 1);
  };

  const std::size_t workers =
      std::min<std::size_t>(static_cast<std::size_t>(parallelism.workers), inputs.size());
  if (workers <= 1) {
    auto worker = make_worker(parallelism.threads);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      Outcome outcome = attempt(worker, inputs[i]);
      deliver(i, outcome);
    }
    return failed;
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::size_t, Outcome> ready;
  std::size_t next = 0, delivered = 0;
  bool stop = false;
  std::exception_ptr defect;
  const std::size_t ahead = 4 * workers;
  // Threads that have a worker, or may still get one. Of those for whose workers there is no memory the last
  // tries once more, alone: what the others had taken is free again.
  std::size_t active = 0;
  std::exception_ptr short_of_memory;
  const auto leave = [&](std::exception_ptr reason) {
    const std::lock_guard lock(mutex);
    if (active == 1) return false;
    --active;
    short_of_memory = reason;
    return true;
  };
  const auto make = [&]() -> std::optional<decltype(make_worker(1))> {
    try {
      return make_worker(1);
    } catch (const MemoryError&) {
      if (leave(std::current_exception())) return std::nullopt;
    }
    return make_worker(1);
  };
  const auto labour = [&] {
    try {
      auto worker = make();
      if (!worker) return;
      while (true) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stop || next >= inputs.size() || next < delivered + ahead; });
        if (stop || next >= inputs.size()) return;
        const std::size_t i = next++;
        lock.unlock();
        Outcome outcome = attempt(*worker, inputs[i]);
        lock.lock();
        ready.emplace(i, std::move(outcome));
        changed.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!defect) defect = std::current_exception();
      stop = true;
      changed.notify_all();
    }
  };
  std::vector<std::thread> pool;
  pool.reserve(workers);
  active = workers;
  try {
    while (pool.size() < workers) pool.emplace_back(labour);
  } catch (const std::system_error&) {
    if (pool.empty()) throw;
    const std::lock_guard lock(mutex);
    active -= workers - pool.size();
    if (active == 0) defect = short_of_memory;
    // The system has no more threads to give: go on with those that started.
  }
  std::exception_ptr thrown;
  try {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return defect || ready.contains(i); });
      if (defect) break;
      auto node = ready.extract(i);
      lock.unlock();
      deliver(i, node.mapped());
      lock.lock();
      delivered = i + 1;
      changed.notify_all();
    }
  } catch (...) {
    thrown = std::current_exception();
  }
  {
    const std::lock_guard lock(mutex);
    stop = true;
    changed.notify_all();
  }
  for (std::thread& thread : pool) thread.join();
  if (thrown) std::rethrow_exception(thrown);
  if (defect) std::rethrow_exception(defect);
  return failed;
}

}  // namespace adaface::cli
