// Embeddings on a CUDA device: crops go there in batches, embeddings come back.
#pragma once

#include <functional>
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

  // Makes what the first embedding of one crop would make.
  void prepare();

  // Crops of kCropSize in either channel order. `order` is the network's.
  void embed(std::span<const ImageView> crops, ChannelOrder order, std::span<Embedding> embeddings,
             const nn::Progress& progress);

  // Crops that `align(first, count, crops)` enqueues on `stream`, packed RGB into device memory: as many as
  // there is room for embeddings.
  using Align = std::function<void(std::size_t first, std::size_t count, std::uint8_t* crops)>;
  void embed_aligned(const Align& align, nn::cuda::Stream& stream, ChannelOrder order,
                     std::span<Embedding> embeddings, const nn::Progress& progress);

 private:
  // A session with room for `count` crops, or as many as the device has memory for.
  nn::CudaSession& session(std::size_t count);
  // Embeds batch after batch, one under way while the next is submitted: submit(session, place, first,
  // count).
  using Submit = std::function<void(nn::CudaSession&, int place, std::size_t first, std::size_t count)>;
  void embed_batches(const Submit& submit, std::span<Embedding> embeddings, const nn::Progress& progress);
  // What was submitted last to `place`; throws corrupt when an embedding is not finite.
  void take(int place, std::span<Embedding> embeddings);

  const std::string name_;
  const Precision precision_;
  std::shared_ptr<const nn::CudaPlan> plan_;
  std::unique_ptr<nn::CudaSession> session_;
  int most_images_ = kMostImages;  // that the device was seen to have memory for
};

}  // namespace adaface::iresnet
