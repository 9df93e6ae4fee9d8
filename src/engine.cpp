#include "src/engine.h"

namespace adaface {
namespace {

DetectorOptions detection_of(const EngineOptions& options) {
  DetectorOptions detection = options.detection;
  detection.threads = options.threads;
  detection.device = options.device;
  return detection;
}

}  // namespace

struct Engine::Session {
  Session(const Weights& model, const Weights& detector_weights, const EngineOptions& engine_options)
      : options(engine_options),
        detector(detector_weights, detection_of(engine_options)),
        embedder(model, {.threads = engine_options.threads,
                         .precision = engine_options.precision,
                         .plan = engine_options.plan,
                         .device = engine_options.device}) {}

  EngineOptions options;
  Detector detector;
  Embedder embedder;
};

Weights load_option(const std::filesystem::path& path, const char* name) {
  if (path.empty())
    throw Error(ErrorCode::invalid_argument,
                std::string(name) + ": empty path, expected that of an .afw file");
  return Weights::load(path);
}

Engine::Engine(const EngineOptions& options)
    : Engine(load_option(options.model, "model"), load_option(options.detector, "detector"), options) {}
Engine::Engine(const Weights& model, const Weights& detector, const EngineOptions& options)
    : session_(std::make_unique<Session>(model, detector, options)) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

void Engine::on_progress(ProgressFunction function) {
  if (!function) {
    session_->detector.on_progress({});
    session_->embedder.on_progress({});
    return;
  }
  session_->detector.on_progress([function](double done) { return function(done / 2); });
  session_->embedder.on_progress([function](double done) { return function(0.5 + done / 2); });
}

Detector& Engine::detector() {
  return session_->detector;
}
Embedder& Engine::embedder() {
  return session_->embedder;
}

std::vector<Embedding> embed_faces(Engine& engine, const ImageView& image, std::span<const Face> faces,
                                   Mode mode) {
  mtcnn::CudaCascade* const cascade = OnDevice::cascade(engine.detector());
  if (cascade && OnDevice::index(engine.detector()) == OnDevice::index(engine.embedder())) {
    std::vector<Transform> transforms;
    for (const Face& face : faces) transforms.push_back(alignment_transform(face.landmarks, mode));
    return OnDevice::embed(engine.embedder(), *cascade, transforms);
  }
  std::vector<Image> crops;
  for (const Face& face : faces) crops.push_back(align_face(image, face.landmarks, mode));
  return engine.embedder().embed(std::vector<ImageView>(crops.begin(), crops.end()));
}

std::vector<EmbeddedFace> Engine::analyze(const ImageView& image) {
  const FaceSelection selection = session_->options.faces;
  return analyze(image,
                 [selection](std::vector<Face> found) { return select_faces(std::move(found), selection); });
}

std::vector<EmbeddedFace> Engine::analyze(const ImageView& image, const FaceChoice& choose) {
  std::vector<Face> faces = session_->detector.detect(image);
  if (choose) faces = choose(std::move(faces));
  const std::vector<Embedding> embeddings =
      embed_faces(*this, image, faces, session_->options.detection.mode);
  std::vector<EmbeddedFace> result;
  for (std::size_t i = 0; i < faces.size(); ++i) result.push_back({faces[i], embeddings[i]});
  return result;
}

}  // namespace adaface
