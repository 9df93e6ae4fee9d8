#include "src/nn/cuda_plan.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/cuda/l2_norm.h"
#include "kernels/cuda/pixels.h"
#include "kernels/cuda/squeeze_excite.h"
#include "src/error.hpp"
#include "src/nn/blocks.h"
#include "src/nn/cuda_layout.h"
#include "src/nn/cuda_tiles.h"
#include "src/nn/fusion.h"
#include "src/nn/slots.h"
#include "src/runtime/memory.h"

namespace adaface::nn {
namespace cuda {
namespace {

using kernels::cuda::Convolution;
using kernels::cuda::Storage;

// Rows of weights pass through pinned memory in pieces of about this size.
constexpr std::size_t kPieceBytes = std::size_t{8} << 20;

Storage storage_of(Precision precision) {
  switch (precision) {
    case Precision::f16: return Storage::f16;
    case Precision::bf16: return Storage::bf16;
    case Precision::f32: break;
  }
  return Storage::f32;
}

[[noreturn]] void refuse(const Layer& layer, const std::string& what) {
  throw Error(ErrorCode::unsupported, "layer " + layer.name + " on a CUDA device: " + what);
}

// A batch norm before a convolution goes into its weights and biases: rows{count, in, taps} become those of
// the scaled input, and sums{count, taps} what its shift adds for each tap.
void fold_norm(const Layer& layer, int in, int taps, int count, float* rows, double* sums) {
  for (int o = 0; o < count; ++o)
    for (int c = 0; c < in; ++c, rows += taps)
      for (int tap = 0; tap < taps; ++tap) {
        sums[o * taps + tap] += static_cast<double>(rows[tap]) * layer.shift[index(c)];
        rows[tap] *= layer.scale[index(c)];
      }
}

// Whether tap (y, x) of 3 x 3 lies inside the image where outputs have a border of `row`: see
// Convolution::border_bias.
bool is_inside(int row, int y, int x) {
  const int down = row / 3, right = row % 3;
  return !(down == 0 && y == 0) && !(down == 2 && y == 2) && !(right == 0 && x == 0) &&
         !(right == 2 && x == 2);
}

}  // namespace

Plan::Plan(const Network& network, int device, Precision precision, ThreadPool* pool)
    : device_(device),
      storage_(storage_of(precision)),
      limits_(prepare_device(device, storage_)),
      input_(network.values[index(network.input)]),
      output_(network.values[index(network.output)]) {
  const DeviceScope scope(device_);
  const Network fused = with_subsampling_fused(with_norms_fused(network));
  std::vector<std::size_t> sizes;
  for (Value value = 0; value < static_cast<Value>(fused.values.size()); ++value)
    sizes.push_back(aligned(bytes(fused, value)));
  const Slots slots = assign_slots(fused, sizes);
  slot_bytes_ = slots.slot_sizes;
  input_slot_ = slots.slot_of[index(fused.input)];
  output_slot_ = slots.slot_of[index(fused.output)];
  for (const Layer& layer : fused.layers) add_step(fused, layer, slots.slot_of);
  upload(fused, pool);
}

std::size_t Plan::bytes(const Network& network, Value value) const {
  const Extent e = network.values[index(value)];
  const std::size_t pixels = index(e.height) * index(e.width);
  if (value == network.input) return pixels * 16;
  // The last activation is float32 whatever the storage.
  return pixels * index(e.channels) *
         (value == network.output ? sizeof(float) : index(kernels::cuda::bytes_of(storage_)));
}

void Plan::add_step(const Network& network, const Layer& layer, const std::vector<int>& slot_of) {
  const Extent in = network.values[index(layer.src)], out = network.values[index(layer.dst)];
  Step step{.name = layer.name,
            .kind = layer.kind,
            .in = in,
            .out = out,
            .src_slot = slot_of[index(layer.src)],
            .dst_slot = slot_of[index(layer.dst)]};
  step.last = layer.dst == network.output;
  if (layer.residual >= 0) {
    step.residual_slot = slot_of[index(layer.residual)];
    step.residual_stride = layer.residual_stride;
    step.residual = network.values[index(layer.residual)];
  }
  LayerInfo info{.name = layer.name,
                 .kind = layer.kind,
                 .shape = to_string(in) + " -> " + to_string(out),
                 .implementation = "cuda"};
  for (Value value : {layer.src, layer.dst, layer.residual})
    if (value >= 0) info.activation_bytes += static_cast<double>(bytes(network, value));
  const auto reserve = [&](std::size_t size) {
    return std::exchange(parameter_bytes_, parameter_bytes_ + aligned(size));
  };
  switch (layer.kind) {
    case LayerKind::convolution:
      add_convolution(network, layer, step, info);
      step.weights_offset =
          reserve(index(step.convolution.weight_rows()) * index(step.convolution.row_bytes()));
      step.bias_offset =
          reserve(index(out.channels) * (step.convolution.border_bias ? 9 : 1) * sizeof(float));
      if (!layer.weights.slope.empty()) step.slope_offset = reserve(index(out.channels) * sizeof(float));
      break;
    case LayerKind::squeeze_excite:
      step.squeezed = static_cast<int>(layer.fc1.size()) / in.channels;
      if (in.channels > kernels::cuda::kMostGateChannels || in.channels % 8 != 0 ||
          step.squeezed > kernels::cuda::kMostSqueezed || step.last)
        refuse(layer, "squeeze-and-excite of this size");
      step.fc1_offset = reserve(layer.fc1.size() * sizeof(float));
      step.fc2_offset = reserve(layer.fc2.size() * sizeof(float));
      break;
    default: refuse(layer, std::string(to_string(layer.kind)) + " is computed as part of a convolution only");
  }
  steps_.push_back(std::move(step));
  infos_.push_back(std::move(info));
}

void Plan::add_convolution(const Network& network, const Layer& layer, Step& step, LayerInfo& info) {
  const bool has_norm = !layer.scale.empty();
  const Extent in = step.in, out = step.out;
  if (out.channels % 8 != 0) refuse(layer, "expected a multiple of 8 output channels");
  const int channels = layer.src == network.input ? input_channels() : in.channels;
  if (layer.src == network.input && in.channels > channels)
    refuse(layer, "more input channels than a pixel has room for");
  if (channels * kernels::cuda::bytes_of(storage_) % kernels::cuda::kPieceBytes != 0)
    refuse(layer, "expected a multiple of 8 input channels");
  if (has_norm && layer.padding > 0 &&
      (layer.kernel != 3 || layer.padding != 1 || in.height < 2 || in.width < 2))
    refuse(layer, "a batch norm before padding other than that of 3x3");
  step.convolution = {.storage = storage_,
                      .height = in.height,
                      .width = in.width,
                      .channels = channels,
                      .out_height = out.height,
                      .out_width = out.width,
                      .out_channels = out.channels,
                      .kernel = layer.kernel,
                      .stride = layer.stride,
                      .padding = layer.padding,
                      .weights = nullptr,
                      .bias = nullptr,
                      .border_bias = has_norm && layer.padding > 0,
                      .slope = nullptr};
  const Convolution& c = step.convolution;
  const kernels::cuda::ConvolutionTile tile = choose_tile(c, 1, limits_);
  info.implementation = std::string("cuda ") +
                        (storage_ == Storage::f16    ? "f16 "
                         : storage_ == Storage::bf16 ? "bf16 "
                                                     : "tf32 ") +
                        std::to_string(tile.rows) + "x" + std::to_string(tile.columns) +
                        (tile.warpgroups ? " warpgroups" : "") + " " + std::to_string(tile.stages) +
                        " stages" + (tile.splits > 1 ? " in " + std::to_string(tile.splits) : "") +
                        (tile.cluster ? " of a cluster" : "");
  info.shape += " k" + std::to_string(layer.kernel) + " s" + std::to_string(layer.stride);
  const double outputs = static_cast<double>(out.channels) * out.height * out.width;
  info.multiply_adds = outputs * in.channels * layer.kernel * layer.kernel;
  info.executed_multiply_adds = outputs * c.row_bytes() / kernels::cuda::bytes_of(storage_);
  info.weight_bytes = static_cast<double>(out.channels) * c.row_bytes();
}

void Plan::upload(const Network& network, ThreadPool* pool) {
  check(kernels::cuda::prepare_squeeze_excite(storage_), "preparing squeeze-and-excite");
  check(kernels::cuda::prepare_pixels(storage_), "preparing the input");
  check(kernels::cuda::prepare_l2_norm(), "preparing norms");
  parameters_ = DeviceMemory(parameter_bytes_, "weights");
  Stream stream;
  stream.clear(parameters_.data(), parameter_bytes_);
  PinnedMemory piece;
  DeviceMemory piece_on_device;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    Step& step = steps_[i];
    const Layer& layer = network.layers[i];
    const auto copy = [&](std::size_t offset, const std::vector<float>& values) {
      stream.upload(parameters_.data() + offset, values.data(), values.size() * sizeof(float));
      stream.synchronize("copy of parameters");  // from memory that does not stay
    };
    if (step.kind == LayerKind::squeeze_excite) {
      copy(step.fc1_offset, layer.fc1);
      copy(step.fc2_offset, layer.fc2);
      continue;
    }
    Convolution& c = step.convolution;
    const int out = step.out.channels, in = step.in.channels, taps = c.kernel * c.kernel;
    const std::size_t row = index(in) * index(taps);
    std::vector<double> shifted(layer.scale.empty() ? 0 : index(out * taps));
    const int at_once = std::clamp(static_cast<int>(kPieceBytes / (row * sizeof(float))), 1, out);
    for (int first = 0; first < out; first += at_once) {
      const int count = std::min(at_once, out - first);
      const std::size_t size = index(count) * row * sizeof(float);
      stream.synchronize("upload of weights");
      nn::cuda::reserve(piece, size, "weights on their way");
      nn::cuda::reserve(piece_on_device, size, "weights on their way");
      auto* const rows = piece.as<float>();
      const int each = divide_up(count, pool ? 4 * pool->threads() : 1);
      const auto fill = [&](int task, int) {
        const int from = task * each, some = std::min(each, count - from);
        float* const to = rows + index(from) * row;
        layer.weights.fill(first + from, some, to);
        if (!shifted.empty())
          fold_norm(layer, in, taps, some, to, shifted.data() + index((first + from) * taps));
      };
      run_tasks(pool, divide_up(count, each), fill);
      stream.upload(piece_on_device.data(), rows, size);
      check(kernels::cuda::pack_weights(c, piece_on_device.as<float>(), first, count, in,
                                        parameters_.data() + step.weights_offset, stream.get()),
            layer.name + ": packing weights");
      if (layer.weights.release) layer.weights.release();
    }
    std::vector<float> bias;
    const int borders = c.border_bias ? 9 : 1;
    for (int border = 0; border < borders; ++border)
      for (int o = 0; o < out; ++o) {
        double value = layer.weights.bias[index(o)];
        for (int tap = 0; tap < taps && !shifted.empty(); ++tap)
          if (borders == 1 || is_inside(border, tap / 3, tap % 3)) value += shifted[index(o * taps + tap)];
        bias.push_back(static_cast<float>(value));
      }
    copy(step.bias_offset, bias);
    c.weights = parameters_.data() + step.weights_offset;
    c.bias = reinterpret_cast<const float*>(parameters_.data() + step.bias_offset);
    if (!layer.weights.slope.empty()) {
      copy(step.slope_offset, layer.weights.slope);
      c.slope = reinterpret_cast<const float*>(parameters_.data() + step.slope_offset);
    }
  }
  stream.synchronize("upload of weights");
}

}  // namespace cuda

std::shared_ptr<const CudaPlan> plan_cuda(const Network& network, int device, Precision precision,
                                          ThreadPool* pool) {
  return std::make_shared<const cuda::Plan>(network, device, precision, pool);
}

}  // namespace adaface::nn
