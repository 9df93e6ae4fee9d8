// What copies of a Weights share: the mapped file and the plans made from it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "src/adaface.hpp"
#include "src/nn/plan.h"
#include "weights/afw.h"

namespace adaface {

struct Weights::State : std::enable_shared_from_this<Weights::State> {
  explicit State(const std::filesystem::path& path) : file(path), name(io::printable(path)) {}

  // The plan of network `key`, made of what `describe` gives when no session holds one already; `pool` shares
  // out that work. Thread-safe.
  std::shared_ptr<const nn::Plan> plan(const std::string& key, const nn::PlanOptions& options,
                                       const std::function<nn::Network()>& describe,
                                       nn::ThreadPool* pool = nullptr);

  // Something else that sessions share, made by `make` when none holds one already. Thread-safe.
  std::shared_ptr<const void> shared(const std::string& key,
                                     const std::function<std::shared_ptr<const void>()>& make);

  const weights::AfwFile file;
  const std::string name;

 private:
  // Every tensor, shared out; throws corrupt. `keep`: they will be read again soon.
  void verify(nn::ThreadPool* pool, bool keep) const;

  std::mutex mutex_;
  std::map<std::pair<std::string, nn::PlanOptions>, std::weak_ptr<const nn::Plan>> plans_;
  std::map<std::string, std::weak_ptr<const void>> shared_;
};

// The embedding network of these weights on the CPU, as all sessions over them share it. Throws unsupported
// for a precision that this CPU does not have. Precondition: they hold one.
std::shared_ptr<const nn::Plan> plan_embedder(Weights::State& state, const EmbedderOptions& options,
                                              nn::ThreadPool& pool);

// Into the log, when the system gave fewer threads than an option asked for.
void warn_of_missing_threads(int requested, const nn::ThreadPool& pool);

}  // namespace adaface
