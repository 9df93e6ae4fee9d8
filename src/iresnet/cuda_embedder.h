// Embeddings on a CUDA device: crops go there in batches, embeddings come back.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "src/nn/cuda_backend.h"
#include "src/nn/progress.h"
#include "src/weights_state.h"

namespace adaface::iresnet {

// Belongs to one thread at a time. The network's weights on the device are shared by all of the same Weights.
class CudaEmbedder {
 public:
  // Images of one batch, where the device's memory allows it.
  static constexpr int kMostImages = 256;

  CudaEmbedder(Weights::State& state, int device, Precision precision, nn::ThreadPool& pool);

  // Crops of kCropSize in either channel order. `order` is the network's.
  void embed(std::span<const ImageView> crops, ChannelOrder order, std::span<Embedding> embeddings,
             const nn::Progress& progress);

  // For crops that are made on the device: a session with room for `count` of them, or as many as the device
  // has memory for, to be used with submit_on_device. Another call may replace it.
  nn::CudaSession& session(int count);
  // Embeddings of the `count` crops submitted last to `place`; throws corrupt when one is not finite.
  void take(int place, std::span<Embedding> embeddings);

 private:
  const std::string name_;
  const Precision precision_;
  std::shared_ptr<const nn::CudaPlan> plan_;
  std::unique_ptr<nn::CudaSession> session_;
};

}  // namespace adaface::iresnet
