// The C interface as a C program uses it: the same results as the C++ one, statuses, sizes of structs.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "src/adaface.h"
#include "src/adaface.hpp"
#include "tests/golden.h"
#include "tests/small_models.h"

namespace {

namespace fs = std::filesystem;
using adaface::testing::Scratch;

const Scratch scratch("c-api");

std::string model() {
  return adaface::testing::small_models().embedder.string();
}
std::string detector() {
  return adaface::testing::small_models().detector.string();
}
std::string picture() {
  return (adaface::testing::source_root() / "tests/data/synthetic_faces/stranger.jpg").string();
}

std::string last_error() {
  return adaface_last_error();
}

template <typename T, void (*free_)(T*)>
struct Handle {
  T* get = nullptr;
  ~Handle() { free_(get); }
};
using ImageHandle = Handle<adaface_image, adaface_image_free>;
using WeightsHandle = Handle<adaface_weights, adaface_weights_free>;
using DetectorHandle = Handle<adaface_detector, adaface_detector_free>;
using EmbedderHandle = Handle<adaface_embedder, adaface_embedder_free>;
using EngineHandle = Handle<adaface_engine, adaface_engine_free>;

// Untrained nets find something everywhere when nothing is below the thresholds.
adaface_detector_options easily_pleased() {
  adaface_detector_options options;
  adaface_detector_options_init(&options, sizeof options);
  options.min_face = 60;
  options.threads = 1;
  for (float& threshold : options.score_thresholds) threshold = 0;
  for (double& threshold : options.overlap_thresholds) threshold = 0.3;
  return options;
}

std::vector<std::uint8_t> noise(int width, int height) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  std::uint32_t state = 20261124;  // the seed
  for (std::uint8_t& value : pixels)
    value = static_cast<std::uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  return pixels;
}

void check_same(const adaface_face& face, const adaface::Face& expected) {
  CHECK(face.box[0] == expected.box.x1);
  CHECK(face.box[1] == expected.box.y1);
  CHECK(face.box[2] == expected.box.x2);
  CHECK(face.box[3] == expected.box.y2);
  CHECK(face.score == expected.score);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(face.landmarks[i][0] == expected.landmarks[i].x);
    CHECK(face.landmarks[i][1] == expected.landmarks[i].y);
  }
}

void check_same(const adaface_embedding& embedding, const adaface::Embedding& expected) {
  CHECK(std::memcmp(embedding.unit, expected.unit.data(), sizeof embedding.unit) == 0);
  CHECK(embedding.norm == expected.norm);
}

}  // namespace

TEST_CASE("versions of header and library agree") {
  CHECK(std::string(adaface_version()) == ADAFACE_VERSION);
  CHECK(std::string(ADAFACE_VERSION) == std::to_string(ADAFACE_VERSION_MAJOR) + "." +
                                            std::to_string(ADAFACE_VERSION_MINOR) + "." +
                                            std::to_string(ADAFACE_VERSION_PATCH));
  const std::size_t length = adaface_build_info(nullptr, 0);
  std::vector<char> text(length + 1, 'x');
  CHECK(adaface_build_info(text.data(), text.size()) == length);
  const std::string info(text.data());
  CHECK(info.size() == length);
  for (const char* key : {"version: " ADAFACE_VERSION "\n", "compiler: ", "onednn: ", "kernels: ", "cuda: "})
    CHECK(info.find(key) != std::string::npos);
  char small[8] = "zzzzzzz";
  CHECK(adaface_build_info(small, sizeof small) == length);
  CHECK(std::string(small) == "version");
  CHECK(adaface_available_cpus() == adaface::available_cpus());
}

TEST_CASE("statuses have stable names, and none is without one") {
  const char* const names[] = {"ok",    "invalid_argument", "not_found", "io",      "corrupt", "unsupported",
                               "limit", "out_of_memory",    "cancelled", "internal"};
  for (int i = 0; i < 10; ++i)
    CHECK(std::string(adaface_status_name(static_cast<adaface_status>(i))) == names[i]);
  CHECK(std::string(adaface_status_name(static_cast<adaface_status>(77))) == "unknown");
}

TEST_CASE("an image read from a file, from memory, and written") {
  ImageHandle file, memory;
  REQUIRE(adaface_image_read(picture().c_str(), nullptr, &file.get) == ADAFACE_OK);
  std::ifstream stream(picture(), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(stream), {});
  REQUIRE(adaface_image_decode(bytes.data(), bytes.size(), nullptr, nullptr, &memory.get) == ADAFACE_OK);
  adaface_image_view a, b;
  REQUIRE(adaface_image_get(file.get, &a) == ADAFACE_OK);
  REQUIRE(adaface_image_get(memory.get, &b) == ADAFACE_OK);
  const adaface::Image expected = adaface::read_image(picture());
  REQUIRE(a.width == expected.width());
  REQUIRE(a.height == expected.height());
  CHECK(a.order == ADAFACE_RGB);
  const auto size = static_cast<std::size_t>(a.stride * a.height);
  CHECK(std::memcmp(a.data, expected.row(0), size) == 0);
  CHECK(std::memcmp(b.data, expected.row(0), size) == 0);

  const std::string written = (scratch.path / "written.png").string();
  REQUIRE(adaface_image_write(written.c_str(), &a, 90) == ADAFACE_OK);
  ImageHandle again;
  REQUIRE(adaface_image_read(written.c_str(), nullptr, &again.get) == ADAFACE_OK);
  adaface_image_view c;
  REQUIRE(adaface_image_get(again.get, &c) == ADAFACE_OK);
  CHECK(std::memcmp(c.data, a.data, size) == 0);

  adaface_decode_options options;
  adaface_decode_options_init(&options, sizeof options);
  options.apply_orientation = 7;
  CHECK(adaface_image_read(picture().c_str(), &options, &file.get) == ADAFACE_INVALID_ARGUMENT);
  options.apply_orientation = 0;
  options.max_side = 16;
  adaface_image* untouched = file.get;
  CHECK(adaface_image_read(picture().c_str(), &options, &untouched) == ADAFACE_LIMIT);
  CHECK(untouched == file.get);
  CHECK(adaface_image_decode("no picture", 10, "note.txt", nullptr, &untouched) == ADAFACE_UNSUPPORTED);
  CHECK(last_error().find("note.txt") == 0);
  CHECK(adaface_image_decode(nullptr, 3, nullptr, nullptr, &untouched) == ADAFACE_INVALID_ARGUMENT);
  CHECK(adaface_image_write((scratch.path / "x.tiff").string().c_str(), &a, 90) == ADAFACE_INVALID_ARGUMENT);
}

TEST_CASE("errors name the thing, belong to their thread, and leave outputs alone") {
  adaface_weights* weights = nullptr;
  CHECK(adaface_weights_load("/nowhere/model.afw", &weights) == ADAFACE_NOT_FOUND);
  CHECK(weights == nullptr);
  CHECK(last_error().find("/nowhere/model.afw") != std::string::npos);
  std::string elsewhere = "unset";
  std::thread([&] { elsewhere = adaface_last_error(); }).join();
  CHECK(elsewhere.empty());

  CHECK(adaface_weights_load(nullptr, &weights) == ADAFACE_INVALID_ARGUMENT);
  CHECK(last_error() == "path is NULL, expected a pointer");
  CHECK(adaface_weights_load("x", nullptr) == ADAFACE_INVALID_ARGUMENT);
  // A message that is longer than its place ends between characters.
  const std::string name = "a" + [] {
    std::string umlauts;
    for (int i = 0; i < 900; ++i) umlauts += "\xC3\xA4";
    return umlauts;
  }();
  CHECK(adaface_image_decode("no", 2, name.c_str(), nullptr, nullptr) == ADAFACE_INVALID_ARGUMENT);
  adaface_image* image = nullptr;
  CHECK(adaface_image_decode("no", 2, name.c_str(), nullptr, &image) != ADAFACE_OK);
  CHECK(last_error().size() <= 1023);
  CHECK(last_error().size() >= 1020);
  CHECK(name.starts_with(last_error()));
  CHECK(last_error().size() % 2 == 1);
}

TEST_CASE("weights tell what they are and are verified") {
  WeightsHandle weights;
  REQUIRE(adaface_weights_load(model().c_str(), &weights.get) == ADAFACE_OK);
  adaface_weights_info info{};
  info.struct_size = sizeof info;
  REQUIRE(adaface_weights_get_info(weights.get, &info) == ADAFACE_OK);
  const adaface::WeightsInfo expected = adaface::Weights::load(model()).info();
  CHECK(info.architecture == expected.architecture);
  CHECK(info.color == expected.color);
  CHECK(info.storage == expected.storage);
  CHECK(info.source_sha256 == expected.source_sha256);
  CHECK(info.weights_sha256 == expected.weights_sha256);
  CHECK(info.file_bytes == expected.file_bytes);
  CHECK(info.parameters == expected.parameters);
  CHECK(adaface_weights_verify(weights.get) == ADAFACE_OK);
  info.struct_size = 8;
  CHECK(adaface_weights_get_info(weights.get, &info) == ADAFACE_INVALID_ARGUMENT);

  std::string bytes;
  {
    std::ifstream stream(model(), std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(stream), {});
  }
  bytes[bytes.size() - 100] ^= 1;
  const fs::path damaged = scratch.path / "damaged.afw";
  std::ofstream(damaged, std::ios::binary) << bytes;
  WeightsHandle other;
  REQUIRE(adaface_weights_load(damaged.string().c_str(), &other.get) == ADAFACE_OK);
  CHECK(adaface_weights_verify(other.get) == ADAFACE_CORRUPT);
}

TEST_CASE("the same faces, crops and embeddings as in C++") {
  const int width = 300, height = 200;
  const std::vector<std::uint8_t> pixels = noise(width, height);
  const adaface_image_view view{pixels.data(), width, height, 3 * width, ADAFACE_BGR};
  const adaface::ImageView cpp_view{pixels.data(), width, height, 3 * width, adaface::ChannelOrder::bgr};
  const adaface_detector_options options = easily_pleased();
  adaface_engine_options engine_options;
  adaface_engine_options_init(&engine_options, sizeof engine_options);
  engine_options.threads = 1;
  engine_options.detection = &options;
  EngineHandle engine;
  REQUIRE(adaface_engine_open(model().c_str(), detector().c_str(), &engine_options, &engine.get) ==
          ADAFACE_OK);
  adaface::Engine expected_engine(
      {.model = model(),
       .detector = detector(),
       .detection = {.min_face = 60, .score_thresholds = {0, 0, 0}, .overlap_thresholds = {0.3, 0.3, 0.3}},
       .threads = 1});
  const std::vector<adaface::EmbeddedFace> expected = expected_engine.analyze(cpp_view);
  REQUIRE(expected.size() >= 3);

  SUBCASE("all of it at once") {
    std::vector<adaface_face> faces(expected.size());
    std::vector<adaface_embedding> embeddings(expected.size());
    std::size_t count = 0;
    REQUIRE(adaface_analyze(engine.get, &view, faces.data(), embeddings.data(), faces.size(), &count) ==
            ADAFACE_OK);
    REQUIRE(count == expected.size());
    for (std::size_t i = 0; i < count; ++i) {
      check_same(faces[i], expected[i].face);
      check_same(embeddings[i], expected[i].embedding);
    }
    std::vector<double> matrix(count * count);
    REQUIRE(adaface_compare(embeddings.data(), count, embeddings.data(), count, matrix.data()) == ADAFACE_OK);
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t j = 0; j < count; ++j) {
        CHECK(matrix[i * count + j] == adaface::similarity(expected[i].embedding, expected[j].embedding));
        CHECK(matrix[i * count + j] == adaface_similarity(&embeddings[i], &embeddings[j]));
      }
  }
  SUBCASE("fewer than there are: the first, and how many there were") {
    adaface_face faces[2] = {};
    adaface_embedding embeddings[2] = {};
    faces[1].score = embeddings[1].norm = 7;
    std::size_t count = 0;
    REQUIRE(adaface_analyze(engine.get, &view, faces, embeddings, 1, &count) == ADAFACE_OK);
    CHECK(count == expected.size());
    check_same(faces[0], expected[0].face);
    check_same(embeddings[0], expected[0].embedding);
    CHECK(faces[1].score == 7);
    CHECK(embeddings[1].norm == 7);
    REQUIRE(adaface_analyze(engine.get, &view, nullptr, nullptr, 0, &count) == ADAFACE_OK);
    CHECK(count == expected.size());
  }
  SUBCASE("the selection") {
    engine_options.faces = ADAFACE_FACES_BEST;
    EngineHandle best;
    REQUIRE(adaface_engine_open(model().c_str(), detector().c_str(), &engine_options, &best.get) ==
            ADAFACE_OK);
    adaface_face face;
    std::size_t count = 0;
    REQUIRE(adaface_analyze(best.get, &view, &face, nullptr, 1, &count) == ADAFACE_OK);
    CHECK(count == 1);
    check_same(face, expected[0].face);
  }
  SUBCASE("step by step") {
    WeightsHandle model_weights, detector_weights;
    REQUIRE(adaface_weights_load(model().c_str(), &model_weights.get) == ADAFACE_OK);
    REQUIRE(adaface_weights_load(detector().c_str(), &detector_weights.get) == ADAFACE_OK);
    DetectorHandle session;
    REQUIRE(adaface_detector_create(detector_weights.get, &options, &session.get) == ADAFACE_OK);
    EmbedderHandle embedder;
    adaface_embedder_options embedder_options;
    adaface_embedder_options_init(&embedder_options, sizeof embedder_options);
    embedder_options.threads = 1;
    REQUIRE(adaface_embedder_create(model_weights.get, &embedder_options, &embedder.get) == ADAFACE_OK);
    // Sessions outlive the handles of their weights.
    adaface_weights_free(std::exchange(model_weights.get, nullptr));
    adaface_weights_free(std::exchange(detector_weights.get, nullptr));
    adaface_face faces[3];
    std::size_t count = 0;
    REQUIRE(adaface_detect(session.get, &view, faces, 3, &count) == ADAFACE_OK);
    CHECK(count == expected.size());
    CHECK(adaface_embedder_prepare(embedder.get) == ADAFACE_OK);
    std::vector<std::uint8_t> crops(3 * ADAFACE_CROP_BYTES);
    std::vector<adaface_image_view> views;
    for (std::size_t i = 0; i < 3; ++i) {
      check_same(faces[i], expected[i].face);
      std::uint8_t* crop = crops.data() + i * ADAFACE_CROP_BYTES;
      REQUIRE(adaface_align(&view, faces[i].landmarks, ADAFACE_MODE_STANDARD, crop) == ADAFACE_OK);
      const adaface::Image aligned = adaface::align_face(cpp_view, expected[i].face.landmarks);
      CHECK(std::memcmp(crop, aligned.row(0), ADAFACE_CROP_BYTES) == 0);
      views.push_back({crop, 112, 112, 3 * 112, ADAFACE_RGB});
      double m[2][3];
      REQUIRE(adaface_alignment_transform(faces[i].landmarks, ADAFACE_MODE_REFERENCE, m) == ADAFACE_OK);
      const adaface::Transform t =
          adaface::alignment_transform(expected[i].face.landmarks, adaface::Mode::reference);
      for (std::size_t r = 0; r < 2; ++r)
        for (std::size_t c = 0; c < 3; ++c) CHECK(m[r][c] == t.m[r][c]);
    }
    adaface_embedding embeddings[3];
    REQUIRE(adaface_embed(embedder.get, views.data(), 3, embeddings) == ADAFACE_OK);
    for (std::size_t i = 0; i < 3; ++i) check_same(embeddings[i], expected[i].embedding);
    CHECK(adaface_embed(embedder.get, nullptr, 0, nullptr) == ADAFACE_OK);
    CHECK(adaface_embed(embedder.get, &view, 1, embeddings) == ADAFACE_INVALID_ARGUMENT);
  }
}

TEST_CASE("a file at once is its picture, read and analysed") {
  EngineHandle engine;
  adaface_engine_options options;
  adaface_engine_options_init(&options, sizeof options);
  const adaface_detector_options detection = easily_pleased();
  options.detection = &detection;
  REQUIRE(adaface_engine_open(model().c_str(), detector().c_str(), &options, &engine.get) == ADAFACE_OK);
  ImageHandle image;
  REQUIRE(adaface_image_read(picture().c_str(), nullptr, &image.get) == ADAFACE_OK);
  adaface_image_view view;
  REQUIRE(adaface_image_get(image.get, &view) == ADAFACE_OK);
  adaface_embedding expected, embedding;
  adaface_face expected_face, face;
  std::size_t expected_count = 0, count = 0;
  REQUIRE(adaface_analyze(engine.get, &view, &expected_face, &expected, 1, &expected_count) == ADAFACE_OK);
  REQUIRE(adaface_analyze_file(engine.get, picture().c_str(), &face, &embedding, 1, &count) == ADAFACE_OK);
  CHECK(count == expected_count);
  REQUIRE(count > 0);
  CHECK(std::memcmp(&face, &expected_face, sizeof face) == 0);
  CHECK(std::memcmp(&embedding, &expected, sizeof embedding) == 0);
  CHECK(adaface_analyze_file(engine.get, "/nowhere.jpg", &face, &embedding, 1, &count) == ADAFACE_NOT_FOUND);
  CHECK(adaface_analyze_file(engine.get, nullptr, &face, &embedding, 1, &count) == ADAFACE_INVALID_ARGUMENT);
  // What somebody forgot to name.
  adaface_engine* none = nullptr;
  CHECK(adaface_engine_open("", detector().c_str(), nullptr, &none) == ADAFACE_INVALID_ARGUMENT);
  CHECK(last_error() == "model: empty path, expected that of an .afw file");
  CHECK(adaface_engine_open(model().c_str(), "", nullptr, &none) == ADAFACE_INVALID_ARGUMENT);
  CHECK(last_error() == "detector: empty path, expected that of an .afw file");
  CHECK(adaface_analyze_file(engine.get, "", &face, &embedding, 1, &count) == ADAFACE_NOT_FOUND);
  CHECK(last_error() == "empty path: expected the name of a file");
  CHECK(count == expected_count);
}

TEST_CASE("options of another size") {
  WeightsHandle weights;
  REQUIRE(adaface_weights_load(detector().c_str(), &weights.get) == ADAFACE_OK);
  struct Later {
    adaface_detector_options known;
    double added[2];
  } later;
  std::memset(&later, 0xFF, sizeof later);
  adaface_detector_options_init(&later.known, sizeof later);
  CHECK(later.known.struct_size == sizeof later);
  CHECK(later.known.min_face == 20);
  CHECK(later.known.pyramid_factor == 0.85);
  CHECK(later.known.score_thresholds[2] == 0.9f);
  CHECK(later.added[0] == 0);
  CHECK(later.added[1] == 0);
  DetectorHandle session;
  CHECK(adaface_detector_create(weights.get, &later.known, &session.get) == ADAFACE_OK);
  later.added[1] = 1;
  adaface_detector* untouched = nullptr;
  CHECK(adaface_detector_create(weights.get, &later.known, &untouched) == ADAFACE_UNSUPPORTED);
  later.known.struct_size = offsetof(adaface_detector_options, device) - 1;
  CHECK(adaface_detector_create(weights.get, &later.known, &untouched) == ADAFACE_INVALID_ARGUMENT);
  later.known.struct_size = 0;
  CHECK(adaface_detector_create(weights.get, &later.known, &untouched) == ADAFACE_INVALID_ARGUMENT);
  CHECK(last_error() == "detector options: struct_size is 0, expected " +
                            std::to_string(offsetof(adaface_detector_options, device)) +
                            " or more: call adaface_detector_options_init first");
  CHECK(untouched == nullptr);
  adaface_detector_options_init(nullptr, 100);
  // Less than all of it: nothing beyond is touched.
  std::memset(&later, 0xFF, sizeof later);
  adaface_detector_options_init(&later.known, offsetof(adaface_detector_options, min_face));
  CHECK(std::isnan(later.known.min_face));
}

namespace {

// Of each kind of session, as _init gives them, the engine's with the detector's in it.
struct AllOptions {
  adaface_detector_options detection = easily_pleased();
  adaface_embedder_options embedding;
  adaface_engine_options all;

  AllOptions() {
    adaface_embedder_options_init(&embedding, sizeof embedding);
    adaface_engine_options_init(&all, sizeof all);
    all.detection = &detection;
  }
  AllOptions(const AllOptions&) = delete;
};

}  // namespace

// Of a caller whose structs end before the fields of devices.
TEST_CASE("options of a caller that knows no devices") {
  WeightsHandle nets, faces;
  REQUIRE(adaface_weights_load(model().c_str(), &nets.get) == ADAFACE_OK);
  REQUIRE(adaface_weights_load(detector().c_str(), &faces.get) == ADAFACE_OK);
  AllOptions options;
  auto& [detection, embedding, all] = options;
  // What lies behind the structs is not theirs; `reserved` may hold anything.
  detection.device = embedding.reserved = embedding.device = all.device = -1;
  detection.device_index = embedding.device_index = all.device_index = -1;
  const auto create = [&](std::size_t less) {
    detection.struct_size = 72 - less;
    embedding.struct_size = 24 - less;
    all.struct_size = 32 - less;
    DetectorHandle d;
    EmbedderHandle e;
    EngineHandle g;
    const adaface_status status = adaface_detector_create(faces.get, &detection, &d.get);
    CHECK(adaface_embedder_create(nets.get, &embedding, &e.get) == status);
    CHECK(adaface_engine_create(nets.get, faces.get, &all, &g.get) == status);
    return status;
  };
  CHECK(create(0) == ADAFACE_OK);
  CHECK(create(1) == ADAFACE_INVALID_ARGUMENT);
}

TEST_CASE("CUDA devices are those of the C++ interface") {
  const std::vector<adaface::DeviceInfo> expected = adaface::cuda_devices();
  REQUIRE(adaface_cuda_device_count() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    adaface_cuda_device_info info{};
    info.struct_size = sizeof info;
    REQUIRE(adaface_cuda_device_get_info(i, &info) == ADAFACE_OK);
    CHECK(info.name == expected[i].name);
    CHECK(info.memory_bytes == expected[i].memory_bytes);
    CHECK(info.device_index == expected[i].device.index);
    CHECK(info.compute_major == expected[i].compute_major);
    CHECK(info.compute_minor == expected[i].compute_minor);
  }
  adaface_cuda_device_info info{};
  info.struct_size = sizeof info;
  CHECK(adaface_cuda_device_get_info(expected.size(), &info) == ADAFACE_INVALID_ARGUMENT);
  CHECK(last_error().starts_with("which is " + std::to_string(expected.size())));
  info.struct_size = sizeof info - 1;
  CHECK(adaface_cuda_device_get_info(0, &info) == ADAFACE_INVALID_ARGUMENT);
}

TEST_CASE("devices and f16: what options say is what a session is asked for") {
  std::int32_t device = 7, index = 7;
  CHECK(adaface_parse_device("cuda:-1", &device, &index) == ADAFACE_INVALID_ARGUMENT);
  CHECK(last_error().starts_with("device is \"cuda:-1\", expected "));
  CHECK((device == 7 && index == 7));
  REQUIRE(adaface_parse_device("cpu", &device, &index) == ADAFACE_OK);
  CHECK((device == ADAFACE_DEVICE_CPU && index == 0));
  REQUIRE(adaface_parse_device("cuda:1023", &device, &index) == ADAFACE_OK);
  CHECK((device == ADAFACE_DEVICE_CUDA && index == 1023));

  WeightsHandle nets, faces;
  REQUIRE(adaface_weights_load(model().c_str(), &nets.get) == ADAFACE_OK);
  REQUIRE(adaface_weights_load(detector().c_str(), &faces.get) == ADAFACE_OK);
  AllOptions options;
  auto& [detection, embedding, all] = options;
  CHECK((detection.device == ADAFACE_DEVICE_CPU && detection.device_index == 0));
  CHECK((embedding.device == ADAFACE_DEVICE_CPU && embedding.device_index == 0));
  CHECK((all.device == ADAFACE_DEVICE_CPU && all.device_index == 0));
  const auto refused = [&](adaface_status expected, const std::string& message) {
    detection.device = embedding.device = all.device = device;
    detection.device_index = embedding.device_index = all.device_index = index;
    DetectorHandle d;
    EmbedderHandle e;
    EngineHandle g;
    CHECK(adaface_detector_create(faces.get, &detection, &d.get) == expected);
    CHECK(last_error().starts_with(message));
    CHECK(adaface_embedder_create(nets.get, &embedding, &e.get) == expected);
    CHECK(last_error().starts_with(message));
    CHECK(adaface_engine_create(nets.get, faces.get, &all, &g.get) == expected);
    CHECK(last_error().starts_with(message));
  };
  refused(ADAFACE_UNSUPPORTED, "cuda:1023: ");  // more than any machine has
  index = 1024;
  refused(ADAFACE_INVALID_ARGUMENT, "device index is 1024, expected 0 to 1023");
  index = -1;
  refused(ADAFACE_INVALID_ARGUMENT, "device index is -1, expected 0 to 1023");
  device = 2;
  refused(ADAFACE_INVALID_ARGUMENT, "device is 2, expected 0 to 1");

  // An engine's own counts, the detection's does not.
  detection.device = ADAFACE_DEVICE_CUDA;
  detection.device_index = 1023;
  all.device = ADAFACE_DEVICE_CPU;
  EngineHandle engine;
  CHECK(adaface_engine_create(nets.get, faces.get, &all, &engine.get) == ADAFACE_OK);

  embedding.device = ADAFACE_DEVICE_CPU;
  embedding.precision = all.precision = ADAFACE_F16;
  EmbedderHandle e;
  EngineHandle g;
  CHECK(adaface_embedder_create(nets.get, &embedding, &e.get) == ADAFACE_UNSUPPORTED);
  CHECK(last_error().starts_with("precision is f16, which is for CUDA devices"));
  CHECK(adaface_engine_create(nets.get, faces.get, &all, &g.get) == ADAFACE_UNSUPPORTED);
  embedding.precision = ADAFACE_F16 + 1;
  CHECK(adaface_embedder_create(nets.get, &embedding, &e.get) == ADAFACE_INVALID_ARGUMENT);
}

TEST_CASE("values out of range and wrong weights are named") {
  WeightsHandle nets, faces;
  REQUIRE(adaface_weights_load(model().c_str(), &nets.get) == ADAFACE_OK);
  REQUIRE(adaface_weights_load(detector().c_str(), &faces.get) == ADAFACE_OK);
  adaface_detector* d = nullptr;
  adaface_embedder* e = nullptr;
  adaface_engine* g = nullptr;
  CHECK(adaface_detector_create(nets.get, nullptr, &d) == ADAFACE_INVALID_ARGUMENT);
  CHECK(last_error().find("ir_18") != std::string::npos);
  CHECK(adaface_embedder_create(faces.get, nullptr, &e) == ADAFACE_INVALID_ARGUMENT);
  adaface_detector_options detection = easily_pleased();
  detection.mode = 2;
  CHECK(adaface_detector_create(faces.get, &detection, &d) == ADAFACE_INVALID_ARGUMENT);
  CHECK(last_error() == "mode is 2, expected 0 to 1");
  adaface_embedder_options embedding;
  adaface_embedder_options_init(&embedding, sizeof embedding);
  embedding.precision = -1;
  CHECK(adaface_embedder_create(nets.get, &embedding, &e) == ADAFACE_INVALID_ARGUMENT);
  embedding.precision = 0;
  embedding.plan = 2;
  CHECK(adaface_embedder_create(nets.get, &embedding, &e) == ADAFACE_INVALID_ARGUMENT);
  embedding.plan = 1;
  embedding.threads = -3;
  CHECK(adaface_embedder_create(nets.get, &embedding, &e) == ADAFACE_INVALID_ARGUMENT);
  adaface_engine_options all;
  adaface_engine_options_init(&all, sizeof all);
  all.faces = 3;
  CHECK(adaface_engine_create(nets.get, faces.get, &all, &g) == ADAFACE_INVALID_ARGUMENT);
  CHECK(adaface_engine_open(model().c_str(), "/nowhere", nullptr, &g) == ADAFACE_NOT_FOUND);
  CHECK((d == nullptr && e == nullptr && g == nullptr));
  float landmarks[5][2] = {{NAN, 0}};
  double m[2][3];
  std::uint8_t crop[ADAFACE_CROP_BYTES];
  CHECK(adaface_alignment_transform(landmarks, ADAFACE_MODE_STANDARD, m) == ADAFACE_INVALID_ARGUMENT);
  CHECK(adaface_align(nullptr, landmarks, ADAFACE_MODE_STANDARD, crop) == ADAFACE_INVALID_ARGUMENT);
  const adaface_image_view wrong_order{crop, 112, 112, 336, 5};
  CHECK(adaface_align(&wrong_order, landmarks, ADAFACE_MODE_STANDARD, crop) == ADAFACE_INVALID_ARGUMENT);
  CHECK(std::isnan(adaface_similarity(nullptr, nullptr)));
}

TEST_CASE("NULL is refused or ignored everywhere") {
  std::size_t count = 0;
  adaface_face face;
  adaface_embedding embedding;
  adaface_image_view view{};
  double matrix;
  std::int32_t device = 0, device_index = 0;
  const adaface_status refused[] = {adaface_parse_device(nullptr, &device, &device_index),
                                    adaface_parse_device("cpu", nullptr, &device_index),
                                    adaface_parse_device("cpu", &device, nullptr),
                                    adaface_cuda_device_get_info(0, nullptr),
                                    adaface_image_read(nullptr, nullptr, nullptr),
                                    adaface_image_get(nullptr, &view),
                                    adaface_image_write(nullptr, nullptr, 90),
                                    adaface_weights_get_info(nullptr, nullptr),
                                    adaface_weights_verify(nullptr),
                                    adaface_detector_create(nullptr, nullptr, nullptr),
                                    adaface_detector_set_progress(nullptr, nullptr, nullptr),
                                    adaface_detect(nullptr, &view, &face, 1, &count),
                                    adaface_embedder_create(nullptr, nullptr, nullptr),
                                    adaface_embedder_prepare(nullptr),
                                    adaface_embedder_set_progress(nullptr, nullptr, nullptr),
                                    adaface_embed(nullptr, &view, 1, &embedding),
                                    adaface_compare(nullptr, 1, nullptr, 1, &matrix),
                                    adaface_engine_open(nullptr, nullptr, nullptr, nullptr),
                                    adaface_engine_create(nullptr, nullptr, nullptr, nullptr),
                                    adaface_engine_set_progress(nullptr, nullptr, nullptr),
                                    adaface_analyze(nullptr, &view, nullptr, nullptr, 0, &count),
                                    adaface_analyze_file(nullptr, "x.jpg", nullptr, nullptr, 0, &count),
                                    adaface_alignment_transform(nullptr, ADAFACE_MODE_STANDARD, nullptr)};
  for (adaface_status status : refused) CHECK(status == ADAFACE_INVALID_ARGUMENT);
  adaface_image_free(nullptr);
  adaface_weights_free(nullptr);
  adaface_detector_free(nullptr);
  adaface_embedder_free(nullptr);
  adaface_engine_free(nullptr);
}

TEST_CASE("a call is stopped by its progress function and the session goes on") {
  EngineHandle engine;
  adaface_engine_options options;
  adaface_engine_options_init(&options, sizeof options);
  options.threads = 2;
  const adaface_detector_options detection = easily_pleased();
  options.detection = &detection;
  REQUIRE(adaface_engine_open(model().c_str(), detector().c_str(), &options, &engine.get) == ADAFACE_OK);
  const std::vector<std::uint8_t> pixels = noise(300, 200);
  const adaface_image_view view{pixels.data(), 300, 200, 900, ADAFACE_RGB};
  std::size_t expected = 0, count = 12345;
  std::vector<adaface_embedding> first(2), second(2);
  REQUIRE(adaface_analyze(engine.get, &view, nullptr, first.data(), 2, &expected) == ADAFACE_OK);
  struct Stop {
    int calls = 0, at = 0;
    double last = 0;
    bool falling = false;
    static int told(void* user, double done) {
      auto& self = *static_cast<Stop*>(user);
      self.falling |= done < self.last || done > 1;
      self.last = done;
      return ++self.calls == self.at;
    }
  };
  Stop whole;
  REQUIRE(adaface_engine_set_progress(engine.get, Stop::told, &whole) == ADAFACE_OK);
  REQUIRE(adaface_analyze(engine.get, &view, nullptr, second.data(), 2, &count) == ADAFACE_OK);
  CHECK(whole.last == 1);
  CHECK_FALSE(whole.falling);
  CHECK(whole.calls >= 20);
  whole = {};
  REQUIRE(adaface_analyze(engine.get, &view, nullptr, nullptr, 0, &count) == ADAFACE_OK);
  CHECK(whole.last == 1);
  for (int at : {1, 2, 5, 10, 20}) {
    Stop stop{.at = at};
    REQUIRE(adaface_engine_set_progress(engine.get, Stop::told, &stop) == ADAFACE_OK);
    count = 12345;
    CHECK(adaface_analyze(engine.get, &view, nullptr, second.data(), 2, &count) == ADAFACE_CANCELLED);
    CHECK(count == 12345);
    CHECK(stop.calls == at);
  }
  REQUIRE(adaface_engine_set_progress(engine.get, nullptr, nullptr) == ADAFACE_OK);
  REQUIRE(adaface_analyze(engine.get, &view, nullptr, second.data(), 2, &count) == ADAFACE_OK);
  CHECK(count == expected);
  CHECK(std::memcmp(first.data(), second.data(), 2 * sizeof first[0]) == 0);
}

TEST_CASE("allocator and log of a process") {
  struct Counter {
    std::atomic<std::int64_t> pieces{0}, bytes{0}, most{0};
    static void* take(void* user, std::size_t bytes, std::size_t alignment) {
      auto& self = *static_cast<Counter*>(user);
      ++self.pieces;
      self.most = std::max<std::int64_t>(self.most, self.bytes += static_cast<std::int64_t>(bytes));
      return std::aligned_alloc(std::max<std::size_t>(alignment, 16), (bytes + 63) / 64 * 64);
    }
    static void give(void* user, void* memory, std::size_t bytes) {
      auto& self = *static_cast<Counter*>(user);
      --self.pieces;
      self.bytes -= static_cast<std::int64_t>(bytes);
      std::free(memory);
    }
  } counter;
  adaface_allocator allocator{sizeof(adaface_allocator), Counter::take, Counter::give, &counter};
  REQUIRE(adaface_set_allocator(&allocator) == ADAFACE_OK);
  {
    ImageHandle image;
    REQUIRE(adaface_image_read(picture().c_str(), nullptr, &image.get) == ADAFACE_OK);
    adaface_image_view view;
    REQUIRE(adaface_image_get(image.get, &view) == ADAFACE_OK);
    CHECK(counter.bytes == view.stride * view.height);
    CHECK(adaface_set_allocator(nullptr) == ADAFACE_INVALID_ARGUMENT);
    CHECK(last_error().find("in use") != std::string::npos);
  }
  CHECK(counter.pieces == 0);
  CHECK(counter.bytes == 0);
  CHECK(counter.most > 0);
  allocator.release = nullptr;
  CHECK(adaface_set_allocator(&allocator) == ADAFACE_INVALID_ARGUMENT);
  CHECK(adaface_set_allocator(nullptr) == ADAFACE_OK);

  std::vector<std::string> messages;
  const auto listen = [](void* user, adaface_log_level level, const char* message) {
    CHECK(level == ADAFACE_LOG_INFO);
    static_cast<std::vector<std::string>*>(user)->push_back(message);
  };
  REQUIRE(adaface_set_log(ADAFACE_LOG_INFO, listen, &messages) == ADAFACE_OK);
  WeightsHandle weights;
  REQUIRE(adaface_weights_load(detector().c_str(), &weights.get) == ADAFACE_OK);
  REQUIRE(messages.size() == 1);
  CHECK(messages[0].find("mtcnn") != std::string::npos);
  CHECK(adaface_set_log(static_cast<adaface_log_level>(9), listen, &messages) == ADAFACE_INVALID_ARGUMENT);
  REQUIRE(adaface_set_log(ADAFACE_LOG_NONE, nullptr, nullptr) == ADAFACE_OK);
  WeightsHandle silent;
  REQUIRE(adaface_weights_load(detector().c_str(), &silent.get) == ADAFACE_OK);
  CHECK(messages.size() == 1);
}
