#include "src/iresnet/cuda_embedder.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "src/iresnet/iresnet.h"
#include "src/nn/blocks.h"
#include "src/runtime/log.h"

namespace adaface::iresnet {
namespace {

using nn::index;

constexpr std::size_t kCropBytes = std::size_t{kCropSize} * kCropSize * 3;

// Packed, in this order of channels.
void copy_crop(const ImageView& crop, ChannelOrder order, std::uint8_t* dst) {
  for (int y = 0; y < kCropSize; ++y) {
    const std::uint8_t* src = crop.data + y * crop.stride;
    std::memcpy(dst, src, std::size_t{kCropSize} * 3);
    if (crop.order != order)
      for (int x = 0; x < kCropSize; ++x) std::swap(dst[3 * x], dst[3 * x + 2]);
    dst += std::size_t{kCropSize} * 3;
  }
}

}  // namespace

CudaEmbedder::CudaEmbedder(Weights::State& state, int device, Precision precision, nn::ThreadPool& pool)
    : name_(state.name), precision_(precision) {
  const nn::PlanOptions options{.device = device, .precision = precision};
  plan_ = std::static_pointer_cast<const nn::CudaPlan>(state.plan(
      "iresnet", options, [&] { return describe(state.file); }, &pool));
  session(1);
}

nn::CudaSession& CudaEmbedder::session(std::size_t count) {
  int images = static_cast<int>(std::bit_ceil(std::clamp<std::size_t>(count, 1, index(most_images_))));
  if (session_ && images <= session_->most_images()) return *session_;
  // Both together may be more than there is.
  session_.reset();
  while (true) {
    try {
      session_ = plan_->create_cuda_session(images);
      return *session_;
    } catch (const Error& error) {
      // A smaller batch does as well, later.
      if (error.code() != ErrorCode::out_of_memory || images == 1) throw;
      most_images_ = images /= 2;
      log::print(LogLevel::info, error.what(), ": batches of ", images, " instead");
    }
  }
}

void CudaEmbedder::prepare() {
  nn::CudaSession& batch = session(1);
  for (int place = 0; place < nn::CudaSession::kPlaces; ++place) {
    std::fill_n(batch.host_crops(place), kCropBytes, std::uint8_t{0});
    batch.submit(place, 1, false);
  }
  for (int place = 0; place < nn::CudaSession::kPlaces; ++place) batch.wait(place);
}

void CudaEmbedder::take(int place, std::span<Embedding> embeddings) {
  const nn::CudaSession::Result result = session_->wait(place);
  for (std::size_t i = 0; i < embeddings.size(); ++i) {
    std::copy_n(result.units + i * kEmbeddingSize, kEmbeddingSize, embeddings[i].unit.begin());
    embeddings[i].norm = result.norms[i];
    if (!std::isfinite(embeddings[i].norm))
      throw Error(ErrorCode::corrupt,
                  name_ + ": the embedding is not finite: its weights overflow" +
                      (precision_ == Precision::f16 ? " in f16, expected bf16 or f32" : ""));
  }
}

void CudaEmbedder::embed_batches(const Submit& submit, std::span<Embedding> embeddings,
                                 const nn::Progress& progress) {
  if (embeddings.empty()) return;
  nn::CudaSession& batch = session(embeddings.size());
  const auto most = static_cast<std::size_t>(batch.most_images());
  struct {
    std::size_t first = 0, count = 0;
  } under_way[nn::CudaSession::kPlaces];
  std::size_t done = 0;
  const auto take_place = [&](int place) {
    auto& one = under_way[place];
    if (one.count > 0) take(place, embeddings.subspan(one.first, one.count));
    done += std::exchange(one.count, 0);
    progress.report(static_cast<double>(done) / static_cast<double>(embeddings.size()));
  };
  // What a call that was stopped has left under way.
  for (int i = 0; i < nn::CudaSession::kPlaces; ++i) batch.wait(i);
  int place = 0;
  for (std::size_t first = 0; first < embeddings.size(); place = 1 - place) {
    take_place(place);
    const std::size_t count = std::min(most, embeddings.size() - first);
    submit(batch, place, first, count);
    under_way[place] = {first, count};
    first += count;
  }
  // The older first.
  for (int i = 0; i < nn::CudaSession::kPlaces; ++i, place = 1 - place) take_place(place);
}

void CudaEmbedder::embed(std::span<const ImageView> crops, ChannelOrder order,
                         std::span<Embedding> embeddings, const nn::Progress& progress) {
  const auto submit = [&](nn::CudaSession& batch, int place, std::size_t first, std::size_t count) {
    const std::span<const ImageView> some = crops.subspan(first, count);
    // The device exchanges channels for nothing, but of all crops alike.
    const bool swapped =
        std::ranges::all_of(some, [&](const ImageView& crop) { return crop.order != order; });
    const ChannelOrder copied = swapped ? some[0].order : order;
    std::uint8_t* dst = batch.host_crops(place);
    for (const ImageView& crop : some) {
      copy_crop(crop, copied, dst);
      dst += kCropBytes;
    }
    batch.submit(place, static_cast<int>(count), swapped);
  };
  embed_batches(submit, embeddings, progress);
}

void CudaEmbedder::embed_aligned(const Align& align, nn::cuda::Stream& stream, ChannelOrder order,
                                 std::span<Embedding> embeddings, const nn::Progress& progress) {
  const auto submit = [&](nn::CudaSession& batch, int place, std::size_t first, std::size_t count) {
    align(first, count, batch.device_crops(place));
    batch.submit_on_device(place, static_cast<int>(count), order != ChannelOrder::rgb, &stream);
  };
  embed_batches(submit, embeddings, progress);
}

}  // namespace adaface::iresnet
