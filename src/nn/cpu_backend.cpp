#include "src/nn/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "kernels/kernels.h"
#include "src/error.hpp"
#include "src/nn/algorithm.h"
#include "src/nn/arena.h"
#include "src/nn/blocks.h"
#include "src/nn/fusion.h"
#include "src/nn/onednn.h"
#include "src/nn/open_mp.h"
#include "src/nn/progress.h"
#include "src/nn/slots.h"
#include "src/nn/thread_pool.h"
#include "src/runtime/memory.h"

namespace adaface::nn {
namespace {

// A fast plan keeps the transformed weights of a layer from its second to its ninth run on: memory that is
// touched for the first time has to be cleared, and one run should not wait for hundreds of megabytes of it.
constexpr int kKeepingRuns = 8;

struct Step {
  LayerKind kind;
  int src_slot, dst_slot;
  Extent in, out;
  int blocks;  // of the output
  int stride;
  std::unique_ptr<Convolution> convolution;
  std::size_t packed_offset = 0;              // of the convolution's weights, in bytes
  std::vector<float> scale, shift, fc1, fc2;  // per channel: padded to whole blocks
};

class CpuPlan final : public Plan, public std::enable_shared_from_this<CpuPlan> {
 public:
  CpuPlan(const Network& network, const PlanOptions& options, ThreadPool* pool,
          std::shared_ptr<const void> owner);

  std::unique_ptr<Session> create_session(int threads) const override;
  void keep_weights(ThreadPool* pool, const Progress* progress) const override;
  std::span<const LayerInfo> layers() const override { return infos_; }
  Extent input() const override { return input_; }
  Extent output() const override { return output_; }

 private:
  friend class CpuSession;

  int blocks(int channels) const { return divide_up(channels, block_); }
  // The network's input is planar and unpadded, every other activation blocked and padded.
  std::size_t bytes(const Network& network, Value value) const {
    const Extent e = network.values[index(value)];
    const int channels = value == network.input ? e.channels : blocks(e.channels) * block_;
    return index(channels) * index(e.height) * index(e.width) * sizeof(float);
  }
  std::vector<float> padded(const std::vector<float>& values) const {
    return nn::padded(values, blocks(static_cast<int>(values.size())) * block_);
  }
  void add_step(const Network& network, const Layer& layer, const Slots& slots, const PlanOptions& options);
  void pack(const Network& network, ThreadPool* pool);

  std::shared_ptr<const void> owner_;  // of the weights that runs read
  int block_ = onednn_channel_block();
  Extent input_, output_;
  int input_slot_, output_slot_;
  std::vector<Step> steps_;
  std::vector<LayerInfo> infos_;
  std::vector<std::size_t> slot_offsets_;  // in bytes
  std::size_t arena_bytes_ = 0;
  // All in one piece: many allocations would leave as much again in holes between them.
  Arena packed_;
  int max_channels_ = 0;
};

class CpuSession final : public Session {
 public:
  CpuSession(std::shared_ptr<const CpuPlan> plan, int threads);

  float* input() override { return slot(plan_->input_slot_); }
  const float* output() const override { return output_.data(); }
  void run(ThreadPool* pool, const Progress* progress) override;
  void run_layer(int layer, ThreadPool* pool, bool bare) override { run_step(index(layer), pool, bare); }
  void run_until(int layer, std::vector<float>& chw) override;

 private:
  float* slot(int slot) const {
    return reinterpret_cast<float*>(arena_.data() + plan_->slot_offsets_[index(slot)]);
  }
  void run_step(std::size_t i, ThreadPool* pool, bool bare = false);
  void run_blocks(const Step& step, int first, int count);
  void squeeze(const Step& step);

  std::shared_ptr<const CpuPlan> plan_;
  const kernels::Kernels& kernels_ = kernels::select();
  const int threads_;
  Arena arena_, scratch_;
  std::vector<std::unique_ptr<Convolution::Bound>> convolutions_;  // of each step; null: another kind
  std::vector<float> mean_, gate_;                                 // squeeze-and-excite
  std::vector<float> output_;
};

CpuPlan::CpuPlan(const Network& network, const PlanOptions& options, ThreadPool* pool,
                 std::shared_ptr<const void> owner)
    : owner_(std::move(owner)),
      input_(network.values[index(network.input)]),
      output_(network.values[index(network.output)]) {
  const Network fused = with_norms_fused(network);
  std::vector<std::size_t> sizes;
  for (Value value = 0; value < static_cast<Value>(fused.values.size()); ++value)
    sizes.push_back(bytes(fused, value));
  const Slots slots = assign_slots(fused, sizes);
  for (std::size_t size : slots.slot_sizes) {
    slot_offsets_.push_back(arena_bytes_);
    arena_bytes_ += align_up(size);
  }
  input_slot_ = slots.slot_of[index(fused.input)];
  output_slot_ = slots.slot_of[index(fused.output)];
  for (const Layer& layer : fused.layers) add_step(fused, layer, slots, options);
  pack(fused, pool);
}

void CpuPlan::add_step(const Network& network, const Layer& layer, const Slots& slots,
                       const PlanOptions& options) {
  const Extent in = network.values[index(layer.src)], out = network.values[index(layer.dst)];
  Step step{.kind = layer.kind,
            .src_slot = slots.slot_of[index(layer.src)],
            .dst_slot = slots.slot_of[index(layer.dst)],
            .in = in,
            .out = out,
            .blocks = blocks(out.channels),
            .stride = layer.stride,
            .convolution = nullptr,
            .scale = padded(layer.scale),
            .shift = padded(layer.shift),
            .fc1 = layer.fc1,
            .fc2 = layer.fc2};
  LayerInfo info{.name = layer.name,
                 .kind = layer.kind,
                 .shape = to_string(in) + " -> " + to_string(out),
                 .implementation = "kernels"};
  // Of each row and column only what a kernel narrower than its stride meets.
  const double met = layer.kernel < layer.stride ? static_cast<double>(layer.kernel) / layer.stride : 1;
  info.activation_bytes = met * met * static_cast<double>(bytes(network, layer.src));
  for (Value value : {layer.dst, layer.residual})
    if (value >= 0) info.activation_bytes += static_cast<double>(bytes(network, value));
  if (layer.kind == LayerKind::convolution) {
    step.convolution = make_convolution({.layer = layer,
                                         .in = in,
                                         .out = out,
                                         .block = block_,
                                         .planar = layer.src == network.input,
                                         .threads = options.threads,
                                         .precision = options.precision,
                                         .half_weights = options.half_weights,
                                         .kind = options.kind,
                                         .keep_after = 1 + static_cast<int>(steps_.size()) % kKeepingRuns},
                                        options);
    info.implementation = step.convolution->implementation();
    info.shape += " k" + std::to_string(layer.kernel) + " s" + std::to_string(layer.stride);
    info.multiply_adds = static_cast<double>(in.channels) * out.channels * layer.kernel * layer.kernel *
                         out.height * out.width;
    info.executed_multiply_adds = step.convolution->executed_multiply_adds();
    info.weight_bytes = step.convolution->weight_bytes();
  } else if (layer.src == network.input) {
    throw Error(ErrorCode::internal,
                "layer " + layer.name + ": only a convolution reads the network's input");
  }
  max_channels_ = std::max(max_channels_, step.blocks * block_);
  steps_.push_back(std::move(step));
  infos_.push_back(std::move(info));
}

void CpuPlan::pack(const Network& network, ThreadPool* pool) {
  struct Task {
    std::size_t step;
    int part;
  };
  std::vector<Task> tasks;
  std::size_t packed_bytes = 0, plain_floats = 0;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    Step& step = steps_[i];
    if (!step.convolution) continue;
    step.packed_offset = packed_bytes;
    packed_bytes += align_up(step.convolution->packed_bytes());
    plain_floats = std::max(plain_floats, step.convolution->plain_floats());
    for (int part = 0; part < step.convolution->pack_tasks(); ++part) tasks.push_back({i, part});
  }
  packed_ = Arena(packed_bytes);
  const int threads = pool ? pool->threads() : 1;
  std::vector<Buffer<float>> plain(index(threads));

  const auto pack_one = [&](int task, int worker) {
    const std::size_t i = tasks[index(task)].step;
    const int part = tasks[index(task)].part;
    Buffer<float>& buffer = plain[index(worker)];
    buffer.resize(plain_floats);
    const Layer& layer = network.layers[i];
    onednn_errors("plan", [&] {
      steps_[i].convolution->pack(part, layer.weights, buffer.data(),
                                  packed_.data() + steps_[i].packed_offset);
    });
    // Each part reads other rows: what it has read need not stay beside its packed copy.
    if (layer.weights.release) layer.weights.release();
  };
  run_tasks(pool, static_cast<int>(tasks.size()), pack_one);
}

void CpuPlan::keep_weights(ThreadPool* pool, const Progress* progress) const {
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    if (progress) progress->report(static_cast<double>(i) / static_cast<double>(steps_.size()));
    const int tasks = step.convolution ? step.convolution->keep_tasks() : 0;
    const auto keep = [&](int task, int) {
      step.convolution->keep(task, packed_.data() + step.packed_offset);
    };
    run_tasks(pool, tasks, keep);
  }
}

std::unique_ptr<Session> CpuPlan::create_session(int threads) const {
  return onednn_errors("session", [&] { return std::make_unique<CpuSession>(shared_from_this(), threads); });
}

CpuSession::CpuSession(std::shared_ptr<const CpuPlan> plan, int threads)
    : plan_(std::move(plan)),
      threads_(threads),
      arena_(plan_->arena_bytes_),
      mean_(index(plan_->max_channels_)),
      gate_(index(plan_->max_channels_)),
      output_(index(plan_->output_.channels * plan_->output_.height * plan_->output_.width)) {
  std::size_t scratch_bytes = 0;
  for (const Step& step : plan_->steps_)
    if (step.convolution) scratch_bytes = std::max(scratch_bytes, step.convolution->scratch_bytes(threads));
  scratch_ = Arena(scratch_bytes);
  for (const Step& step : plan_->steps_)
    convolutions_.push_back(
        step.convolution ? step.convolution->bind(plan_->packed_.data() + step.packed_offset,
                                                  slot(step.src_slot), slot(step.dst_slot), scratch_.data())
                         : nullptr);
}

void CpuSession::run(ThreadPool* pool, const Progress* progress) {
  if (pool && pool->threads() > threads_)
    throw Error(ErrorCode::internal, "a session for " + std::to_string(threads_) + " threads, run on " +
                                         std::to_string(pool->threads()));
  const std::size_t steps = plan_->steps_.size();
  for (std::size_t i = 0; i < steps; ++i) {
    if (progress) progress->report(static_cast<double>(i) / static_cast<double>(steps));
    run_step(i, pool);
  }
  const Extent out = plan_->output_;
  const float* src = slot(plan_->output_slot_);
  const int pixels = out.height * out.width, block = plan_->block_;
  float* dst = output_.data();
  for (int pixel = 0; pixel < pixels; ++pixel)
    for (int channel = 0; channel < out.channels; ++channel)
      *dst++ = src[(index(channel / block) * index(pixels) + index(pixel)) * index(block) +
                   index(channel % block)];
}

void CpuSession::run_until(int layer, std::vector<float>& chw) {
  for (std::size_t i = 0; i <= index(layer); ++i) run_step(i, nullptr);
  const Step& step = plan_->steps_[index(layer)];
  const std::size_t pixels = index(step.out.height * step.out.width), block = index(plan_->block_);
  const float* src = slot(step.dst_slot);
  chw.resize(index(step.out.channels) * pixels);
  for (std::size_t c = 0; c < index(step.out.channels); ++c)
    for (std::size_t p = 0; p < pixels; ++p)
      chw[c * pixels + p] = src[((c / block) * pixels + p) * block + c % block];
}

void CpuSession::run_step(std::size_t i, ThreadPool* pool, bool bare) {
  const Step& step = plan_->steps_[i];
  if (step.kind == LayerKind::convolution) return convolutions_[i]->run(pool, bare);
  if (step.kind == LayerKind::squeeze_excite) squeeze(step);
  if (!pool || pool->threads() == 1) return run_blocks(step, 0, step.blocks);
  const int each = divide_up(step.blocks, pool->threads());
  auto task = [&](int t, int) { run_blocks(step, t * each, std::min(each, step.blocks - t * each)); };
  pool->run(divide_up(step.blocks, each), task);
}

void CpuSession::run_blocks(const Step& step, int first, int count) {
  const int block = plan_->block_;
  const int in_plane = step.in.height * step.in.width, out_plane = step.out.height * step.out.width;
  const float* src = slot(step.src_slot) + index(first) * index(in_plane) * index(block);
  float* dst = slot(step.dst_slot) + index(first) * index(out_plane) * index(block);
  switch (step.kind) {
    case LayerKind::scale_shift:
      kernels_.scale_shift(src, step.scale.data() + first * block, step.shift.data() + first * block, dst,
                           count, in_plane, block);
      break;
    case LayerKind::subsample:
      kernels_.subsample(src, count, step.in.height, step.in.width, block, step.stride, dst);
      break;
    case LayerKind::squeeze_excite:
      kernels_.gate_add(src, gate_.data() + first * block, dst, dst, count, in_plane, block);
      break;
    case LayerKind::linear:
    case LayerKind::max_pool:
    case LayerKind::convolution: break;
  }
}

void CpuSession::squeeze(const Step& step) {
  const std::size_t channels = index(step.in.channels), squeezed = step.fc1.size() / channels;
  kernels_.global_average(slot(step.src_slot), step.blocks, step.in.height * step.in.width, plan_->block_,
                          mean_.data());
  std::fill(gate_.begin(), gate_.end(), 0.0f);
  for (std::size_t s = 0; s < squeezed; ++s) {
    double sum = 0;
    for (std::size_t c = 0; c < channels; ++c)
      sum += static_cast<double>(step.fc1[s * channels + c]) * mean_[c];
    if (sum <= 0) continue;  // ReLU
    for (std::size_t c = 0; c < channels; ++c)
      gate_[c] += static_cast<float>(sum) * step.fc2[c * squeezed + s];
  }
  for (std::size_t c = 0; c < channels; ++c) gate_[c] = 1.0f / (1.0f + std::exp(-gate_[c]));
}

}  // namespace

std::shared_ptr<const Plan> plan_cpu(const Network& network, const PlanOptions& options, ThreadPool* pool,
                                     std::shared_ptr<const void> owner) {
  if (options.precision == Precision::bf16 && !onednn_has_bf16())
    throw Error(
        ErrorCode::unsupported,
        "precision is bf16, which this CPU does not multiply (on x86 that takes AVX512-BF16); expected f32");
  const SingleThreadedScope scope;  // oneDNN plans for as many threads as OpenMP would use here
  const auto plan = [&](const PlanOptions& how) {
    return onednn_errors("plan", [&]() -> std::shared_ptr<const Plan> {
      return std::make_shared<CpuPlan>(network, how, pool, owner);
    });
  };
  if (!options.half_weights) return plan(options);
  try {
    return plan(options);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unsupported) throw;
    // A weight too large for 16 bits: all are kept in 32.
    PlanOptions full = options;
    full.half_weights = false;
    return plan(full);
  }
}

}  // namespace adaface::nn
