// Embeddings on a CUDA device against the float64 goldens, and against themselves.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "src/adaface.hpp"
#include "tests/cuda_main.h"
#include "tests/embedder_goldens.h"
#include "tests/golden.h"
#include "tests/small_models.h"
#include "tests/synthetic_weights.h"
#if defined(ADAFACE_EMULATED)
#include "tests/cuda_emulation/cuda_runtime.h"
#endif

namespace {

using namespace adaface;
using namespace adaface::testing;
using weights::Architecture;

constexpr Device kDevice{.kind = DeviceKind::cuda, .index = 0};

// Emulated, whole networks take minutes: then one crop of a few, unless $ADAFACE_CUDA_EVERYTHING is set.
bool do_everything() {
  return !is_emulated() || std::getenv("ADAFACE_CUDA_EVERYTHING");
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

TEST_CASE("an engine on a device finds and embeds what the CPU's does, crops staying there") {
  const SmallModels& models = small_models();
  const Weights model = Weights::load(models.embedder), detector = Weights::load(models.detector);
  const unsigned seed = 20261125;
  std::printf("seed %u\n", seed);
  const Image picture = noise(70, 60, seed);
  EngineOptions options{.detection = small_detection(1), .faces = FaceSelection::best, .threads = 1};
  Engine cpu(model, detector, options);
  options.device = kDevice;
  options.precision = Precision::f16;
  Engine device(model, detector, options);
  const std::vector<EmbeddedFace> expected = cpu.analyze(picture), found = device.analyze(picture);
  REQUIRE(expected.size() == 1);
  REQUIRE(found.size() == 1);
  // P-, R- and O-Net sum in float32 on both.
  CHECK(found[0].face.box.x1 == doctest::Approx(expected[0].face.box.x1).epsilon(0.001));
  CHECK(found[0].face.score == doctest::Approx(expected[0].face.score).epsilon(1e-4));
  CHECK(similarity(found[0].embedding, expected[0].embedding) > 0.999);
  // The first of all is the best.
  const std::vector<EmbeddedFace> chosen = device.analyze(picture, [](std::vector<Face> all) {
    all.resize(1);
    return all;
  });
  REQUIRE(chosen.size() == 1);
  CHECK(same_bits(chosen[0].embedding, found[0].embedding));
  // By hand: detect, align on the host, embed.
  const std::vector<Face> faces = select_faces(device.detector().detect(picture), FaceSelection::best);
  REQUIRE(faces.size() == 1);
  const Embedding by_hand = device.embedder().embed(align_face(picture, faces[0].landmarks));
  CHECK(same_bits(by_hand, found[0].embedding));
}

TEST_CASE("sessions share the device's weights, and progress stops a call between batches") {
  const Weights model = Weights::load(small_models().embedder);
  Embedder embedder(model, {.precision = Precision::f16, .device = kDevice}),
      other(model, {.precision = Precision::f16, .device = kDevice});
  const Image crop = noise(kCropSize, kCropSize, 7);
  const std::vector<Embedding> none = embedder.embed(std::span<const ImageView>());
  CHECK(none.empty());
  const Embedding first = embedder.embed(crop);
  CHECK(same_bits(other.embed(crop), first));
  std::vector<double> reports;
  embedder.on_progress([&](double done) {
    reports.push_back(done);
    return true;
  });
  CHECK(same_bits(embedder.embed(crop), first));
  CHECK(reports.back() == 1);
  CHECK(std::ranges::is_sorted(reports));
  embedder.on_progress([](double) { return false; });
  try {
    embedder.embed(crop);
    FAIL("was not stopped");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::cancelled);
  }
  embedder.on_progress({});
  CHECK(same_bits(embedder.embed(crop), first));
}

TEST_CASE("zero and infinity: a network whose output is zero, weights that overflow in f16") {
  const Scratch scratch("cuda-embedder");
  const std::filesystem::path zero = scratch.path / "zero.afw", large = scratch.path / "large.afw";
  write_weights(Architecture::ir_18, zero, weights::DataType::f32,
                [](const weights::TensorRow& row, auto& values) {
                  if (row.name.starts_with("head.linear") || row.name == "head.bn2.mean")
                    std::ranges::fill(values, 0.0f);
                });
  // The stem's results alone do not fit 16 bits.
  write_weights(Architecture::ir_18, large, weights::DataType::f32,
                [](const weights::TensorRow& row, auto& values) {
                  if (row.name == "stem.bn.weight") std::ranges::fill(values, 1e6f);
                });
  const Image crop = noise(kCropSize, kCropSize, 9);
  const Embedding nothing =
      Embedder(Weights::load(zero), {.precision = Precision::f16, .device = kDevice}).embed(crop);
  CHECK(nothing.norm == 0);
  CHECK(std::ranges::all_of(nothing.unit, [](float value) { return value == 0; }));
  Embedder overflowing(Weights::load(large), {.precision = Precision::f16, .device = kDevice});
  CHECK_THROWS_WITH_AS(overflowing.embed(crop), doctest::Contains("overflow in f16, expected bf16 or f32"),
                       Error);
}

#if defined(ADAFACE_EMULATED)
TEST_CASE(
    "more crops than there is memory for: batch after batch, in any order of channels and with any stride") {
  const Weights model = Weights::load(small_models().embedder);
  Embedder embedder(model, {.precision = Precision::f16, .device = kDevice});
  const Image crop = noise(kCropSize, kCropSize, 11), other = noise(kCropSize, kCropSize, 12);
  const Embedding first = embedder.embed(crop), second = embedder.embed(other);
  CHECK(!same_bits(first, second));
  Image bgr = crop;
  for (int y = 0; y < kCropSize; ++y)
    for (int x = 0; x < kCropSize; ++x) std::swap(bgr.row(y)[3 * x], bgr.row(y)[3 * x + 2]);
  Image wide(kCropSize + 5, kCropSize);
  for (int y = 0; y < kCropSize; ++y) std::copy_n(other.row(y), other.stride(), wide.row(y) + 9);
  ImageView swapped = bgr, strided = wide;
  swapped.order = ChannelOrder::bgr;
  strided.data += 9;
  strided.width = kCropSize;
  // For one image at a time: the next larger session takes twice the activations.
  emulation::set_memory(emulation::allocated() + (std::size_t{1} << 20));
  const ImageView crops[] = {crop, strided, swapped};
  std::vector<double> reports;
  embedder.on_progress([&](double done) {
    reports.push_back(done);
    return true;
  });
  const std::vector<Embedding> embeddings = embedder.embed(crops);
  emulation::set_memory(std::size_t{8} << 30);
  REQUIRE(embeddings.size() == 3);
  CHECK(std::ranges::count_if(reports, [](double done) { return done > 0.3 && done < 0.4; }) == 1);
  CHECK(same_bits(embeddings[0], first));
  CHECK(same_bits(embeddings[1], second));
  CHECK(same_bits(embeddings[2], first));
}
#endif
