#include "src/c_api/status.h"

using namespace adaface;

extern "C" {

adaface_status adaface_weights_load(const char* path, adaface_weights** weights) {
  return c_api::guarded([&] {
    c_api::required(weights, "weights");
    Weights loaded = Weights::load(&c_api::required(path, "path"));
    WeightsInfo info = loaded.info();
    *weights = new adaface_weights{std::move(loaded), std::move(info)};
  });
}

adaface_status adaface_weights_get_info(const adaface_weights* weights, adaface_weights_info* info) {
  return c_api::guarded([&] {
    const WeightsInfo& from = c_api::required(weights, "weights").info;
    const std::size_t size = c_api::struct_size(c_api::required(info, "info"), sizeof(adaface_weights_info),
                                                "info", "set it to sizeof(adaface_weights_info)");
    c_api::init_options(
        info, size,
        {size, from.architecture.c_str(), from.color.c_str(), from.storage.c_str(),
         from.source_sha256.c_str(), from.weights_sha256.c_str(), from.file_bytes, from.parameters});
  });
}

adaface_status adaface_weights_verify(const adaface_weights* weights) {
  return c_api::guarded([&] { c_api::required(weights, "weights").weights.verify(); });
}

void adaface_weights_free(adaface_weights* weights) {
  delete weights;
}

}  // extern "C"
