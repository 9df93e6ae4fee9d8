#include <limits>

#include "src/c_api/status.h"

using namespace adaface;

namespace adaface::c_api {
namespace {

adaface_embedder_options default_embedder_options() {
  const EmbedderOptions defaults;
  return {sizeof(adaface_embedder_options),
          defaults.threads,
          static_cast<int32_t>(defaults.precision),
          static_cast<int32_t>(defaults.plan),
          0,
          static_cast<int32_t>(defaults.device.kind),
          defaults.device.index};
}

EmbedderOptions embedder_options(const adaface_embedder_options* options) {
  const adaface_embedder_options known =
      read_options(options, default_embedder_options(), offsetof(adaface_embedder_options, device),
                   "embedder options", "call adaface_embedder_options_init first");
  return {.threads = known.threads,
          .precision = enumerator(known.precision, Precision::f16, "precision"),
          .plan = enumerator(known.plan, PlanKind::small, "plan"),
          .device = device_of(known.device, known.device_index)};
}

Embedding embedding_of(const adaface_embedding& from) {
  Embedding embedding;
  std::copy_n(from.unit, ADAFACE_EMBEDDING_SIZE, embedding.unit.begin());
  embedding.norm = from.norm;
  return embedding;
}

}  // namespace

void write_embedding(const Embedding& embedding, adaface_embedding& to) {
  static_assert(kEmbeddingSize == ADAFACE_EMBEDDING_SIZE);
  std::copy(embedding.unit.begin(), embedding.unit.end(), to.unit);
  to.norm = embedding.norm;
}

}  // namespace adaface::c_api

extern "C" {

void adaface_embedder_options_init(adaface_embedder_options* options, size_t size) {
  c_api::init_options(options, size, c_api::default_embedder_options());
}

adaface_status adaface_embedder_create(const adaface_weights* weights,
                                       const adaface_embedder_options* options, adaface_embedder** embedder) {
  return c_api::guarded([&] {
    c_api::required(embedder, "embedder");
    *embedder = new adaface_embedder{
        Embedder(c_api::required(weights, "weights").weights, c_api::embedder_options(options))};
  });
}

void adaface_embedder_free(adaface_embedder* embedder) {
  delete embedder;
}

adaface_status adaface_embedder_set_progress(adaface_embedder* embedder, adaface_progress function,
                                             void* user) {
  return c_api::guarded([&] {
    c_api::required(embedder, "embedder").embedder.on_progress(c_api::progress_function(function, user));
  });
}

adaface_status adaface_embedder_prepare(adaface_embedder* embedder) {
  return c_api::guarded([&] { c_api::required(embedder, "embedder").embedder.prepare(); });
}

adaface_status adaface_embed(adaface_embedder* embedder, const adaface_image_view* crops, size_t count,
                             adaface_embedding* embeddings) {
  return c_api::guarded([&] {
    Embedder& session = c_api::required(embedder, "embedder").embedder;
    if (count == 0) return;
    c_api::required(crops, "crops");
    c_api::required(embeddings, "embeddings");
    std::vector<ImageView> views;
    for (std::size_t i = 0; i < count; ++i) views.push_back(c_api::view_of(&crops[i], "crops"));
    const std::vector<Embedding> results = session.embed(views);
    for (std::size_t i = 0; i < count; ++i) c_api::write_embedding(results[i], embeddings[i]);
  });
}

double adaface_similarity(const adaface_embedding* a, const adaface_embedding* b) {
  if (!a || !b) return std::numeric_limits<double>::quiet_NaN();
  return similarity(c_api::embedding_of(*a), c_api::embedding_of(*b));
}

adaface_status adaface_compare(const adaface_embedding* rows, size_t rows_count,
                               const adaface_embedding* columns, size_t columns_count, double* matrix) {
  return c_api::guarded([&] {
    if (rows_count == 0 || columns_count == 0) return;
    c_api::required(rows, "rows");
    c_api::required(columns, "columns");
    c_api::required(matrix, "matrix");
    for (std::size_t i = 0; i < rows_count; ++i)
      for (std::size_t j = 0; j < columns_count; ++j) *matrix++ = adaface_similarity(&rows[i], &columns[j]);
  });
}

}  // extern "C"
