#include "src/weights_state.h"

#include <atomic>

#include "kernels/kernels.h"
#include "src/nn/cpu_backend.h"
#include "src/nn/cuda_backend.h"
#include "src/nn/thread_pool.h"
#include "src/runtime/build_info.h"
#include "src/runtime/log.h"

namespace adaface {
namespace {

// Once, as soon as somebody listens.
void warn_of_unknown_cap() {
  static std::atomic<bool> said = false;
  if (*kernels::unknown_cap() != 0 && log::enabled(LogLevel::warning) && !said.exchange(true))
    log::print(LogLevel::warning, unknown_cap_message());
}

}  // namespace

std::shared_ptr<const nn::Plan> Weights::State::plan(const std::string& key, const nn::PlanOptions& options,
                                                     const std::function<nn::Network()>& describe,
                                                     nn::ThreadPool* pool) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<const nn::Plan>& known = plans_[{key, options}];
  std::shared_ptr<const nn::Plan> plan = known.lock();
  if (!plan) {
    const bool on_device = options.device >= 0;
    const std::string how = on_device ? "CUDA device " + std::to_string(options.device)
                                      : std::string(options.kind == PlanKind::fast ? "fast" : "small") +
                                            ", kernels " + kernels::instruction_sets();
    log::print(LogLevel::info, name, ": planning ", key, " in ",
               options.precision == Precision::bf16  ? "bf16"
               : options.precision == Precision::f16 ? "f16"
                                                     : "f32",
               ", ", how);
    verify(pool, (options.precision == Precision::f32 || options.kind == PlanKind::fast) &&
                     file.info().storage == weights::DataType::f32);
    known = plan = on_device ? nn::plan_cuda(describe(), options.device, options.precision, pool)
                             : nn::plan_cpu(describe(), options, pool, shared_from_this());
  }
  return plan;
}

std::shared_ptr<const void> Weights::State::shared(const std::string& key,
                                                   const std::function<std::shared_ptr<const void>()>& make) {
  const std::lock_guard lock(mutex_);
  std::weak_ptr<const void>& known = shared_[key];
  std::shared_ptr<const void> result = known.lock();
  if (!result) known = result = make();
  return result;
}

void Weights::State::verify(nn::ThreadPool* pool, bool keep) const {
  if (keep) file.prefetch();
  const std::span<const weights::TensorView> tensors = file.tensors();
  const auto verify_one = [&](int task, int) {
    // From the end, where the largest one lies: no thread is left alone with it.
    const weights::TensorView& tensor = tensors[tensors.size() - 1 - static_cast<std::size_t>(task)];
    file.verify_once(tensor);
    if (!keep) file.release(tensor);
  };
  nn::run_tasks(pool, static_cast<int>(tensors.size()), verify_one);
}

void warn_of_missing_threads(int requested, const nn::ThreadPool& pool) {
  if (pool.threads() < requested)
    log::print(LogLevel::warning, "the system gave ", pool.threads(), " of ", requested, " threads");
}

Weights Weights::load(const std::filesystem::path& path) {
  warn_of_unknown_cap();
  auto state = std::make_shared<State>(path);
  log::print(LogLevel::info, state->name, ": ", weights::to_string(state->file.info().architecture), ", ",
             state->file.file_bytes(), " bytes, ", weights::to_hex(state->file.info().weights_sha256));
  return Weights(std::move(state));
}

WeightsInfo Weights::info() const {
  const weights::AfwInfo& info = state_->file.info();
  WeightsInfo result{.architecture = std::string(weights::to_string(info.architecture)),
                     .color = std::string(weights::to_string(info.color)),
                     .storage = std::string(weights::to_string(info.storage)),
                     .source_sha256 = weights::to_hex(info.source_sha256),
                     .weights_sha256 = weights::to_hex(info.weights_sha256),
                     .file_bytes = state_->file.file_bytes(),
                     .parameters = 0,
                     .tensors = {}};
  for (const weights::TensorView& tensor : state_->file.tensors()) {
    const bool statistic = tensor.name.ends_with(".mean") || tensor.name.ends_with(".variance");
    if (!statistic) result.parameters += weights::element_count(tensor.shape);
    result.tensors.push_back({std::string(tensor.name),
                              std::string(weights::to_string(tensor.type)),
                              {tensor.shape.begin(), tensor.shape.end()},
                              tensor.data.size()});
  }
  return result;
}

void Weights::verify() const {
  for (const weights::TensorView& tensor : state_->file.tensors()) {
    state_->file.verify(tensor);
    state_->file.release(tensor);
  }
}

}  // namespace adaface
