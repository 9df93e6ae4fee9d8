// Embeddings against float64 goldens, and against themselves under every way of running them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "src/adaface.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <latch>
#include <thread>

#include "kernels/kernels.h"
#include "src/iresnet/iresnet.h"
#include "src/nn/cpu_backend.h"
#include "src/nn/onednn.h"
#include "src/weights_state.h"
#include "tests/cpu.h"
#include "tests/embedder_goldens.h"
#include "tests/golden.h"
#include "tests/synthetic_weights.h"

#if __has_include(<oneapi/dnnl/dnnl_version.h>)
#include <oneapi/dnnl/dnnl_version.h>
#endif

namespace {

#if defined(DNNL_VERSION_MAJOR) && DNNL_VERSION_MAJOR < 3
constexpr bool kOnednnHasWinograd = true;
#else
constexpr bool kOnednnHasWinograd = false;  // gone in 3.0, or a version that is not known
#endif

using namespace adaface;
using namespace adaface::testing;
using weights::Architecture;

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

// The plan may read weights where they lie in the mapped file.
std::shared_ptr<const nn::Plan> plan_for(const Weights& file, const nn::PlanOptions& options) {
  return nn::plan_cpu(iresnet::describe(file.state()->file), options);
}

double one_minus_cosine(const float* values, const nlohmann::json& embedding) {
  double dot = 0, square = 0, expected_square = 0;
  const auto expected = embedding.get<std::vector<double>>();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double value = values[i];
    dot += value * expected[i];
    square += value * value;
    expected_square += expected[i] * expected[i];
  }
  return 1 - dot / std::sqrt(square * expected_square);
}

// The golden crops of one network through a plan: the greatest 1 - cosine.
double worst_cosine(Architecture architecture, const nn::Plan& plan) {
  const std::filesystem::path shared = shared_directory();
  const nlohmann::json golden =
      read_json(shared / "golden" / ("embed_" + std::string(weights::to_string(architecture)) + ".json"));
  const auto session = plan.create_session();
  double worst = -1;
  for (const nlohmann::json& crop : golden["crops"]) {
    fill_input(read_image(shared / "golden" / "crops" / crop["file"].get<std::string>()), session->input());
    session->run();
    worst = std::max(worst, one_minus_cosine(session->output(), crop["embedding"]));
  }
  return worst;
}

// Of oneDNN's cap alone: where ours has no Winograd kernels for it, oneDNN's convolutions do it directly.
bool multiplies_bf16() {
  return kernels_isa() > Isa::reference && onednn_isa() >= Isa::avx512_bf16;
}

void skip_bf16() {
  std::printf("skipped: bf16, which this CPU, or its cap, does not multiply\n");
}

using nn::Algorithm;
constexpr std::pair<const char*, Algorithm> kAlgorithms[] = {
    {"direct", Algorithm::direct},
    {"oneDNN Winograd", Algorithm::onednn_winograd},
    {"winograd 4+2", Algorithm::winograd_four_and_two},
    {"winograd 4", Algorithm::winograd_four},
    {"winograd 2", Algorithm::winograd_two}};

// What a 3x3 convolution with stride 1 of this many rows and columns is called when `algorithm` is forced,
// the kernels have a version for it, and so no other was chosen instead.
std::string winograd_name(Algorithm algorithm, int side) {
  if (algorithm == Algorithm::winograd_two) return "winograd 2";
  // Rows divide into tiles of 4 but for one or two that are left.
  const bool mixed = algorithm == Algorithm::winograd_four_and_two && side % 4 != 0 && side % 4 != 3;
  return mixed ? "winograd 4+2" : "winograd 4";
}

// That the plan does what was forced, or that this CPU under its caps cannot.
void check_implementations(const nn::Plan& plan, Algorithm algorithm) {
  const int block = nn::onednn_channel_block();
  CHECK(block == adaface::testing::channel_block());
  const bool ours = kernels_isa() >= (block == 16 ? Isa::avx512 : Isa::avx2);
  CHECK((kernels::winograd(block) != nullptr) == ours);
  const bool forces_ours = algorithm != Algorithm::direct && algorithm != Algorithm::onednn_winograd;
  int eligible = 0, of_onednn = 0;
  for (const nn::LayerInfo& layer : plan.layers()) {
    int in, height, width, out, kernel = 0, stride = 0;
    CAPTURE(layer.name);
    CAPTURE(layer.shape);
    CAPTURE(layer.implementation);
    const bool parsed = std::sscanf(layer.shape.c_str(), "%dx%dx%d -> %dx%*dx%*d k%d s%d", &in, &height,
                                    &width, &out, &kernel, &stride) == 6;
    CHECK(parsed == (layer.kind == nn::LayerKind::convolution));
    // The stem reads planes.
    const bool can = parsed && kernel == 3 && stride == 1 && layer.name != "stem";
    eligible += can;
    of_onednn += layer.implementation.find("wino_") != std::string::npos;
    if (can && ours && forces_ours)
      CHECK(layer.implementation == winograd_name(algorithm, height));
    else
      CHECK(layer.implementation.find("winograd") == std::string::npos);
  }
  CHECK(eligible >= 12);  // as many as the smallest network has
  if (forces_ours && !ours) std::printf("skipped: winograd, which has no version under this cap\n");
  if (algorithm != Algorithm::onednn_winograd)
    CHECK(of_onednn == 0);
  else if (kOnednnHasWinograd && block == 16)
    CHECK(of_onednn > 0);
  else
    std::printf("skipped: oneDNN Winograd, which this version or CPU has none of; %d layers\n", of_onednn);
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
  if (!have(shared_directory() / "golden/embed_ir_101.json")) return;
  for (const auto& [name, algorithm] : kAlgorithms)
    for (const Architecture architecture : weights::kEmbedders) {
      const Weights file = Weights::load(network(architecture));
      const auto plan = plan_for(file, {.algorithm = algorithm});
      check_implementations(*plan, algorithm);
      const double worst = worst_cosine(architecture, *plan);
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
  if (!multiplies_bf16()) return skip_bf16();
  const std::pair<const char*, nn::PlanOptions> plans[] = {
      {"fast", {.precision = Precision::bf16}},
      {"small", {.precision = Precision::bf16, .kind = PlanKind::small}}};
  for (const auto& [name, options] : plans)
    for (const Architecture architecture : weights::kEmbedders) {
      const Weights file = Weights::load(network(architecture));
      const double worst = worst_cosine(architecture, *plan_for(file, options));
      std::printf("%s, bf16, %s: 1 - cosine %.1e\n", std::string(weights::to_string(architecture)).c_str(),
                  name, worst);
      CHECK(worst <= 1e-3);
      CHECK(worst > 1e-8);  // something was rounded
    }
}

// Without the golden photographs: it runs under the caps too.
TEST_CASE("bfloat16 of the pattern: refused exactly where the CPU or its cap has none") {
  const Weights file = Weights::load(network(Architecture::ir_18));
  for (const PlanKind kind : {PlanKind::fast, PlanKind::small}) {
    const EmbedderOptions options{.threads = 1, .precision = Precision::bf16, .plan = kind};
    if (!multiplies_bf16()) {
      skip_bf16();
      CHECK_THROWS_WITH_AS(Embedder(file, options), doctest::Contains("AVX512-BF16"), Error);
      continue;
    }
    const Embedding rounded = Embedder(file, options).embed(pattern()),
                    whole = Embedder(file, {.threads = 1}).embed(pattern());
    CHECK(similarity(rounded, whole) > 0.999);
    CHECK(similarity(rounded, whole) < 1 - 1e-8);
  }
}

// Of one network, without the golden photographs: it runs under the caps too.
TEST_CASE("forced implementations give the embedding of the pattern") {
  const nlohmann::json golden = read_json(source_root() / "tests/golden/embed_pattern.json");
  const Weights file = Weights::load(network(Architecture::ir_18));
  for (const auto& [name, algorithm] : kAlgorithms) {
    CAPTURE(name);
    const auto plan = plan_for(file, {.algorithm = algorithm});
    check_implementations(*plan, algorithm);
    const auto session = plan->create_session();
    fill_input(pattern(), session->input());
    session->run();
    CHECK(one_minus_cosine(session->output(), golden["ir_18"]["embedding"]) <= 1e-6);
  }
}

TEST_CASE("a small plan and a prepared one: the same bits") {
  const Image crop = pattern();
  const std::filesystem::path path = network(Architecture::ir_18);
  const Embedding expected = Embedder(Weights::load(path), {.threads = 1}).embed(crop);
  for (const PlanKind kind : {PlanKind::fast, PlanKind::small})
    for (const int threads : {1, 2}) {
      CAPTURE(threads);
      const Weights file = Weights::load(path);
      const EmbedderOptions options{.threads = threads, .plan = kind};
      Embedder prepared(file, options), beside(file, options);
      CHECK(same_bits(beside.embed(crop), expected));
      // While another session runs over the same plan and keeps what it transforms.
      std::latch both(2);
      std::vector<Embedding> results(3);
      std::thread runs([&] {
        both.arrive_and_wait();
        for (Embedding& result : results) result = beside.embed(crop);
      });
      both.arrive_and_wait();
      prepared.prepare();
      runs.join();
      for (const Embedding& result : results) CHECK(same_bits(result, expected));
      CHECK(same_bits(prepared.embed(crop), expected));
      prepared.prepare();
      CHECK(same_bits(prepared.embed(crop), expected));
      CHECK(same_bits(beside.embed(crop), expected));
    }
}

// Rounding a weight to p bits is off by 0.43 * 2^-p of it, root mean square (uniform within half a unit, over
// mantissas whose logarithms are uniform), independently of the others: so is the layer's sum of products.
// f16 has 11 bits, bf16 has 8. Kept for Winograd a weight is rounded to f16 once more, which tiles of 4 carry
// into the result at up to 4 times its size. What L layers add up is off by the square root of L times that,
// less where only a part of the residual stream is new; 1 - cosine is half the square.
TEST_CASE("16-bit storage keeps the pattern's goldens") {
  const Scratch scratch("test-embedder-storage");
  const nlohmann::json golden = read_json(source_root() / "tests/golden/embed_pattern.json");
  for (const Architecture architecture : weights::kEmbedders)
    for (const weights::DataType storage : {weights::DataType::f16, weights::DataType::bf16}) {
      const std::string name(weights::to_string(architecture));
      const std::filesystem::path path = scratch.path / "half.afw";
      write_weights(architecture, path, storage);
      const Weights file = Weights::load(path);
      Embedder embedder(file, {.threads = 1});
      const Embedding embedding = embedder.embed(pattern());
      const auto plan = file.state()->plan("iresnet", {.threads = available_cpus(), .half_weights = true},
                                           [] { return nn::Network(); });  // the embedder's
      int convolutions = 0, half = 0;
      for (const nn::LayerInfo& layer : plan->layers()) {
        convolutions += layer.kind == nn::LayerKind::convolution;
        half += layer.implementation.ends_with(" f16 weights");
      }
      if (kernels::winograd(nn::onednn_channel_block())) CHECK(half >= 12);
      const double stored = storage == weights::DataType::f16 ? 0x1p-11 : 0x1p-8,
                   bound = convolutions * 0.43 * 0.43 * (stored * stored + 16 * 0x1p-22) / 2;
      const double distance = one_minus_cosine(embedding.unit.data(), golden[name]["embedding"]);
      std::printf("%s stored as %s: 1 - cosine %.1e, bound %.1e\n", name.c_str(),
                  std::string(weights::to_string(storage)).c_str(), distance, bound);
      CHECK(distance <= bound);
      CHECK(distance > 1e-8);  // something was rounded
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
