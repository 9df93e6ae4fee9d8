// Embeddings against float64 goldens, and against themselves under every way of running them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "src/adaface.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "src/iresnet/iresnet.h"
#include "src/nn/cpu_backend.h"
#include "src/nn/open_mp.h"
#include "src/weights_state.h"
#include "tests/golden.h"
#include "tests/synthetic_weights.h"

namespace {

using namespace adaface;
using namespace adaface::testing;
using weights::Architecture;

std::filesystem::path network(Architecture architecture) {
  static const Scratch scratch("test-embedder");
  const std::filesystem::path path = scratch.path / (std::string(weights::to_string(architecture)) + ".afw");
  if (!std::filesystem::exists(path)) write_weights(architecture, path);
  return path;
}

// A picture that needs no file: v(x, y, channel) = (7x + 13y + 5xy + 80 channel) mod 256.
Image pattern() {
  Image image(kCropSize, kCropSize);
  for (int y = 0; y < kCropSize; ++y)
    for (int x = 0; x < kCropSize; ++x)
      for (int c = 0; c < 3; ++c)
        image.row(y)[3 * x + c] = static_cast<std::uint8_t>((7 * x + 13 * y + 5 * x * y + 80 * c) % 256);
  return image;
}

bool same_bits(const Embedding& a, const Embedding& b) {
  return std::memcmp(&a.norm, &b.norm, sizeof a.norm) == 0 &&
         std::memcmp(a.unit.data(), b.unit.data(), sizeof a.unit) == 0;
}

double cosine(const Embedding& a, const std::vector<double>& expected) {
  double dot = 0, square = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    dot += a.unit[i] * expected[i];
    square += expected[i] * expected[i];
  }
  return dot / std::sqrt(square);
}

// Index of the layer whose result ends a stage of the golden trace: the last one whose name begins with it.
int last_layer(const nn::Plan& plan, const std::string& stage) {
  int found = -1;
  for (std::size_t i = 0; i < plan.layers().size(); ++i)
    if (plan.layers()[i].name.starts_with(stage)) found = static_cast<int>(i);
  return found;
}

// BGR planes, as the synthetic networks read them.
void fill_input(const Image& crop, float* planes) {
  const std::size_t plane = static_cast<std::size_t>(kCropSize) * kCropSize;
  for (int y = 0; y < kCropSize; ++y)
    for (int x = 0; x < kCropSize; ++x)
      for (std::size_t c = 0; c < 3; ++c)
        planes[c * plane + static_cast<std::size_t>(y * kCropSize + x)] =
            static_cast<float>((crop.row(y)[3 * x + 2 - static_cast<int>(c)] / 255.0 - 0.5) / 0.5);
}

// Reports how far each stage is from the golden, relative to the stage's greatest traced value.
double worst_stage(const nlohmann::json& trace, const nn::Plan& plan, const Image& crop,
                   std::string& report) {
  const std::unique_ptr<nn::Session> session = plan.create_session();
  double worst = 0;
  for (const char* stage : {"stem", "stage1", "stage2", "stage3", "stage4"}) {
    fill_input(crop, session->input());
    std::vector<float> values;
    session->run_until(last_layer(plan, stage), values);
    const auto expected = trace.at(stage).get<std::vector<double>>();
    double greatest = 0, difference = 0;
    for (std::size_t k = 0; k < expected.size(); ++k) {
      greatest = std::max(greatest, std::abs(expected[k]));
      difference = std::max(difference, std::abs(values[k * (values.size() / 16)] - expected[k]));
    }
    char text[64];
    std::snprintf(text, sizeof text, " | %s %.0e", stage, difference / greatest);
    report += text;
    worst = std::max(worst, difference / greatest);
  }
  return worst;
}

// The golden crops of one network through a plan: the greatest 1 - cosine.
double worst_cosine(Architecture architecture, const nn::PlanOptions& options) {
  const std::filesystem::path shared = shared_directory();
  const nlohmann::json golden =
      read_json(shared / "golden" / ("embed_" + std::string(weights::to_string(architecture)) + ".json"));
  const Weights file = Weights::load(network(architecture));
  const auto session = nn::plan_cpu(iresnet::describe(file.state()->file), options)->create_session();
  double worst = -1;
  for (const nlohmann::json& crop : golden["crops"]) {
    fill_input(read_image(shared / "golden" / "crops" / crop["file"].get<std::string>()), session->input());
    session->run();
    double dot = 0, square = 0, expected_square = 0;
    const auto expected = crop["embedding"].get<std::vector<double>>();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double value = session->output()[i];
      dot += value * expected[i];
      square += value * value;
      expected_square += expected[i] * expected[i];
    }
    worst = std::max(worst, 1 - dot / std::sqrt(square * expected_square));
  }
  return worst;
}

}  // namespace

// The golden stores nine digits. Rounding errors of float32 sums of n products walk at random: sqrt(n) 2^-24
// of the result for one convolution, sqrt(n L) 2^-24 after L of them; n is 4608 for the widest. The norm
// averages over 512 such values: its bound is ten times what is measured, a tenth of what a batch norm with
// twice its epsilon gives.
TEST_CASE("embeddings equal the float64 goldens, stage by stage") {
  const std::filesystem::path shared = shared_directory();
  for (const Architecture architecture : weights::kEmbedders) {
    const std::string name(weights::to_string(architecture));
    const std::filesystem::path path = shared / "golden" / ("embed_" + name + ".json");
    if (!have(path)) continue;
    const nlohmann::json golden = read_json(path);
    const Weights file = Weights::load(network(architecture));
    Embedder embedder(file, {.threads = 1});
    const auto plan = file.state()->plan("iresnet", {.threads = available_cpus()},
                                         [&] { return iresnet::describe(file.state()->file); });
    for (const nlohmann::json& crop : golden["crops"]) {
      const Image image = read_image(shared / "golden" / "crops" / crop["file"].get<std::string>());
      const Embedding embedding = embedder.embed(image);
      const double similarity = cosine(embedding, crop["embedding"]), norm = crop["norm"];
      std::string report;
      const double worst = worst_stage(crop["trace"], *plan, image, report);
      std::printf("%s %s: 1 - cosine %.1e, norm off by %.1e%s\n", name.c_str(),
                  crop["file"].get<std::string>().c_str(), 1 - similarity,
                  std::abs(embedding.norm / norm - 1), report.c_str());
      CHECK(similarity >= 0.999999);
      CHECK(std::abs(embedding.norm / norm - 1) <= 2e-6);
      CHECK(worst <= std::sqrt(4608.0 * static_cast<double>(plan->layers().size())) * 0x1p-24);
    }
  }
}

TEST_CASE("every implementation of the convolutions gives the float64 goldens' embeddings") {
  using nn::Algorithm;
  if (!have(shared_directory() / "golden/embed_ir_101.json")) return;
  const std::pair<const char*, Algorithm> algorithms[] = {{"direct", Algorithm::direct},
                                                          {"oneDNN Winograd", Algorithm::onednn_winograd},
                                                          {"winograd 4+2", Algorithm::winograd_four_and_two},
                                                          {"winograd 4", Algorithm::winograd_four},
                                                          {"winograd 2", Algorithm::winograd_two}};
  for (const auto& [name, algorithm] : algorithms)
    for (const Architecture architecture : weights::kEmbedders) {
      const double worst = worst_cosine(architecture, {.algorithm = algorithm});
      std::printf("%s, %s: 1 - cosine %.1e\n", std::string(weights::to_string(architecture)).c_str(), name,
                  worst);
      CHECK(worst <= 1e-6);
    }
}

// Each product of bfloat16 is off by up to 2^-8 of its own size and independent of the others; what a layer
// adds to the residual stream is off by about 2^-8 of itself, more where transforms cancel. 1 - cosine is
// half the square of the relative error.
TEST_CASE("bfloat16 keeps the float64 goldens' embeddings") {
  if (!have(shared_directory() / "golden/embed_ir_101.json")) return;
  const std::pair<const char*, nn::PlanOptions> plans[] = {
      {"fast", {.precision = Precision::bf16}},
      {"small", {.precision = Precision::bf16, .kind = PlanKind::small}}};
  for (const auto& [name, options] : plans)
    for (const Architecture architecture : weights::kEmbedders) try {
        const double worst = worst_cosine(architecture, options);
        std::printf("%s, bf16, %s: 1 - cosine %.1e\n", std::string(weights::to_string(architecture)).c_str(),
                    name, worst);
        CHECK(worst <= 1e-3);
        CHECK(worst > 1e-8);  // something was rounded
      } catch (const Error& error) {
        // Under a cap, or on a CPU without it.
        CHECK(error.code() == ErrorCode::unsupported);
        CHECK(std::string(error.what()).find("AVX512-BF16") != std::string::npos);
        return;
      }
}

// tests/golden/embed_pattern.json: the same networks and the pattern above in PyTorch, float64.
TEST_CASE("embeddings of the pattern equal the float64 golden") {
  const nlohmann::json golden = read_json(source_root() / "tests/golden/embed_pattern.json");
  for (const Architecture architecture : weights::kEmbedders) {
    const nlohmann::json& expected = golden.at(std::string(weights::to_string(architecture)));
    Embedder embedder(Weights::load(network(architecture)), {.threads = 1});
    const Embedding embedding = embedder.embed(pattern());
    CHECK(cosine(embedding, expected["embedding"]) >= 0.999999);
    CHECK(std::abs(embedding.norm / expected["norm"].get<double>() - 1) <= 1e-4);
  }
}

TEST_CASE("one by one, batched, and on any number of threads: the same bits") {
  std::vector<Image> crops(7, pattern());
  for (std::size_t i = 0; i < crops.size(); ++i) crops[i].row(static_cast<int>(10 * i))[30] ^= 0xFF;
  const std::vector<ImageView> views(crops.begin(), crops.end());
  for (const Architecture architecture :
       {Architecture::ir_18, Architecture::ir_101, Architecture::ir_se_50}) {
    const Weights file = Weights::load(network(architecture));
    Embedder alone(file, {.threads = 1});
    std::vector<Embedding> expected;
    for (const ImageView& view : views) expected.push_back(alone.embed(view));
    CHECK_FALSE(same_bits(expected[0], expected[1]));
    for (const int threads : {1, 2, 3, 5}) {
      CAPTURE(threads);
      Embedder embedder(file, {.threads = threads});
      const std::vector<Embedding> batch = embedder.embed(views);
      for (std::size_t i = 0; i < views.size(); ++i) {
        CHECK(same_bits(batch[i], expected[i]));
        CHECK(same_bits(embedder.embed(views[i]), expected[i]));
      }
    }
  }
}

TEST_CASE("sessions on many threads share one model") {
  const Weights file = Weights::load(network(Architecture::ir_18));
  const Embedding expected = Embedder(file, {.threads = 1}).embed(pattern());
  std::vector<std::thread> threads;
  std::vector<Embedding> results(4);
  for (Embedding& result : results)
    threads.emplace_back([&] { result = Embedder(file, {.threads = 1}).embed(pattern()); });
  for (std::thread& thread : threads) thread.join();
  for (const Embedding& result : results) CHECK(same_bits(result, expected));
}

TEST_CASE("channel order and stride of a view do not matter") {
  Embedder embedder(Weights::load(network(Architecture::ir_18)), {.threads = 1});
  const Image rgb = pattern();
  const std::ptrdiff_t stride = 400;
  std::vector<std::uint8_t> bgr(static_cast<std::size_t>(stride) * kCropSize, 99);
  for (int y = 0; y < kCropSize; ++y)
    for (int x = 0; x < kCropSize; ++x)
      for (int c = 0; c < 3; ++c)
        bgr[static_cast<std::size_t>(y * stride + 3 * x + 2 - c)] = rgb.row(y)[3 * x + c];
  const ImageView view{bgr.data(), kCropSize, kCropSize, stride, ChannelOrder::bgr};
  CHECK(same_bits(embedder.embed(view), embedder.embed(rgb)));
  // The orders are told apart: the wrong one gives another embedding.
  ImageView wrong = view;
  wrong.order = ChannelOrder::rgb;
  CHECK(similarity(embedder.embed(wrong), embedder.embed(rgb)) < 0.9999);
}

TEST_CASE("half-precision storage keeps the embedding") {
  const Scratch scratch("test-embedder-half");
  const Embedding full =
      Embedder(Weights::load(network(Architecture::ir_18)), {.threads = 1}).embed(pattern());
  for (const weights::DataType storage : {weights::DataType::f16, weights::DataType::bf16}) {
    const std::filesystem::path path = scratch.path / "half.afw";
    write_weights(Architecture::ir_18, path, storage);
    const Embedding half = Embedder(Weights::load(path), {.threads = 1}).embed(pattern());
    // Weights rounded to 2^-11 and 2^-8: each output sums 576 to 25088 independent roundings, which mostly
    // cancel.
    CHECK(similarity(full, half) > (storage == weights::DataType::f16 ? 0.99999 : 0.999));
    CHECK(similarity(full, half) < 1);
  }
}

TEST_CASE("what is no aligned crop is refused") {
  Embedder embedder(Weights::load(network(Architecture::ir_18)), {.threads = 1});
  CHECK_THROWS_WITH_AS(embedder.embed(Image(112, 111)),
                       "crop is 112x111, expected an aligned face of 112x112", Error);
  CHECK_THROWS_AS(embedder.embed(ImageView{}), Error);
  const Image crop(112, 112);
  ImageView overlapping = crop;
  overlapping.stride = 100;
  CHECK_THROWS_AS(embedder.embed(overlapping), Error);
  CHECK(embedder.embed(std::span<const ImageView>{}).empty());
}

TEST_CASE("a network whose output is zero gives a zero embedding, not NaN") {
  const Scratch scratch("test-embedder-zero");
  const std::filesystem::path path = scratch.path / "zero.afw";
  write_weights(Architecture::ir_18, path, weights::DataType::f32,
                [](const weights::TensorRow& row, auto& values) {
                  if (row.name.starts_with("head.linear") || row.name == "head.bn2.mean")
                    std::ranges::fill(values, 0.0f);
                });
  const Embedding embedding = Embedder(Weights::load(path), {.threads = 1}).embed(pattern());
  CHECK(embedding.norm == 0);
  CHECK(similarity(embedding, embedding) == 0);
}

TEST_CASE("weights that overflow are an error, not an embedding of NaN") {
  const Scratch scratch("test-embedder-overflow");
  const std::filesystem::path path = scratch.path / "huge.afw";
  write_weights(Architecture::ir_18, path, weights::DataType::f32,
                [](const weights::TensorRow& row, auto& values) {
                  if (row.name.starts_with("head.linear")) std::ranges::fill(values, 3e38f);
                });
  Embedder embedder(Weights::load(path), {.threads = 1});
  CHECK_THROWS_WITH_AS(embedder.embed(pattern()), doctest::Contains("huge.afw: the embedding is not finite"),
                       Error);
}

TEST_CASE("thread counts out of range are refused") {
  const Weights file = Weights::load(network(Architecture::ir_18));
  for (const int threads : {-1, 1025, 100000})
    CHECK_THROWS_WITH_AS(Embedder(file, {.threads = threads}), doctest::Contains("expected 0 to 1024"),
                         Error);
}

TEST_CASE("sessions of different thread counts share one plan") {
  const Weights file = Weights::load(network(Architecture::ir_18));
  const auto make = [] { return nn::Network(); };  // fails unless the plan is there already
  Embedder one(file, {.threads = 1});
  const auto plan = file.state()->plan("iresnet", {.threads = available_cpus()}, make);
  Embedder all(file, {.threads = available_cpus()});
  CHECK(plan == file.state()->plan("iresnet", {.threads = available_cpus()}, make));
}
