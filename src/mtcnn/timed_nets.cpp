#include "src/mtcnn/timed_nets.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "src/mtcnn/nets.h"

namespace adaface::mtcnn {
namespace {

using kernels::kChannelBlock;
using nn::Extent;

std::size_t size_of(int count) {
  return static_cast<std::size_t>(count);
}
int divide_up(int a, int b) {
  return (a + b - 1) / b;
}
// One layer: reads what the one before wrote.
struct Step {
  std::function<void(const float* src, float* dst, float* scratch)> run;
  Extent out;               // its channels as they lie in memory
  std::size_t scratch = 0;  // floats
  std::size_t more = 0;     // floats of dst beyond `out`
};

// Steps one after the other on the calling thread: what the detector divides among threads is bands of cells
// and candidates.
class TimedPlan final : public nn::Plan, public std::enable_shared_from_this<TimedPlan> {
 public:
  TimedPlan(const weights::AfwFile& file, int side) : pnet_(file) { add_pnet(side); }
  explicit TimedPlan(CandidateNet net, const std::string& name) : net_(std::move(net)) { add_layers(name); }

  std::unique_ptr<nn::Session> create_session(int threads) const override;
  void keep_weights(nn::ThreadPool*, const nn::Progress*) const override {}
  std::span<const nn::LayerInfo> layers() const override { return infos_; }
  Extent input() const override { return input_; }
  Extent output() const override { return steps_.back().out; }

 private:
  friend class TimedSession;
  void add(nn::LayerInfo info, Step step, const Extent& in, double weight_floats);
  void add_pnet(int side);
  void add_layers(const std::string& name);

  Extent input_{};
  std::vector<Step> steps_;
  std::vector<nn::LayerInfo> infos_;
  std::optional<Pnet> pnet_;
  std::optional<CandidateNet> net_;
};

class TimedSession final : public nn::Session {
 public:
  explicit TimedSession(std::shared_ptr<const TimedPlan> plan) : plan_(std::move(plan)) {
    std::size_t scratch = 0;
    const auto floats = [](const Extent& e) {
      return size_of(e.channels * e.height * e.width + kChannelBlock);
    };
    activations_.emplace_back(floats(plan_->input_));
    for (const Step& step : plan_->steps_) {
      activations_.emplace_back(floats(step.out) + step.more);
      scratch = std::max(scratch, step.scratch);
    }
    scratch_.resize(scratch);
  }

  float* input() override { return activations_.front().data(); }
  const float* output() const override { return activations_.back().data(); }
  void run(nn::ThreadPool* pool, const nn::Progress*) override {
    for (int i = 0; i < static_cast<int>(plan_->steps_.size()); ++i) run_layer(i, pool, false);
  }
  void run_layer(int index, nn::ThreadPool*, bool) override {
    const auto i = size_of(index);
    plan_->steps_[i].run(activations_[i].data(), activations_[i + 1].data(), scratch_.data());
  }
  void run_until(int, std::vector<float>&) override {
    throw Error(ErrorCode::internal, "the detector's networks are compared whole");
  }

 private:
  std::shared_ptr<const TimedPlan> plan_;
  std::vector<std::vector<float>> activations_;
  std::vector<float> scratch_;
};

std::unique_ptr<nn::Session> TimedPlan::create_session(int) const {
  return std::make_unique<TimedSession>(shared_from_this());
}

void TimedPlan::add(nn::LayerInfo info, Step step, const Extent& in, double weight_floats) {
  const auto floats = [](const Extent& e) { return static_cast<double>(e.channels) * e.height * e.width; };
  info.shape = to_string(in) + " -> " + to_string(step.out) + info.shape;
  info.activation_bytes = sizeof(float) * (floats(in) + floats(step.out));
  info.weight_bytes = sizeof(float) * weight_floats;
  infos_.push_back(std::move(info));
  steps_.push_back(std::move(step));
}

void TimedPlan::add_layers(const std::string& name) {
  const kernels::Kernels& kernels = kernels::select();
  input_ = {3, net_->size(), net_->size()};
  Extent in = input_;
  int number = 0;
  for (const ConvolutionLayer& layer : net_->layers()) {
    const std::string index = std::to_string(++number);
    const int extent = in.height, size = extent - layer.kernel + 1, taps = layer.kernel * layer.kernel;
    const Extent out{layer.padded(), size, size};
    const bool winograd = !layer.transformed.empty();
    const int tiles = divide_up(size, kernels::kWinogradTile);
    const double each = static_cast<double>(layer.in) * layer.padded();
    nn::LayerInfo info{.name = name + ".conv" + index,
                       .kind = nn::LayerKind::convolution,
                       .shape = " k" + std::to_string(layer.kernel) + " s1",
                       .implementation = winograd ? "winograd 4" : "direct"};
    info.multiply_adds = static_cast<double>(size) * size * taps * layer.in * layer.out;
    info.executed_multiply_adds = winograd
                                      ? each * tiles * tiles * kernels::kWinogradTaps * kernels::kWinogradTaps
                                      : each * size * size * taps;
    const std::vector<float>& weights = winograd ? layer.transformed : layer.weights;
    add(std::move(info),
        {[&kernels, &layer, extent](const float* src, float* dst, float* scratch) {
           kernels.convolve(layer.view(), {extent, extent, layer.padded()}, src, dst, scratch);
         },
         out, kernels::convolution_scratch(layer.in, layer.view().blocks)},
        in, static_cast<double>(weights.size()));
    in = out;
    if (layer.window == 0) continue;
    const int pooled = (size - layer.window + 1) / 2 + 1;
    const Extent small{layer.out, pooled, pooled};
    add({.name = name + ".pool" + index,
         .kind = nn::LayerKind::max_pool,
         .shape = "",
         .implementation = "kernels"},
        {[&kernels, &layer, size](const float* src, float* dst, float*) {
           kernels.pool(src, size, size, layer.padded(), layer.window, layer.out, dst);
         },
         small},
        in, 0);
    in = small;
  }
  const ConvolutionLayer& linear = net_->linear();
  nn::LayerInfo info{.name = name + ".linear" + std::to_string(number + 1),
                     .kind = nn::LayerKind::linear,
                     .shape = "",
                     .implementation = "direct"};
  info.multiply_adds = static_cast<double>(net_->features()) * linear.out;
  info.executed_multiply_adds = static_cast<double>(net_->features()) * linear.padded();
  const Extent hidden{linear.padded(), 1, 1};
  add(std::move(info),
      {[&kernels, &linear](const float* src, float* dst, float*) {
         kernels.convolve(linear.view(), {1, 1, linear.padded()}, src, dst, nullptr);
       },
       hidden},
      in, static_cast<double>(linear.weights.size()));
  nn::LayerInfo heads{
      .name = name + ".heads", .kind = nn::LayerKind::linear, .shape = "", .implementation = "kernels"};
  heads.multiply_adds = static_cast<double>(net_->heads().size());
  add(std::move(heads),
      {[&kernels, this](const float* src, float* dst, float*) {
         kernels.linear(src, net_->heads().data(), net_->head_bias().data(), net_->linear().out,
                        net_->outputs(), dst);
       },
       {net_->outputs(), 1, 1}},
      hidden, static_cast<double>(net_->heads().size()));
}

// One kernel computes all of it; its pixels are bytes, of which the input's floats only hold the place.
void TimedPlan::add_pnet(int side) {
  const kernels::Kernels& kernels = kernels::select();
  constexpr auto& kWidths = kernels::kPnetChannels;
  const int cells = pnet_cells(side);
  const double first = side - 2.0, second = cells + 2.0, third = cells;
  input_ = {3, side, side};
  const int pitch = cells + kernels::kPnetSlack, stride = side + 2 * kernels::kPnetSlack;
  nn::LayerInfo info{
      .name = "pnet", .kind = nn::LayerKind::convolution, .shape = "", .implementation = "one kernel"};
  const double one = 27.0 * kWidths[1], two = 9.0 * kWidths[1] * kWidths[2],
               three = 9.0 * kWidths[2] * kWidths[3],
               heads = static_cast<double>(kWidths[3]) * kernels::kPnetOutputs;
  info.multiply_adds = first * first * one + second * second * two + third * third * (three + heads);
  // F(4, 3) down the columns halves the first, F(4x4, 3x3) quarters the others.
  info.executed_multiply_adds =
      first * first * one / 2 + second * second * two / 4 + third * third * (three / 4 + heads);
  const auto pixels =
      std::make_shared<const std::vector<std::uint8_t>>(size_of(3 * stride * side), std::uint8_t{127});
  add(std::move(info),
      {[=, &kernels, this](const float*, float* dst, float* scratch) {
         for (int row = 0; row < cells; row += kernels::kPnetMaxRows)
           for (int column = 0; column < cells; column += kernels::kPnetMaxColumns)
             kernels.pnet(pnet_->weights(),
                          {.pixels = pixels->data(),
                           .row_stride = 3 * stride,
                           .plane_stride = stride,
                           .width = side,
                           .height = side,
                           .first_row = row,
                           .rows = std::min(kernels::kPnetMaxRows, cells - row),
                           .first_column = column,
                           .columns = std::min(kernels::kPnetMaxColumns, cells - column),
                           .least = -HUGE_VALF,
                           .face_only = false,
                           .dst = dst + row * kernels::kPnetOutputs * pitch + column,
                           .pitch = pitch},
                          scratch);
       },
       {kernels::kPnetOutputs, cells, cells},
       kernels::kPnetScratch,
       size_of(cells * kernels::kPnetOutputs * kernels::kPnetSlack)},
      input_, one + two + three + heads);
}

}  // namespace

std::shared_ptr<const nn::Plan> plan_timed_net(Weights::State& weights, const std::string& network, int side,
                                               nn::ThreadPool&) {
  if (network == "rnet") return std::make_shared<TimedPlan>(CandidateNet::rnet(weights.file), network);
  if (network == "onet") return std::make_shared<TimedPlan>(CandidateNet::onet(weights.file), network);
  if (network != "pnet")
    throw Error(ErrorCode::invalid_argument, "network is " + (network.empty() ? "not named" : network) +
                                                 ", expected pnet, rnet or onet, which " + weights.name +
                                                 " holds");
  constexpr int kSide = 106;
  if (side == 0) side = kSide;
  if (side < kWindow || side > 1024 || side % 2 != 0)
    throw Error(ErrorCode::invalid_argument,
                "side is " + std::to_string(side) + ", expected an even number of pixels from 12 to 1024");
  return std::make_shared<TimedPlan>(weights.file, side);
}

}  // namespace adaface::mtcnn
