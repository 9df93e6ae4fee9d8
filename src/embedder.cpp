#include <algorithm>
#include <cmath>
#include <cstring>

#include "src/adaface.hpp"
#include "src/engine.h"
#include "src/image/view.h"
#include "src/iresnet/cuda_embedder.h"
#include "src/iresnet/iresnet.h"
#include "src/mtcnn/cuda_cascade.h"
#include "src/nn/onednn.h"
#include "src/nn/open_mp.h"
#include "src/nn/progress.h"
#include "src/nn/thread_pool.h"
#include "src/weights_state.h"

namespace adaface {
namespace {

constexpr std::size_t kPlane = static_cast<std::size_t>(kCropSize) * kCropSize;

// ((v / 255) - 0.5) / 0.5 in double, stored as float32.
std::array<float, 256> pixel_values() {
  std::array<float, 256> values;
  for (int v = 0; v < 256; ++v)
    values[static_cast<std::size_t>(v)] = static_cast<float>((v / 255.0 - 0.5) / 0.5);
  return values;
}

void fill_input(const ImageView& crop, ChannelOrder order, float* planes) {
  static const std::array<float, 256> kValues = pixel_values();
  const std::size_t first = crop.order == order ? 0 : 2;
  for (int y = 0; y < kCropSize; ++y) {
    const std::uint8_t* src = crop.data + y * crop.stride;
    for (int x = 0; x < kCropSize; ++x, src += 3, ++planes) {
      planes[0] = kValues[src[first]];
      planes[kPlane] = kValues[src[1]];
      planes[2 * kPlane] = kValues[src[2 - first]];
    }
  }
}

const EmbedderOptions& checked(const EmbedderOptions& options) {
  check_device(options.device);
  return options;
}

// On a device they share out the planning alone.
int threads_of(const EmbedderOptions& options) {
  const int threads = nn::thread_count(options.threads);
  return options.device.kind == DeviceKind::cpu ? threads : 1;
}

Embedding normalised(const float* values) {
  double square = 0;
  for (int i = 0; i < kEmbeddingSize; ++i) square += static_cast<double>(values[i]) * values[i];
  const double norm = std::sqrt(square), scale = norm > 0 ? 1 / norm : 0;
  Embedding embedding;
  embedding.norm = static_cast<float>(norm);
  for (int i = 0; i < kEmbeddingSize; ++i)
    embedding.unit[static_cast<std::size_t>(i)] = static_cast<float>(values[i] * scale);
  return embedding;
}

}  // namespace

double similarity(const Embedding& a, const Embedding& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.unit.size(); ++i) sum += static_cast<double>(a.unit[i]) * b.unit[i];
  return std::clamp(sum, -1.0, 1.0);
}

std::shared_ptr<const nn::Plan> plan_embedder(Weights::State& state, const EmbedderOptions& options,
                                              nn::ThreadPool& pool) {
  if (options.precision == Precision::f16)
    throw Error(ErrorCode::unsupported,
                std::string("precision is f16, which is for CUDA devices, expected f32 ") +
                    (nn::onednn_has_bf16() ? "or bf16 " : "") + "on this CPU");
  // Parts for every thread that there could be: sessions of different thread counts then share one copy of
  // the packed weights, and more parts than threads cost nothing (32 against 1 on one thread: within 1 %).
  const nn::PlanOptions planning{.threads = std::max(pool.threads(), available_cpus()),
                                 .precision = options.precision,
                                 .kind = options.plan,
                                 // A file of 16 bits asks for little memory.
                                 .half_weights = state.file.info().storage != weights::DataType::f32};
  return state.plan(
      "iresnet", planning, [&] { return iresnet::describe(state.file); }, &pool);
}

struct Embedder::Session {
  Session(const Weights& weights, const EmbedderOptions& options)
      : state(weights.state()), pool(threads_of(checked(options)), nn::enter_worker_thread) {
    const weights::AfwInfo& info = state->file.info();
    if (info.architecture == weights::Architecture::mtcnn)
      throw Error(ErrorCode::invalid_argument,
                  state->name + ": holds mtcnn, expected an embedding network (ir_18 to ir_101)");
    order = info.color == weights::ColorOrder::bgr ? ChannelOrder::bgr : ChannelOrder::rgb;
    if (options.device.kind == DeviceKind::cuda) {
      device_index = options.device.index;
      nn::ThreadPool planning(nn::thread_count(options.threads));
      device = std::make_unique<iresnet::CudaEmbedder>(*state, device_index, options.precision, planning);
      return;
    }
    warn_of_missing_threads(options.threads, pool);
    plan = plan_embedder(*state, options, pool);
    sessions.push_back(plan->create_session(pool.threads()));
  }

  // The other threads' arenas come with the first batch: a product that embeds one crop at a time never pays
  // for them.
  void grow(std::size_t count) {
    while (sessions.size() < count) sessions.push_back(plan->create_session(1));
  }

  Embedding embed(const ImageView& crop, nn::Session& session, nn::ThreadPool* threads,
                  const nn::Progress* layers) {
    fill_input(crop, order, session.input());
    session.run(threads, layers);
    const Embedding embedding = normalised(session.output());
    if (!std::isfinite(embedding.norm))
      throw Error(ErrorCode::corrupt, state->name + ": the embedding is not finite: its weights overflow");
    return embedding;
  }

  std::shared_ptr<Weights::State> state;
  ChannelOrder order;
  nn::ThreadPool pool;
  nn::Progress progress;
  int device_index = -1;                          // of a CUDA device
  std::unique_ptr<iresnet::CudaEmbedder> device;  // or, on the CPU:
  std::shared_ptr<const nn::Plan> plan;
  std::vector<std::unique_ptr<nn::Session>> sessions;
};

Embedder::Embedder(const Weights& weights, const EmbedderOptions& options)
    : session_(std::make_unique<Session>(weights, options)) {}
Embedder::~Embedder() = default;
Embedder::Embedder(Embedder&&) noexcept = default;
Embedder& Embedder::operator=(Embedder&&) noexcept = default;

void Embedder::prepare() {
  session_->progress.stage(0, 1);
  if (session_->device)
    session_->device->prepare();
  else
    session_->plan->keep_weights(&session_->pool, &session_->progress);
  session_->progress.report(1);
}

void Embedder::on_progress(ProgressFunction function) {
  session_->progress.set(std::move(function));
}

Embedding Embedder::embed(const ImageView& crop) {
  return embed(std::span(&crop, 1)).front();
}

std::vector<Embedding> Embedder::embed(std::span<const ImageView> crops) {
  for (const ImageView& crop : crops) {
    image::check_view(crop);
    if (crop.width != kCropSize || crop.height != kCropSize)
      throw Error(ErrorCode::invalid_argument, "crop is " + std::to_string(crop.width) + "x" +
                                                   std::to_string(crop.height) +
                                                   ", expected an aligned face of 112x112");
  }
  Session& s = *session_;
  std::vector<Embedding> embeddings(crops.size());
  if (s.device) {
    s.progress.stage(0, 1);
    s.device->embed(crops, s.order, embeddings, s.progress);
    s.progress.report(1);
    return embeddings;
  }
  const std::size_t threads = static_cast<std::size_t>(s.pool.threads());
  // Whole rounds of one crop a thread; what is left over is shared out within the layers.
  const std::size_t spread = threads > 1 && crops.size() >= threads ? crops.size() / threads * threads : 0;
  if (spread > 0) {
    s.grow(threads);
    s.progress.stage(0, static_cast<double>(spread) / static_cast<double>(crops.size()));
    s.progress.run_long(s.pool, static_cast<int>(spread), [&](int i, int worker, const nn::Progress* layers) {
      const auto at = static_cast<std::size_t>(i);
      embeddings[at] = s.embed(crops[at], *s.sessions[static_cast<std::size_t>(worker)], nullptr, layers);
    });
  }
  const auto share = [&](std::size_t i) {
    return static_cast<double>(i) / static_cast<double>(crops.size());
  };
  for (std::size_t i = spread; i < crops.size(); ++i) {
    s.progress.stage(share(i), share(i + 1));
    embeddings[i] = s.embed(crops[i], *s.sessions[0], &s.pool, &s.progress);
  }
  s.progress.report(1);
  return embeddings;
}

int OnDevice::index(const Embedder& embedder) {
  return embedder.session_->device_index;
}

std::vector<Embedding> OnDevice::embed(Embedder& embedder, mtcnn::CudaCascade& cascade,
                                       std::span<const Transform> transforms) {
  Embedder::Session& s = *embedder.session_;
  std::vector<Embedding> embeddings(transforms.size());
  const auto align = [&](std::size_t first, std::size_t count, std::uint8_t* crops) {
    cascade.align(transforms.subspan(first, count), crops);
  };
  s.progress.stage(0, 1);
  s.device->embed_aligned(align, cascade.stream(), s.order, embeddings, s.progress);
  s.progress.report(1);
  return embeddings;
}

}  // namespace adaface
