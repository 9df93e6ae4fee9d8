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
#include "tools/adaface/crew.h"
#include "tools/adaface/inputs.h"
#include "tools/adaface/options.h"
#include "tools/adaface/progress.h"

namespace adaface::cli {

// `make_worker(threads)` gives what one thread works with; `work(worker, input)` one result, or throws
// adaface::Error, which becomes that input's Failure; `take(input, result, failure)` runs on the calling
// thread in input order, with one of the two null. Returns how many failed. At most a few results a thread
// wait for their turn. Where there is not memory for all threads, fewer do the work of all (crew.h): what one
// alone has no memory for fails, and MemoryError of a worker that is alone stops the call.
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
    const auto give_up = [&] { worker.reset(); };
    const auto lacks_memory = [](const Outcome& outcome) {
      return outcome.failure && outcome.failure->code == ErrorCode::out_of_memory;
    };
    try {
      while (!worker) {
        const bool was_alone = crew.is_alone();
        try {
          worker.emplace(make_worker(1));
        } catch (const MemoryError&) {
          if (was_alone) throw;
          if (crew.hand_over(give_up, std::nullopt)) return;
        }
      }
      while (const std::optional<std::size_t> i = crew.next()) {
        const bool was_alone = crew.is_alone();
        Outcome outcome = attempt(*worker, inputs[*i]);
        if (lacks_memory(outcome) && !was_alone) {
          if (crew.hand_over(give_up, i)) return;
          outcome = attempt(*worker, inputs[*i]);
        }
        const std::lock_guard lock(mutex);
        ready.emplace(*i, std::move(outcome));
        changed.notify_all();
      }
      crew.leave(give_up);
    } catch (...) {
      crew.stop();
      const std::lock_guard lock(mutex);
      if (!defect) defect = std::current_exception();
      changed.notify_all();
    }
  };
  std::vector<std::thread> pool;
  pool.reserve(workers);
  try {
    while (pool.size() < workers) pool.emplace_back(labour);
  } catch (const std::system_error&) {
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
