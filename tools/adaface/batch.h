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
#include <thread>
#include <vector>

#include "src/adaface.hpp"
#include "tools/adaface/crew.h"
#include "tools/adaface/inputs.h"
#include "tools/adaface/options.h"
#include "tools/adaface/progress.h"

namespace adaface::cli {

// `make_worker(threads)` gives what one thread works with; `work(worker, input)` one result, or throws
// adaface::Error, which becomes that input's Failure; `take(input, result, failure)` runs on the calling
// thread in input order, with one of the two null. Returns how many failed. At most a few results a thread
// wait for their turn. An input fails for lack of memory only if a thread that is alone lacks it, and
// MemoryError stops the call only then (crew.h).
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

  Crew crew(inputs.size(), 4 * workers);
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::size_t, Outcome> ready;
  std::exception_ptr defect;
  const auto labour = [&] {
    std::optional<decltype(make_worker(1))> worker;
    try {
      while (true) {
        while (!worker) {
          const bool was_alone = crew.is_alone();
          try {
            worker.emplace(make_worker(1));
          } catch (const MemoryError&) {
            if (was_alone) throw;
            if (crew.leave_to_others()) return;
          }
        }
        const Crew::Turn turn = crew.next();
        if (turn.kind == Crew::Turn::end) break;
        if (turn.kind == Crew::Turn::make_way) {
          worker.reset();
          crew.make_way();
          continue;
        }
        const Input& input = inputs[turn.input_number];
        const bool was_alone = crew.is_alone();
        Outcome outcome = attempt(*worker, input);
        if (outcome.failure && outcome.failure->code == ErrorCode::out_of_memory && !was_alone) {
          worker.reset();
          crew.alone([&] {
            worker.emplace(make_worker(1));
            outcome = attempt(*worker, input);
          });
        }
        const std::lock_guard lock(mutex);
        ready.emplace(turn.input_number, std::move(outcome));
        changed.notify_all();
      }
      worker.reset();
      crew.leave();
    } catch (...) {
      worker.reset();
      crew.stop();
      crew.leave();
      const std::lock_guard lock(mutex);
      if (!defect) defect = std::current_exception();
      changed.notify_all();
    }
  };
  std::vector<std::thread> pool;
  pool.reserve(workers);
  try {
    while (pool.size() < workers) pool.emplace_back(labour);
  } catch (const std::exception&) {
    if (pool.empty()) throw;
    // The system has no more threads to give: go on with those that started.
  }
  crew.begin(pool.size());
  std::exception_ptr thrown;
  try {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return defect || ready.contains(i); });
      if (defect) break;
      auto node = ready.extract(i);
      lock.unlock();
      deliver(i, node.mapped());
      crew.delivered(i + 1);
    }
  } catch (...) {
    thrown = std::current_exception();
  }
  crew.stop();
  for (std::thread& thread : pool) thread.join();
  if (thrown) std::rethrow_exception(thrown);
  if (defect) std::rethrow_exception(defect);
  return failed;
}

}  // namespace adaface::cli
