#include "bench/cuda/networks.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <random>
#include <sstream>

#include "src/iresnet/iresnet.h"
#include "src/weights_state.h"

namespace adaface::bench {
namespace {

constexpr std::size_t kCropBytes = std::size_t{3} * kCropSize * kCropSize;
constexpr int kWarmUp = 10;
// Before a network is timed: an idle device's clocks rise within.
constexpr double kWarmUpMs = 300;

}  // namespace

std::vector<std::uint8_t> random_crops(int count) {
  std::mt19937 random(20261125);
  std::vector<std::uint8_t> crops(static_cast<std::size_t>(count) * kCropBytes);
  for (std::uint8_t& value : crops) value = static_cast<std::uint8_t>(random());
  return crops;
}

double multiply_adds(const nn::CudaPlan& plan) {
  double sum = 0;
  for (const nn::LayerInfo& layer : plan.layers()) sum += layer.multiply_adds;
  return sum;
}

std::shared_ptr<const nn::CudaPlan> cuda_plan(const Weights& weights, const Device& device,
                                              Precision precision) {
  const auto state = weights.state();
  const nn::PlanOptions options{.device = device.index, .precision = precision};
  return std::static_pointer_cast<const nn::CudaPlan>(
      state->plan("iresnet", options, [&] { return iresnet::describe(state->file); }));
}

NetworkSubject::NetworkSubject(const Weights& weights, const Device& device, Precision precision, int batch,
                               std::vector<std::uint8_t> crops)
    : device_(device.index),
      batch_(batch),
      crops_(std::move(crops)),
      embedder_(weights, {.precision = precision, .device = device}),
      plan_(cuda_plan(weights, device, precision)),
      session_(plan_->create_cuda_session(batch)) {
  for (int place = 0; place < nn::CudaSession::kPlaces; ++place) {
    std::memcpy(session_->host_crops(place), crops_.data(), crops_.size());
    session_->submit(place, batch, false);
    session_->wait(place);
  }
  if (session_->graph_count() < nn::CudaSession::kPlaces)
    std::fprintf(stderr,
                 "warning: the network's capture was invalidated: what follows is without CUDA graphs\n");
}

std::vector<double> NetworkSubject::device_ms(int samples) {
  const nn::cuda::DeviceScope scope(device_);
  std::deque<nn::cuda::Event> events;
  for (int i = 0; i <= samples; ++i) events.emplace_back(true);
  session_->record(events[0]);
  int place = 0;
  for (int i = 0; i < samples; ++i, place = 1 - place) {
    session_->submit_on_device(place, batch_, false, nullptr);
    session_->record(events[static_cast<std::size_t>(i) + 1]);
  }
  for (int i = 0; i < nn::CudaSession::kPlaces; ++i) session_->wait(i);
  events.back().synchronize("a measurement");
  std::vector<double> ms;
  for (std::size_t i = 0; i + 1 < events.size(); ++i)
    ms.push_back(nn::cuda::Event::milliseconds(events[i], events[i + 1]));
  return ms;
}

std::vector<double> NetworkSubject::call_ms(int samples, int batches) {
  std::vector<ImageView> views;
  for (int i = 0; i < batch_ * batches; ++i)
    views.push_back({.data = crops_.data() + static_cast<std::size_t>(i % batch_) * kCropBytes,
                     .width = kCropSize,
                     .height = kCropSize,
                     .stride = std::ptrdiff_t{3} * kCropSize,
                     .order = ChannelOrder::bgr});
  std::vector<double> ms;
  for (int i = 0; i < samples; ++i) {
    const auto start = std::chrono::steady_clock::now();
    embedder_.embed(views);
    ms.push_back(milliseconds_since(start) / batches);
  }
  return ms;
}

std::vector<Embedding> NetworkSubject::embeddings() {
  session_->submit_on_device(0, batch_, false, nullptr);
  const nn::CudaSession::Result result = session_->wait(0);
  std::vector<Embedding> embeddings(static_cast<std::size_t>(batch_));
  for (std::size_t i = 0; i < embeddings.size(); ++i) {
    std::copy_n(result.units + i * kEmbeddingSize, kEmbeddingSize, embeddings[i].unit.begin());
    embeddings[i].norm = result.norms[i];
  }
  return embeddings;
}

void time_networks(const Weights& weights, const Device& device, Precision precision,
                   const std::vector<int>& batches, int samples, double matrix_teraflops,
                   const std::function<void(const nlohmann::json& row)>& keep) {
  const std::string name = weights.info().architecture;
  std::printf("\n%s: crops on the device to embeddings on the host (events), and Embedder::embed (clock)\n",
              name.c_str());
  std::printf("%6s %10s %10s %10s %9s %6s %12s %14s\n", "batch", "min ms", "median ms", "images/s", "TFLOP/s",
              "peak", "call ms", "4 batches a call, images/s");
  for (const int batch : batches) {
    NetworkSubject subject(weights, device, precision, batch, random_crops(batch));
    const double operations = 2e-12 * multiply_adds(*cuda_plan(weights, device, precision)) * batch;
    const int warm = std::min(kWarmUp, samples), calls = std::clamp(samples / 4, 1, 50);
    const auto start = std::chrono::steady_clock::now();
    do {
      subject.device_ms(warm);
    } while (milliseconds_since(start) < kWarmUpMs);
    const Times times = times_of(subject.device_ms(samples));
    subject.call_ms(std::min(warm, 3), 1);
    const Times call = times_of(subject.call_ms(calls, 1));
    const Times stream = times_of(subject.call_ms(calls, 4));
    const double teraflops = operations / times.median_ms * 1e3;
    char share[16] = "-";
    if (matrix_teraflops > 0)
      std::snprintf(share, sizeof share, "%.1f%%", 100 * teraflops / matrix_teraflops);
    std::printf("%6d %10.3f %10.3f %10.0f %9.1f %6s %12.3f %14.0f\n", batch, times.min_ms, times.median_ms,
                1e3 * batch / times.median_ms, teraflops, share, call.median_ms,
                1e3 * batch / stream.median_ms);
    keep({{"network", name},
          {"batch", batch},
          {"samples", samples},
          {"device_min_ms", times.min_ms},
          {"device_median_ms", times.median_ms},
          {"images_per_second", 1e3 * batch / times.median_ms},
          {"teraflops", teraflops},
          {"matrix_teraflops", matrix_teraflops},
          {"call_median_ms", call.median_ms},
          {"call_images_per_second", 1e3 * batch / stream.median_ms}});
  }
}

void serve(NetworkSubject& subject) {
  subject.device_ms(kWarmUp);
  std::printf("ready\n");
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    int samples = 1, batches = 1;
    words >> verb >> samples >> batches;
    nlohmann::json answer = nlohmann::json::array();
    if (verb == "device")
      answer = subject.device_ms(std::max(samples, 1));
    else if (verb == "call")
      answer = subject.call_ms(std::max(samples, 1), std::max(batches, 1));
    else if (verb == "output")
      for (const Embedding& embedding : subject.embeddings()) answer.push_back(embedding.unit);
    std::printf("%s\n", answer.dump().c_str());
  }
}

}  // namespace adaface::bench
