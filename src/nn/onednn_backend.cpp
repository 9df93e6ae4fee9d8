#include "src/nn/onednn_backend.h"

#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <dnnl.hpp>
#include <memory>
#include <new>
#include <utility>

#include "kernels/kernels.h"
#include "src/error.hpp"
#include "src/nn/thread_pool.h"

namespace adaface::nn {
namespace {

using dnnl::memory;

constexpr std::size_t kAlignment = 64;
// A part's weights pass through one unpacked buffer on their way in; this bounds it.
constexpr std::size_t kMaxPartBytes = std::size_t{16} << 20;

std::size_t index(Value value) {
  return static_cast<std::size_t>(value);
}
std::size_t align_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}
int divide_up(int a, int b) {
  return (a + b - 1) / b;
}

// Zeros.
class AlignedFloats {
 public:
  explicit AlignedFloats(std::size_t count = 0)
      : data_(static_cast<float*>(::operator new[](count * sizeof(float), std::align_val_t{kAlignment}))) {
    std::memset(data_.get(), 0, count * sizeof(float));
  }
  float* data() const { return data_.get(); }

 private:
  struct Delete {
    void operator()(float* data) const { ::operator delete[](data, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<float[], Delete> data_;
};

// Translates what oneDNN throws; `what` says during which work.
template <typename F>
auto translated(const std::string& what, F&& f) {
  try {
    return f();
  } catch (const dnnl::error& error) {
    const ErrorCode code =
        error.status == dnnl_out_of_memory ? ErrorCode::out_of_memory : ErrorCode::internal;
    throw Error(code, what + ": oneDNN: " + error.what());
  }
}

// Channels that lie together: what the JIT convolutions of this CPU (or of ONEDNN_MAX_CPU_ISA) want.
int channel_block() {
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const auto avx512 = static_cast<unsigned>(dnnl::cpu_isa::avx512_core);
  return (isa & avx512) == avx512 ? 16 : 8;
}

// Output channels [first_block, first_block + blocks) of a convolution.
struct Part {
  int first_block, blocks;
  dnnl::primitive primitive;
  memory::desc src, dst, scratchpad, weights, bias;
  std::size_t weights_offset, bias_offset;  // in floats, in the plan's packed weights
};

struct Step {
  LayerKind kind;
  int src_slot, dst_slot, residual_slot;
  Value src, dst;
  Extent in, out;
  int blocks;         // of the output
  int in_padded = 0;  // channels of the input that a convolution reads
  int kernel, stride, padding;
  bool prelu;
  std::vector<Part> parts;
  std::vector<float> weights, bias;                  // linear
  std::vector<float> slope, scale, shift, fc1, fc2;  // per channel: padded to whole blocks
};

// Which slot of the arena holds which value: a slot is free again after its value's last use.
class SlotAssignment {
 public:
  SlotAssignment(const Network& network, const std::vector<std::size_t>& sizes)
      : slot_of(sizes.size(), -1), last_use_(sizes.size(), -1) {
    const int count = static_cast<int>(network.layers.size());
    for (int i = 0; i < count; ++i)
      for (Value value : {network.layers[index(i)].src, network.layers[index(i)].residual})
        if (value >= 0) last_use_[index(value)] = i;
    last_use_[index(network.output)] = count;
    slot_of[index(network.input)] = acquire(sizes[index(network.input)]);
    for (int i = 0; i < count; ++i) {
      const Layer& layer = network.layers[index(i)];
      if (layer.residual >= 0) {
        if (last_use_[index(layer.residual)] != i || layer.residual == layer.src)
          throw Error(ErrorCode::internal, "layer " + layer.name + ": its residual is used again");
        slot_of[index(layer.dst)] = slot_of[index(layer.residual)];
      } else {
        slot_of[index(layer.dst)] = acquire(sizes[index(layer.dst)]);
      }
      if (last_use_[index(layer.src)] == i) free_.push_back(slot_of[index(layer.src)]);
    }
  }

  std::vector<int> slot_of;
  std::vector<std::size_t> slot_sizes;

 private:
  int acquire(std::size_t size) {
    // The smallest free slot that is large enough, else the largest, which then grows.
    auto better = [&](int a, int b) {
      const std::size_t x = slot_sizes[index(a)], y = slot_sizes[index(b)];
      return (x >= size) != (y >= size) ? x >= size : x >= size ? x < y : x > y;
    };
    const auto best = std::min_element(free_.begin(), free_.end(), better);
    if (best == free_.end()) {
      slot_sizes.push_back(size);
      return static_cast<int>(slot_sizes.size()) - 1;
    }
    const int slot = *best;
    free_.erase(best);
    slot_sizes[index(slot)] = std::max(slot_sizes[index(slot)], size);
    return slot;
  }

  std::vector<int> last_use_;
  std::vector<int> free_;
};

class OnednnPlan final : public Plan, public std::enable_shared_from_this<OnednnPlan> {
 public:
  OnednnPlan(const Network& network, int threads);

  std::unique_ptr<Session> create_session() const override;
  std::span<const LayerInfo> layers() const override { return infos_; }
  Extent input() const override { return input_; }
  Extent output() const override { return output_; }

 private:
  friend class OnednnSession;

  int blocks(int channels) const { return divide_up(channels, block_); }
  memory::format_tag blocked_tag() const {
    return block_ == 16 ? memory::format_tag::nChw16c : memory::format_tag::nChw8c;
  }
  // The network's input is planar and unpadded, every other activation blocked and padded.
  std::size_t floats(const Network& network, Value value) const {
    const Extent e = network.values[index(value)];
    const int channels = value == network.input ? e.channels : blocks(e.channels) * block_;
    return static_cast<std::size_t>(channels) * static_cast<std::size_t>(e.height) *
           static_cast<std::size_t>(e.width);
  }
  std::vector<float> padded(const std::vector<float>& values) const {
    std::vector<float> result(values);
    result.resize(static_cast<std::size_t>(blocks(static_cast<int>(values.size())) * block_));
    return result;
  }
  void plan_convolution(const Layer& layer, bool from_input, int threads, Step& step, LayerInfo& info);
  static void plan_linear(const Layer& layer, Step& step, LayerInfo& info);
  std::size_t reserve(std::size_t bytes);
  void pack(const Layer& layer, const Step& step, const Part& part, float* plain);

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  int block_ = channel_block();
  Extent input_, output_;
  int input_slot_, output_slot_;
  std::vector<Step> steps_;
  std::vector<LayerInfo> infos_;
  std::vector<std::size_t> slot_offsets_;  // in floats
  std::size_t arena_floats_ = 0;
  // All in one piece: many allocations would leave as much again in holes between them.
  AlignedFloats packed_;
  std::size_t packed_floats_ = 0;
  std::size_t plain_floats_ = 0;   // of the largest part, unpacked
  std::size_t scratch_bytes_ = 0;  // of one part
  std::size_t max_parts_ = 1;
  std::size_t value_count_ = 0;
  int max_channels_ = 0;
};

class OnednnSession final : public Session {
 public:
  explicit OnednnSession(std::shared_ptr<const OnednnPlan> plan);

  float* input() override { return slot(plan_->input_slot_); }
  const float* output() const override { return output_.data(); }
  void run(ThreadPool* pool, int valid_height, int valid_width) override;
  void run_layer(int layer, ThreadPool* pool, bool bare) override { run_step(index(layer), pool, bare); }
  void run_until(int layer, std::vector<float>& chw) override;

 private:
  struct Arguments {
    dnnl_primitive_t primitive;
    std::vector<memory> memories;  // keeps what `list` refers to
    std::vector<dnnl_exec_arg_t> list;
  };

  float* slot(int slot) const { return arena_.data() + plan_->slot_offsets_[index(slot)]; }
  void bind(const Step& step);
  void set_valid(int height, int width);
  void run_step(std::size_t i, ThreadPool* pool, bool bare = false);
  void run_part(const Step& step, std::size_t part, bool bare);
  void run_blocks(const Step& step, int first, int count);
  void squeeze(const Step& step);

  std::shared_ptr<const OnednnPlan> plan_;
  const kernels::Kernels& kernels_ = kernels::select();
  AlignedFloats arena_;
  AlignedFloats scratch_;
  std::vector<dnnl::stream> streams_;              // one for each part: parts run at the same time
  std::vector<std::vector<Arguments>> arguments_;  // [step][part]
  std::vector<std::pair<int, int>> valid_;         // height, width of every value
  std::vector<float> mean_, gate_;                 // squeeze-and-excite
  std::vector<float> output_;
};

dnnl::convolution_forward::primitive_desc convolution_desc(const dnnl::engine& engine, const Layer& layer,
                                                           const memory::desc& src,
                                                           const memory::desc& weights,
                                                           const memory::desc& bias,
                                                           const memory::desc& dst) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (layer.residual >= 0) {
    dnnl::post_ops post_ops;
    post_ops.append_sum(1.0f);
    attributes.set_post_ops(post_ops);
  }
  const memory::dims strides = {layer.stride, layer.stride}, padding = {layer.padding, layer.padding};
  constexpr auto kind = dnnl::prop_kind::forward_inference;
  constexpr auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kind, algorithm, src, weights, bias, dst, strides, padding, padding, attributes};
#else
  return {{kind, algorithm, src, weights, bias, dst, strides, padding, padding}, attributes, engine};
#endif
}

OnednnPlan::OnednnPlan(const Network& network, int threads)
    : input_(network.values[index(network.input)]),
      output_(network.values[index(network.output)]),
      value_count_(network.values.size()) {
  std::vector<std::size_t> sizes;
  for (Value value = 0; value < static_cast<Value>(network.values.size()); ++value)
    sizes.push_back(floats(network, value));
  const SlotAssignment slots(network, sizes);
  for (std::size_t size : slots.slot_sizes) {
    slot_offsets_.push_back(arena_floats_);
    arena_floats_ += align_up(size * sizeof(float)) / sizeof(float);
  }
  input_slot_ = slots.slot_of[index(network.input)];
  output_slot_ = slots.slot_of[index(network.output)];

  for (const Layer& layer : network.layers) {
    const Extent in = network.values[index(layer.src)], out = network.values[index(layer.dst)];
    Step step{.kind = layer.kind,
              .src_slot = slots.slot_of[index(layer.src)],
              .dst_slot = slots.slot_of[index(layer.dst)],
              .residual_slot = slots.slot_of[index(layer.dst)],
              .src = layer.src,
              .dst = layer.dst,
              .in = in,
              .out = out,
              .blocks = blocks(out.channels),
              .kernel = layer.kernel,
              .stride = layer.stride,
              .padding = layer.padding,
              .prelu = !layer.weights.slope.empty(),
              .parts = {},
              .weights = {},
              .bias = {},
              .slope = padded(layer.weights.slope),
              .scale = padded(layer.scale),
              .shift = padded(layer.shift),
              .fc1 = layer.fc1,
              .fc2 = layer.fc2};
    auto text = [](const Extent& e) {
      return std::to_string(e.channels) + "x" + std::to_string(e.height) + "x" + std::to_string(e.width);
    };
    LayerInfo info{.name = layer.name,
                   .kind = layer.kind,
                   .shape = text(in) + " -> " + text(out),
                   .implementation = "kernels"};
    // Of each row and column only what a kernel narrower than its stride meets.
    const double met = layer.kernel < layer.stride ? static_cast<double>(layer.kernel) / layer.stride : 1;
    info.activation_bytes = sizeof(float) * (met * met * static_cast<double>(sizes[index(layer.src)]) +
                                             static_cast<double>(sizes[index(layer.dst)]));
    if (layer.residual >= 0)
      info.activation_bytes += sizeof(float) * static_cast<double>(sizes[index(layer.residual)]);
    if (layer.kind == LayerKind::linear) plan_linear(layer, step, info);
    if (layer.kind == LayerKind::convolution)
      plan_convolution(layer, layer.src == network.input, threads, step, info);
    else if (layer.src == network.input)
      throw Error(ErrorCode::internal,
                  "layer " + layer.name + ": only a convolution reads the network's input");
    max_parts_ = std::max(max_parts_, step.parts.size());
    max_channels_ = std::max(max_channels_, step.blocks * block_);
    steps_.push_back(std::move(step));
    infos_.push_back(std::move(info));
  }

  packed_ = AlignedFloats(packed_floats_);
  const AlignedFloats plain(plain_floats_);
  for (std::size_t i = 0; i < steps_.size(); ++i)
    for (const Part& part : steps_[i].parts) pack(network.layers[i], steps_[i], part, plain.data());
}

std::size_t OnednnPlan::reserve(std::size_t bytes) {
  const std::size_t offset = packed_floats_;
  packed_floats_ += align_up(bytes) / sizeof(float);
  return offset;
}

void OnednnPlan::plan_convolution(const Layer& layer, bool from_input, int threads, Step& step,
                                  LayerInfo& info) {
  const Extent in = step.in, out = step.out;
  const int in_padded = step.in_padded = from_input ? in.channels : blocks(in.channels) * block_;
  const std::size_t block_weights = static_cast<std::size_t>(block_) * static_cast<std::size_t>(in_padded) *
                                    static_cast<std::size_t>(layer.kernel * layer.kernel);
  const int blocks_by_size = std::max(1, static_cast<int>(kMaxPartBytes / (block_weights * sizeof(float))));
  const int part_blocks = std::min(divide_up(step.blocks, threads), blocks_by_size);

  const auto f32 = memory::data_type::f32;
  const memory::desc src({1, in_padded, in.height, in.width}, f32,
                         from_input ? memory::format_tag::nchw : blocked_tag());
  for (int first = 0; first < step.blocks; first += part_blocks) {
    const int count = std::min(part_blocks, step.blocks - first);
    const int channels = count * block_;
    const memory::desc any({channels, in_padded, layer.kernel, layer.kernel}, f32, memory::format_tag::any);
    const memory::desc bias({channels}, f32, memory::format_tag::x);
    const memory::desc dst({1, channels, out.height, out.width}, f32, blocked_tag());
    const auto desc = convolution_desc(engine_, layer, src, any, bias, dst);
    Part part{.first_block = first,
              .blocks = count,
              .primitive = dnnl::convolution_forward(desc),
              .src = src,
              .dst = dst,
              .scratchpad = desc.scratchpad_desc(),
              .weights = desc.weights_desc(),
              .bias = bias,
              .weights_offset = reserve(desc.weights_desc().get_size()),
              .bias_offset = reserve(bias.get_size())};
    plain_floats_ = std::max(plain_floats_, static_cast<std::size_t>(count) * block_weights);
    scratch_bytes_ = std::max(scratch_bytes_, align_up(part.scratchpad.get_size()));
    info.implementation = desc.impl_info_str();
    info.weight_bytes += static_cast<double>(part.weights.get_size() + bias.get_size());
    step.parts.push_back(std::move(part));
  }
  info.shape += " k" + std::to_string(layer.kernel) + " s" + std::to_string(layer.stride);
  const double weights = static_cast<double>(in.channels) * out.channels * layer.kernel * layer.kernel;
  info.multiply_adds = weights * out.height * out.width;
  info.executed_multiply_adds =
      static_cast<double>(step.blocks) * static_cast<double>(block_weights) * out.height * out.width;
}

void OnednnPlan::plan_linear(const Layer& layer, Step& step, LayerInfo& info) {
  if (step.in.height != 1 || step.in.width != 1)
    throw Error(ErrorCode::internal, "layer " + layer.name + ": a linear layer reads one pixel");
  step.bias = layer.weights.bias;
  step.weights.resize(index(step.in.channels) * step.bias.size());
  layer.weights.fill(0, step.out.channels, step.weights.data());
  info.multiply_adds = static_cast<double>(step.weights.size());
  info.weight_bytes = sizeof(float) * static_cast<double>(step.weights.size());
}

// `plain` holds plain_floats_.
void OnednnPlan::pack(const Layer& layer, const Step& step, const Part& part, float* plain) {
  const memory::dims shape = {part.blocks * block_, step.in_padded, layer.kernel, layer.kernel};
  const int first = part.first_block * block_, taps = layer.kernel * layer.kernel;
  const int out_channels =
      std::min(static_cast<int>(shape[0]), static_cast<int>(layer.weights.bias.size()) - first);
  const std::size_t row = static_cast<std::size_t>(step.in.channels * taps),
                    padded_row = static_cast<std::size_t>(shape[1] * taps);
  layer.weights.fill(first, out_channels, plain);
  // Spread the rows out to their padded length, the last first: each moves to a higher address.
  for (int o = out_channels - 1; o >= 0 && padded_row != row; --o) {
    float* to = plain + static_cast<std::size_t>(o) * padded_row;
    std::memmove(to, plain + static_cast<std::size_t>(o) * row, row * sizeof(float));
    std::fill(to + row, to + padded_row, 0.0f);
  }
  std::fill(plain + index(out_channels) * padded_row, plain + static_cast<std::size_t>(shape[0]) * padded_row,
            0.0f);
  memory src({shape, memory::data_type::f32, memory::format_tag::oihw}, engine_, plain);
  memory dst(part.weights, engine_, packed_.data() + part.weights_offset);
  dnnl::reorder(src, dst).execute(stream_, src, dst);
  stream_.wait();
  std::copy_n(layer.weights.bias.data() + first, out_channels, packed_.data() + part.bias_offset);
}

std::unique_ptr<Session> OnednnPlan::create_session() const {
  return translated("session", [&] { return std::make_unique<OnednnSession>(shared_from_this()); });
}

OnednnSession::OnednnSession(std::shared_ptr<const OnednnPlan> plan)
    : Session(plan->input_),
      plan_(std::move(plan)),
      arena_(plan_->arena_floats_),
      scratch_(plan_->scratch_bytes_ * plan_->max_parts_ / sizeof(float)),
      valid_(plan_->value_count_),
      mean_(index(plan_->max_channels_)),
      gate_(index(plan_->max_channels_)),
      output_(index(plan_->output_.channels * plan_->output_.height * plan_->output_.width)) {
  for (std::size_t i = 0; i < plan_->max_parts_; ++i) streams_.emplace_back(plan_->engine_);
  for (const Step& step : plan_->steps_) bind(step);
  set_valid(input_extent_.height, input_extent_.width);
}

void OnednnSession::bind(const Step& step) {
  std::vector<Arguments>& all = arguments_.emplace_back();
  const std::size_t plane = static_cast<std::size_t>(step.out.height) *
                            static_cast<std::size_t>(step.out.width) *
                            static_cast<std::size_t>(plan_->block_);
  for (std::size_t i = 0; i < step.parts.size(); ++i) {
    const Part& part = step.parts[i];
    Arguments& arguments = all.emplace_back();
    arguments.primitive = part.primitive.get();
    auto add = [&](int key, memory value) {
      arguments.list.push_back({key, value.get()});
      arguments.memories.push_back(std::move(value));
    };
    float* dst = slot(step.dst_slot) + static_cast<std::size_t>(part.first_block) * plane;
    add(DNNL_ARG_SRC, memory(part.src, plan_->engine_, slot(step.src_slot)));
    add(DNNL_ARG_WEIGHTS, memory(part.weights, plan_->engine_, plan_->packed_.data() + part.weights_offset));
    add(DNNL_ARG_BIAS, memory(part.bias, plan_->engine_, plan_->packed_.data() + part.bias_offset));
    add(DNNL_ARG_DST, memory(part.dst, plan_->engine_, dst));
    if (part.scratchpad.get_size() > 0)
      add(DNNL_ARG_SCRATCHPAD, memory(part.scratchpad, plan_->engine_,
                                      scratch_.data() + i * plan_->scratch_bytes_ / sizeof(float)));
  }
}

void OnednnSession::set_valid(int height, int width) {
  valid_[index(plan_->steps_.front().src)] = {height, width};
  for (const Step& step : plan_->steps_) {
    const auto [h, w] = valid_[index(step.src)];
    auto size = [&](int rows) {
      return output_size(step.kind, step.kernel, step.stride, step.padding, rows);
    };
    valid_[index(step.dst)] = {size(h), size(w)};
  }
}

void OnednnSession::run(ThreadPool* pool, int valid_height, int valid_width) {
  set_valid(valid_height, valid_width);
  for (std::size_t i = 0; i < plan_->steps_.size(); ++i) run_step(i, pool);
  const Extent out = plan_->output_;
  const float* src = slot(plan_->output_slot_);
  const int pixels = out.height * out.width, block = plan_->block_;
  float* dst = output_.data();
  for (int pixel = 0; pixel < pixels; ++pixel)
    for (int channel = 0; channel < out.channels; ++channel)
      *dst++ = src[(static_cast<std::size_t>(channel / block) * index(pixels) + index(pixel)) * index(block) +
                   index(channel % block)];
}

void OnednnSession::run_until(int layer, std::vector<float>& chw) {
  for (std::size_t i = 0; i <= index(layer); ++i) run_step(i, nullptr);
  const Step& step = plan_->steps_[index(layer)];
  const std::size_t pixels = index(step.out.height * step.out.width), block = index(plan_->block_);
  const float* src = slot(step.dst_slot);
  chw.resize(index(step.out.channels) * pixels);
  for (std::size_t c = 0; c < index(step.out.channels); ++c)
    for (std::size_t p = 0; p < pixels; ++p)
      chw[c * pixels + p] = src[((c / block) * pixels + p) * block + c % block];
}

void OnednnSession::run_step(std::size_t i, ThreadPool* pool, bool bare) {
  const Step& step = plan_->steps_[i];
  if (step.kind == LayerKind::squeeze_excite) squeeze(step);
  if (step.kind == LayerKind::convolution) {
    auto task = [this, &step, bare](int part, int) { run_part(step, index(part), bare); };
    if (pool && step.parts.size() > 1)
      pool->run(static_cast<int>(step.parts.size()), task);
    else
      for (std::size_t part = 0; part < step.parts.size(); ++part) task(static_cast<int>(part), 0);
    return;
  }
  if (step.kind == LayerKind::linear) {
    kernels_.linear(slot(step.src_slot), step.weights.data(), step.bias.data(), step.in.channels,
                    step.out.channels, slot(step.dst_slot));
    return;
  }
  if (!pool || pool->threads() == 1) return run_blocks(step, 0, step.blocks);
  const int each = divide_up(step.blocks, pool->threads());
  auto task = [&](int t, int) { run_blocks(step, t * each, std::min(each, step.blocks - t * each)); };
  pool->run(divide_up(step.blocks, each), task);
}

void OnednnSession::run_part(const Step& step, std::size_t part, bool bare) {
  const Arguments& arguments = arguments_[static_cast<std::size_t>(&step - plan_->steps_.data())][part];
  translated("convolution", [&] {
    dnnl::error::wrap_c_api(
        dnnl_primitive_execute(arguments.primitive, streams_[part].get(),
                               static_cast<int>(arguments.list.size()), arguments.list.data()),
        "could not execute a convolution");
    streams_[part].wait();
  });
  if (!step.prelu || bare) return;
  // While this part's result is still in cache.
  const int pixels = step.out.height * step.out.width, block = plan_->block_;
  const int first = step.parts[part].first_block;
  kernels_.prelu(slot(step.dst_slot) + index(first) * index(pixels) * index(block),
                 step.slope.data() + first * block, step.parts[part].blocks, pixels, block);
}

void OnednnSession::run_blocks(const Step& step, int first, int count) {
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
    case LayerKind::max_pool: {
      const auto [src_height, src_width] = valid_[index(step.src)];
      const auto [out_height, out_width] = valid_[index(step.dst)];
      kernels_.max_pool({count, block, step.kernel, step.stride, src_height, src_width, step.in.width,
                         in_plane, out_height, out_width, step.out.width, out_plane},
                        src, dst);
      break;
    }
    case LayerKind::squeeze_excite:
      kernels_.gate_add(src, gate_.data() + first * block, dst, dst, count, in_plane, block);
      break;
    case LayerKind::linear:
    case LayerKind::convolution: break;
  }
}

void OnednnSession::squeeze(const Step& step) {
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

struct OpenMp {
  void (*set_num_threads)(int);
  int (*get_max_threads)();
};

// Looked up at run time: the library must use the OpenMP runtime that oneDNN loaded, whichever that is.
const OpenMp& open_mp() {
  static const OpenMp functions = {
      reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads")),
      reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "omp_get_max_threads")),
  };
  return functions;
}

}  // namespace

void enter_worker_thread() {
  if (open_mp().set_num_threads) open_mp().set_num_threads(1);
}

SingleThreadedScope::SingleThreadedScope()
    : previous_(open_mp().get_max_threads ? open_mp().get_max_threads() : 1) {
  enter_worker_thread();
}

SingleThreadedScope::~SingleThreadedScope() {
  if (open_mp().set_num_threads) open_mp().set_num_threads(previous_);
}

std::shared_ptr<const Plan> plan_onednn(const Network& network, int threads) {
  const SingleThreadedScope scope;  // oneDNN plans for as many threads as OpenMP would use here
  return translated("plan", [&]() -> std::shared_ptr<const Plan> {
    return std::make_shared<OnednnPlan>(network, std::max(1, threads));
  });
}

}  // namespace adaface::nn
