#include "src/engine.h"
#include "src/c_api/status.h"

using namespace adaface;

namespace adaface::c_api {
namespace {

adaface_engine_options default_engine_options() {
  const EngineOptions defaults;
  return {sizeof(adaface_engine_options),
          defaults.threads,
          static_cast<int32_t>(defaults.faces),
          static_cast<int32_t>(defaults.precision),
          static_cast<int32_t>(defaults.plan),
          nullptr,
          static_cast<int32_t>(defaults.device.kind),
          defaults.device.index};
}

// With the faces that are asked for: selection is done here, where the number of all is known.
EngineOptions engine_options(const adaface_engine_options* options) {
  const adaface_engine_options known =
      read_options(options, default_engine_options(), offsetof(adaface_engine_options, device),
                   "engine options", "call adaface_engine_options_init first");
  return {.detection = detector_options(known.detection),
          .faces = enumerator(known.faces, FaceSelection::best, "faces"),
          .threads = known.threads,
          .precision = enumerator(known.precision, Precision::f16, "precision"),
          .plan = enumerator(known.plan, PlanKind::small, "plan"),
          .device = device_of(known.device, known.device_index)};
}

adaface_engine* make_engine(const Weights& model, const Weights& detector,
                            const adaface_engine_options* options) {
  const EngineOptions known = engine_options(options);
  return new adaface_engine{Engine(model, detector, known), known.faces, known.detection.mode};
}

// Outputs are written when nothing can fail any more.
void analyze(adaface_engine& session, const ImageView& image, adaface_face* faces,
             adaface_embedding* embeddings, std::size_t capacity, std::size_t& count) {
  const std::vector<Face> found = select_faces(session.engine.detector().detect(image), session.faces);
  const std::size_t wanted = std::min(found.size(), capacity);
  const std::vector<Embedding> results =
      embed_faces(session.engine, image, std::span(found).first(embeddings ? wanted : 0), session.mode);
  for (std::size_t i = 0; i < results.size(); ++i) write_embedding(results[i], embeddings[i]);
  if (faces)
    for (std::size_t i = 0; i < wanted; ++i) write_face(found[i], faces[i]);
  count = found.size();
}

}  // namespace
}  // namespace adaface::c_api

extern "C" {

void adaface_engine_options_init(adaface_engine_options* options, size_t size) {
  c_api::init_options(options, size, c_api::default_engine_options());
}

adaface_status adaface_engine_open(const char* model, const char* detector,
                                   const adaface_engine_options* options, adaface_engine** engine) {
  return c_api::guarded([&] {
    c_api::required(engine, "engine");
    const Weights loaded_model = load_option(&c_api::required(model, "model"), "model");
    *engine = c_api::make_engine(loaded_model,
                                 load_option(&c_api::required(detector, "detector"), "detector"), options);
  });
}

adaface_status adaface_engine_create(const adaface_weights* model, const adaface_weights* detector,
                                     const adaface_engine_options* options, adaface_engine** engine) {
  return c_api::guarded([&] {
    c_api::required(engine, "engine");
    *engine = c_api::make_engine(c_api::required(model, "model").weights,
                                 c_api::required(detector, "detector").weights, options);
  });
}

void adaface_engine_free(adaface_engine* engine) {
  delete engine;
}

adaface_status adaface_engine_set_progress(adaface_engine* engine, adaface_progress function, void* user) {
  return c_api::guarded([&] {
    c_api::required(engine, "engine").engine.on_progress(c_api::progress_function(function, user));
  });
}

adaface_status adaface_analyze(adaface_engine* engine, const adaface_image_view* image, adaface_face* faces,
                               adaface_embedding* embeddings, size_t capacity, size_t* count) {
  return c_api::guarded([&] {
    c_api::required(count, "count");
    adaface_engine& session = c_api::required(engine, "engine");
    c_api::analyze(session, c_api::view_of(image, "image"), faces, embeddings, capacity, *count);
  });
}

adaface_status adaface_analyze_file(adaface_engine* engine, const char* path, adaface_face* faces,
                                    adaface_embedding* embeddings, size_t capacity, size_t* count) {
  return c_api::guarded([&] {
    c_api::required(count, "count");
    adaface_engine& session = c_api::required(engine, "engine");
    const Image image =
        read_image(&c_api::required(path, "path"), {.apply_orientation = session.mode == Mode::standard});
    c_api::analyze(session, image, faces, embeddings, capacity, *count);
  });
}

}  // extern "C"
