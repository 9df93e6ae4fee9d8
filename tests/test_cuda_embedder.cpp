// Embeddings on a CUDA device against the float64 goldens, and against themselves.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "src/adaface.hpp"
#include "tests/cuda_main.h"
#include "tests/golden.h"
#include "tests/small_models.h"
#include "tests/synthetic_weights.h"

namespace {

using namespace adaface;
using namespace adaface::testing;
using weights::Architecture;

constexpr Device kDevice{.kind = DeviceKind::cuda, .index = 0};

// Emulated, whole networks take minutes: then one crop of a few, unless $ADAFACE_CUDA_EVERYTHING is set.
bool do_everything() {
  return !is_emulated() || std::getenv("ADAFACE_CUDA_EVERYTHING");
}

std::filesystem::path network(Architecture architecture) {
  static const Scratch scratch("test-cuda-embedder");
  const std::filesystem::path path = scratch.path / (std::string(weights::to_string(architecture)) + ".afw");
  if (!std::filesystem::exists(path)) write_weights(architecture, path);
  return path;
}

double cosine(const Embedding& a, const std::vector<double>& expected) {
  double dot = 0, square = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    dot += a.unit[i] * expected[i];
    square += expected[i] * expected[i];
  }
  return dot / std::sqrt(square);
}

// What is asked of each precision: 1 - cosine is half the square of the relative error, of which a factor has
// 2^-12 (f16, TF32) or 2^-9 (bf16), and a network's hundred layers add up.
struct Asked {
  const char* name;
  Precision precision;
  double cosine;
};
constexpr Asked kAsked[] = {{"f16", Precision::f16, 0.9995},
                            {"bf16", Precision::bf16, 0.998},
                            {"f32 (TF32)", Precision::f32, 0.99999}};

}  // namespace

TEST_CASE("embeddings equal the float64 goldens") {
  const std::filesystem::path shared = shared_directory();
  for (const Architecture architecture : weights::kEmbedders) {
    const std::string name(weights::to_string(architecture));
    const std::filesystem::path path = shared / "golden" / ("embed_" + name + ".json");
    if (!have(path)) continue;
    if (!do_everything() && architecture != Architecture::ir_18 && architecture != Architecture::ir_se_50)
      continue;
    const nlohmann::json golden = read_json(path);
    const Weights file = Weights::load(network(architecture));
    for (const auto& [precision_name, precision, least] : kAsked) {
      if (!do_everything() && architecture != Architecture::ir_18 && precision != Precision::f16) continue;
      Embedder embedder(file, {.precision = precision, .device = kDevice});
      double worst = 0, worst_norm = 0;
      for (const nlohmann::json& crop : golden["crops"]) {
        const Image image = read_image(shared / "golden" / "crops" / crop["file"].get<std::string>());
        const Embedding embedding = embedder.embed(image);
        const double norm = crop["norm"];
        worst = std::max(worst, 1 - cosine(embedding, crop["embedding"]));
        worst_norm = std::max(worst_norm, std::abs(embedding.norm / norm - 1));
        if (!do_everything()) break;
      }
      std::printf("%s in %s: 1 - cosine %.1e, norm off by %.1e\n", name.c_str(), precision_name, worst,
                  worst_norm);
      CHECK(1 - worst >= least);
      CHECK(worst_norm <= 0.02);
    }
  }
}
