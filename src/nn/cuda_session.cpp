#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "kernels/cuda/l2_norm.h"
#include "kernels/cuda/pixels.h"
#include "kernels/cuda/squeeze_excite.h"
#include "src/error.hpp"
#include "src/nn/blocks.h"
#include "src/nn/cuda_layout.h"
#include "src/nn/cuda_plan.h"
#include "src/nn/cuda_tiles.h"
#include "src/nn/progress.h"

namespace adaface::nn::cuda {
namespace {

using kernels::cuda::Convolution;
using kernels::cuda::ConvolutionRun;
using kernels::cuda::ConvolutionTile;
using kernels::cuda::Storage;

std::size_t pixels_of(const Extent& e) {
  return index(e.height) * index(e.width);
}

// Larger batches are computed in some sizes only, with images behind the last that nobody asks for: each size
// takes a capture, and memory for its graph.
int graph_images(int count, int most) {
  const int each = count <= 16 ? 1 : count <= 64 ? 8 : 16;
  return std::min(divide_up(count, each) * each, most);
}

class Session final : public CudaSession {
 public:
  Session(std::shared_ptr<const Plan> plan, int images);
  ~Session() override;

  // Of one image.
  float* input() override;
  const float* output() const override { return plain_output_.as<float>(); }
  void run(ThreadPool* pool, const Progress* progress) override;
  void run_layer(int layer, ThreadPool* pool, bool bare) override;
  void run_until(int layer, std::vector<float>& chw) override;

  int most_images() const override { return images_; }
  std::size_t graph_count() const override { return graphs_.size(); }
  std::uint8_t* host_crops(int place) override { return places_[place].host_crops.as<std::uint8_t>(); }
  std::uint8_t* device_crops(int place) override { return places_[place].crops.as<std::uint8_t>(); }
  void submit(int place, int count, bool swapped) override;
  void submit_on_device(int place, int count, bool swapped, Stream* after) override;
  Result wait(int place) override;
  void record(const Event& event) override;

 private:
  struct Place {
    PinnedMemory host_crops, host_results;
    DeviceMemory crops, results;  // units of the images, then their norms
    Event uploaded, done;
    int images = 0;  // that results are of
  };

  std::byte* slot(int number) const { return arena_.data() + slot_offsets_[index(number)]; }
  std::size_t crop_bytes() const { return pixels_of(plan_->input()) * 3; }
  std::size_t outputs() const { return index(plan_->output().channels) * pixels_of(plan_->output()); }
  void enqueue_step(const Step& step, int images);
  void enqueue_convolution(const Step& step, int images);
  void enqueue_input();
  // From the crops of a place on the device to its results in the host's memory.
  void enqueue_embedding(int place, int images, bool swapped);
  // The same, captured at its first use, for as many images as the graph that serves `count` has. A batch
  // whose capture another thread invalidates is launched without a graph.
  void launch_embedding(int place, int count, bool swapped);

  const std::shared_ptr<const Plan> plan_;
  const int images_;
  Stream stream_, copies_;
  std::vector<std::size_t> slot_offsets_;
  DeviceMemory arena_, partials_, counters_, gates_;
  PinnedMemory planes_, plain_output_;
  DeviceMemory device_planes_;
  Place places_[kPlaces];
  struct GraphKey {
    int place, images;
    bool swapped;
    auto operator<=>(const GraphKey&) const = default;
  };
  std::map<GraphKey, Graph> graphs_;
};

Session::Session(std::shared_ptr<const Plan> plan, int images) : plan_(std::move(plan)), images_(images) {
  std::size_t bytes = 0;
  for (std::size_t size : plan_->slot_bytes()) {
    slot_offsets_.push_back(bytes);
    bytes += size * index(images);
  }
  const std::string what = "activations of " + std::to_string(images) + (images == 1 ? " image" : " images");
  arena_ = DeviceMemory(bytes, what);
  const PartialSizes partial = partial_sizes(plan_->steps(), images, plan_->limits());
  partials_ = DeviceMemory(partial.floats * sizeof(float), "sums in parts");
  counters_ = DeviceMemory(partial.counters * sizeof(unsigned), "sums in parts");
  gates_ = DeviceMemory(index(images) * kernels::cuda::kMostGateChannels * sizeof(float), what);
  for (Place& place : places_) {
    const std::size_t result_bytes = index(images) * (outputs() + 1) * sizeof(float);
    place.host_crops = PinnedMemory(index(images) * crop_bytes(), "crops");
    place.crops = DeviceMemory(index(images) * crop_bytes(), "crops");
    place.host_results = PinnedMemory(result_bytes, "embeddings");
    place.results = DeviceMemory(result_bytes, "embeddings");
  }
  stream_.clear(counters_.data(), counters_.bytes());
  stream_.synchronize("a new session");
}

// What is still under way uses the memory that goes.
Session::~Session() {
  try {
    copies_.synchronize("the end of a session");
    stream_.synchronize("the end of a session");
  } catch (...) {  // NOLINT: the device's failure was or will be reported by what runs on it
  }
}

void Session::enqueue_convolution(const Step& step, int images) {
  const Convolution& c = step.convolution;
  const ConvolutionTile tile = choose_tile(c, images, plan_->limits());
  const ConvolutionRun run{.images = images,
                           .src = slot(step.src_slot),
                           .residual = step.residual_slot >= 0 ? slot(step.residual_slot) : nullptr,
                           .residual_stride = step.residual_stride,
                           .residual_height = step.residual.height,
                           .residual_width = step.residual.width,
                           .dst = slot(step.dst_slot),
                           .float_result = step.last,
                           .partials = partials_.as<float>(),
                           .counters = counters_.as<unsigned>()};
  check(kernels::cuda::convolve(c, tile, run, stream_.get()), "layer " + step.name);
}

void Session::enqueue_step(const Step& step, int images) {
  if (step.kind == LayerKind::convolution) return enqueue_convolution(step, images);
  const Storage storage = plan_->storage();
  const std::byte* parameters = plan_->parameters();
  const auto floats = [&](std::size_t offset) { return reinterpret_cast<const float*>(parameters + offset); };
  kernels::cuda::Squeeze gates = step.squeeze(images);
  gates.fc1 = floats(step.fc1_offset);
  gates.fc2 = floats(step.fc2_offset);
  check(kernels::cuda::squeeze_gates(storage, gates, slot(step.src_slot), partials_.as<float>(),
                                     counters_.as<unsigned>(), gates_.as<float>(), stream_.get()),
        "layer " + step.name);
  check(kernels::cuda::gate_and_add(storage,
                                    {.images = images,
                                     .height = step.in.height,
                                     .width = step.in.width,
                                     .channels = step.in.channels,
                                     .residual_stride = step.residual_stride,
                                     .residual_height = step.residual.height,
                                     .residual_width = step.residual.width},
                                    slot(step.src_slot), gates_.as<float>(), slot(step.residual_slot),
                                    slot(step.dst_slot), stream_.get()),
        "layer " + step.name);
}

// What only tests and measurements use takes no memory before they ask for it.
float* Session::input() {
  const DeviceScope scope(plan_->device());
  const std::size_t bytes = index(plan_->input().channels) * pixels_of(plan_->input()) * sizeof(float);
  reserve(planes_, bytes, "an input");
  reserve(device_planes_, bytes, "an input");
  reserve(plain_output_, outputs() * sizeof(float), "an output");
  return planes_.as<float>();
}

void Session::enqueue_input() {
  input();
  const Extent in = plan_->input();
  stream_.upload(device_planes_.data(), planes_.data(), planes_.bytes());
  check(kernels::cuda::interleave_planes(device_planes_.as<float>(), 1, in.channels,
                                         static_cast<int>(pixels_of(in)), plan_->input_channels(),
                                         plan_->storage(), slot(plan_->input_slot()), stream_.get()),
        "an input");
}

void Session::run(ThreadPool*, const Progress* progress) {
  const DeviceScope scope(plan_->device());
  if (progress) progress->report(0);
  enqueue_input();
  for (const Step& step : plan_->steps()) enqueue_step(step, 1);
  stream_.download(plain_output_.data(), slot(plan_->output_slot()), plain_output_.bytes());
  stream_.synchronize("a network");
}

void Session::run_layer(int layer, ThreadPool*, bool) {
  const DeviceScope scope(plan_->device());
  const Step& step = plan_->steps()[index(layer)];
  enqueue_step(step, 1);
  stream_.synchronize("layer " + step.name);
}

void Session::run_until(int layer, std::vector<float>& chw) {
  const DeviceScope scope(plan_->device());
  enqueue_input();
  for (int i = 0; i <= layer; ++i) enqueue_step(plan_->steps()[index(i)], 1);
  const Step& step = plan_->steps()[index(layer)];
  const std::size_t pixels = pixels_of(step.out), channels = index(step.out.channels);
  const Storage storage = step.last ? Storage::f32 : plan_->storage();
  PinnedMemory values(pixels * channels * index(kernels::cuda::bytes_of(storage)), "an activation");
  stream_.download(values.data(), slot(step.dst_slot), values.bytes());
  stream_.synchronize("layer " + step.name);
  chw.resize(pixels * channels);
  for (std::size_t p = 0; p < pixels; ++p)
    for (std::size_t c = 0; c < channels; ++c)
      chw[c * pixels + p] = kernels::cuda::host_value(storage, values.data(), p * channels + c);
}

void Session::enqueue_embedding(int place, int images, bool swapped) {
  Place& p = places_[place];
  check(kernels::cuda::normalise_pixels(p.crops.as<std::uint8_t>(),
                                        static_cast<long long>(pixels_of(plan_->input())) * images, swapped,
                                        plan_->storage(), slot(plan_->input_slot()), stream_.get()),
        "crops");
  for (const Step& step : plan_->steps()) enqueue_step(step, images);
  auto* const units = p.results.as<float>();
  check(kernels::cuda::l2_norm(reinterpret_cast<const float*>(slot(plan_->output_slot())), images,
                               static_cast<int>(outputs()), units, units + index(images) * outputs(),
                               stream_.get()),
        "norms of embeddings");
  stream_.download(p.host_results.data(), units, index(images) * (outputs() + 1) * sizeof(float));
}

void Session::launch_embedding(int place, int count, bool swapped) {
  const GraphKey key{place, graph_images(count, images_), swapped};
  const auto enqueue = [&] { enqueue_embedding(place, key.images, swapped); };
  auto known = graphs_.find(key);
  if (known == graphs_.end()) known = graphs_.try_emplace(key, stream_, enqueue).first;
  if (known->second.is_empty()) {
    graphs_.erase(known);
    enqueue();
  } else {
    known->second.launch(stream_);
  }
  places_[place].images = key.images;
  stream_.record(places_[place].done);
}

void Session::submit(int place, int count, bool swapped) {
  const DeviceScope scope(plan_->device());
  Place& p = places_[place];
  copies_.upload(p.crops.data(), p.host_crops.data(), index(count) * crop_bytes());
  copies_.record(p.uploaded);
  stream_.wait_for(p.uploaded);
  launch_embedding(place, count, swapped);
}

void Session::submit_on_device(int place, int count, bool swapped, Stream* after) {
  const DeviceScope scope(plan_->device());
  if (after) {
    after->record(places_[place].uploaded);
    stream_.wait_for(places_[place].uploaded);
  }
  launch_embedding(place, count, swapped);
}

CudaSession::Result Session::wait(int place) {
  const DeviceScope scope(plan_->device());
  Place& p = places_[place];
  p.done.synchronize("embedding");
  const auto* units = p.host_results.as<float>();
  return {units, units + index(p.images) * outputs()};
}

void Session::record(const Event& event) {
  const DeviceScope scope(plan_->device());
  stream_.record(event);
}

}  // namespace

std::unique_ptr<nn::Session> Plan::create_session(int) const {
  return create_cuda_session(1);
}

std::unique_ptr<CudaSession> Plan::create_cuda_session(int images) const {
  const DeviceScope scope(device_);
  return std::make_unique<cuda::Session>(shared_from_this(), images);
}

}  // namespace adaface::nn::cuda
