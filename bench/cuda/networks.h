// Whole embedding networks on a device: what a batch takes there, and through the public interface.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/cuda/timing.h"
#include "src/adaface.hpp"
#include "src/nn/cuda_backend.h"

namespace adaface::bench {

// One network, precision and batch, ready to be timed again and again.
class NetworkSubject {
 public:
  // `crops` {batch, 112, 112, 3} in the network's order of channels.
  NetworkSubject(const Weights& weights, const Device& device, Precision precision, int batch,
                 std::vector<std::uint8_t> crops);

  // Of each run, by events: from crops that are on the device to embeddings in memory of the host. The
  // network's kernels are one graph.
  std::vector<double> device_ms(int samples);
  // Of each call to Embedder::embed with crops in the host's memory, by the host's clock; `batches` of them
  // in one call, which overlaps one's copies with the other's computation; time for one.
  std::vector<double> call_ms(int samples, int batches);
  std::vector<Embedding> embeddings();

  int batch() const { return batch_; }

 private:
  const int device_, batch_;
  const std::vector<std::uint8_t> crops_;
  Embedder embedder_;
  std::shared_ptr<const nn::CudaPlan> plan_;
  std::unique_ptr<nn::CudaSession> session_;
};

// 112x112 crops of random bytes.
std::vector<std::uint8_t> random_crops(int count);

// Useful multiply-adds of one crop.
double multiply_adds(const nn::CudaPlan& plan);

// The plan that sessions of an Embedder with these options share.
std::shared_ptr<const nn::CudaPlan> cuda_plan(const Weights& weights, const Device& device,
                                              Precision precision);

// Prints a row for each batch, and gives it to `keep` as soon as that batch is done. `matrix_teraflops`: 0
// where it is unknown.
void time_networks(const Weights& weights, const Device& device, Precision precision,
                   const std::vector<int>& batches, int samples, double matrix_teraflops,
                   const std::function<void(const nlohmann::json& row)>& keep);

// Obeys lines on standard input, answers each with a line on standard output, until the input ends:
//   device N   N times -> [milliseconds, ...] of device_ms
//   call N B   N times -> those of call_ms with B batches
//   output     -> [[512 numbers], ...]
// and says "ready" before the first.
void serve(NetworkSubject& subject);

}  // namespace adaface::bench
