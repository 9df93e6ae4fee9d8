// The cascade on a CUDA device against the CPU's and the published pipeline's; crops; what interrupts it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "src/mtcnn/cuda_cascade.h"
#include "src/nn/cuda_device.h"
#include "src/weights_state.h"
#include "tests/cuda_main.h"
#include "tests/cuda_memory.h"
#include "tests/noise.h"
#include "tests/golden.h"
#include "tests/published_detector.h"
#include "tests/synthetic_weights.h"
#if defined(ADAFACE_EMULATED)
#include "tests/cuda_emulation/cuda_runtime.h"
#endif

namespace {

using namespace adaface;
using namespace adaface::testing;
using adaface::nn::cuda::DeviceMemory;
using nlohmann::json;

constexpr unsigned kSeed = 20261125;

const Device kCuda{DeviceKind::cuda, 0};

// Random ones, which find something everywhere.
Weights random_weights() {
  static const Scratch scratch("test-cuda-cascade-random");
  const std::filesystem::path path = scratch.path / "random.afw";
  if (!std::filesystem::exists(path)) write_weights(weights::Architecture::mtcnn, path);
  return Weights::load(path);
}

std::unique_ptr<mtcnn::CudaCascade> cascade(const Weights& weights, DetectorOptions options,
                                            const mtcnn::CudaCascadeLimits& limits = {}) {
  options.device = kCuda;
  return mtcnn::cuda_cascade(*weights.state(), options, limits);
}

bool same_faces(const std::vector<Face>& a, const std::vector<Face>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Face)) == 0);
}

// Greatest difference of a coordinate; the same faces in the same order.
double difference(const std::vector<Face>& a, const std::vector<Face>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto numbers = [](const Face& f) {
      std::vector<double> all{f.box.x1, f.box.y1, f.box.x2, f.box.y2};
      for (const Point& point : f.landmarks) all.insert(all.end(), {point.x, point.y});
      return all;
    };
    const std::vector<double> left = numbers(a[i]), right = numbers(b[i]);
    for (std::size_t k = 0; k < left.size(); ++k) worst = std::max(worst, std::abs(left[k] - right[k]));
    CHECK(std::abs(a[i].score - b[i].score) <= 1e-4);
  }
  return worst;
}

Face golden_face(const json& expected) {
  const auto number = [&](const char* key, std::size_t i) { return expected[key][i].get<float>(); };
  Face face{{number("box", 0), number("box", 1), number("box", 2), number("box", 3)},
            expected["score"].get<float>(),
            {}};
  for (std::size_t i = 0; i < 5; ++i)
    face.landmarks[i] = {number("landmarks", i), number("landmarks", i + 5)};
  return face;
}

}  // namespace

// The larger pictures take the emulation minutes: ADAFACE_CUDA_EVERYTHING=1.
TEST_CASE("faces and candidates equal the published ones, both modes") {
  const std::filesystem::path weights = published_detector();
  if (weights.empty()) return;
  const Weights file = Weights::load(weights);
  const std::filesystem::path shared = shared_directory();
  const bool all = !is_emulated() || std::getenv("ADAFACE_CUDA_EVERYTHING");
  const long long most_pixels = all ? 1LL << 40 : 64'000;
  for (const auto& [golden, images] :
       {std::pair{"mtcnn.json", "images"}, {"synthetic_faces.json", "synthetic_faces/png"}}) {
    const json expected = read_json(shared / "golden" / golden);
    for (const Mode mode : {Mode::reference, Mode::standard}) {
      const auto detector = cascade(file, {.mode = mode});
      double worst = 0;
      int faces = 0, pictures = 0;
      for (const json& image : expected["images"]) {
        const std::string name = image["file"];
        CAPTURE(name);
        if (!std::filesystem::exists(shared / images / name)) continue;  // of a pack
        const Image picture = read_image(shared / images / name, {.apply_orientation = false});
        if (static_cast<long long>(picture.width()) * picture.height() > most_pixels) continue;
        const json& found = image[mode == Mode::reference ? "width" : "class"];
        mtcnn::Trace trace;
        std::vector<Face> golden_faces;
        for (const json& face : found["faces"]) golden_faces.push_back(golden_face(face));
        const std::vector<Face> mine = detector->detect(picture, &trace);
        REQUIRE(trace.levels.size() == found["pnet"].size());
        for (std::size_t i = 0; i < trace.levels.size(); ++i)
          CHECK(trace.levels[i].second == found["pnet"][i][1].get<int>());
        CHECK(trace.rnet_inputs == found["rnet_in"].get<int>());
        CHECK(trace.onet_inputs == found["onet_in"].get<int>());
        worst = std::max(worst, difference(mine, golden_faces));
        faces += static_cast<int>(mine.size());
        ++pictures;
      }
      CHECK(pictures > 0);
      std::printf("%s, %s mode: %d faces of %d pictures, worst %.5f px\n", golden,
                  mode == Mode::reference ? "reference" : "standard", faces, pictures, worst);
      CHECK(worst <= 0.1);
    }
  }
}

namespace {

// A small picture on which random weights find something at every stage.
const DetectorOptions kEverywhere{
    .min_face = 28, .pyramid_factor = 0.6, .score_thresholds = {0.5f, 0.3f, 0.3f}};

Image small_picture() {
  return noise(61, 53, kSeed);
}

}  // namespace

TEST_CASE("the detector on a device finds what the CPU's finds") {
  const std::filesystem::path weights = published_detector();
  if (weights.empty()) return;
  const Weights file = Weights::load(weights);
  const std::filesystem::path path = shared_directory() / "synthetic_faces/png/stranger.png";
  if (!have(path)) return;
  const Image picture = resize_image(read_image(path), 240, 180);
  ImageView view = picture;
  for (const Mode mode : {Mode::standard, Mode::reference})
    for (const ChannelOrder order : {ChannelOrder::rgb, ChannelOrder::bgr}) {
      view.order = order;
      Detector cpu(file, {.mode = mode, .threads = 1}), on(file, {.mode = mode, .device = kCuda});
      const std::vector<Face> expected = cpu.detect(view), found = on.detect(view);
      if (order == ChannelOrder::rgb) CHECK(!expected.empty());
      CHECK(difference(found, expected) <= 0.1);
    }
}

TEST_CASE("no face is a result") {
  for (const Mode mode : {Mode::standard, Mode::reference}) {
    const auto detector =
        cascade(random_weights(), {.mode = mode, .score_thresholds = {0.6f, 0.999f, 0.999f}});
    for (const auto& [width, height] :
         {std::pair{1, 1}, {19, 19}, {20, 20}, {21, 21}, {10, 200}, {200, 10}, {21, 301}})
      CHECK(detector->detect(noise(width, height, kSeed), nullptr).empty());
  }
}

TEST_CASE("limits and schedules of threads change no bit") {
  const Weights file = random_weights();
  const Image picture = small_picture();
  for (const Mode mode : {Mode::standard, Mode::reference}) {
    DetectorOptions options = kEverywhere;
    options.mode = mode;
    if (mode == Mode::reference) options.score_thresholds[0] = 0.03f;
    const std::vector<Face> expected = cascade(file, options)->detect(picture, nullptr);
    CHECK(expected.size() >= 2);
    for (const mtcnn::CudaCascadeLimits& limits : {mtcnn::CudaCascadeLimits{.proposals = 1},
                                                   {.strip_bytes = 1},
                                                   {.strip_bytes = 1000},
                                                   {.wave_bytes = 1},
                                                   {.wave_bytes = 50'000},
                                                   {.batch_bytes = 1},
                                                   {.batch_bytes = 500'000}}) {
      CAPTURE(limits.proposals);
      CAPTURE(limits.strip_bytes);
      CAPTURE(limits.wave_bytes);
      CAPTURE(limits.batch_bytes);
      const auto detector = cascade(file, options, limits);
      CHECK(same_faces(detector->detect(picture, nullptr), expected));
    }
#if defined(ADAFACE_EMULATED)
    const auto detector = cascade(file, options);
    for (const unsigned schedule : {1u, 7u, 8u}) {
      emulation::set_schedule(schedule);
      CHECK(same_faces(detector->detect(picture, nullptr), expected));
    }
    emulation::set_schedule(0);
#endif
  }
}

TEST_CASE("pictures of any size follow one another") {
  const Weights file = random_weights();
  const auto detector = cascade(file, kEverywhere);
  for (const auto& [width, height] : {std::pair{67, 59}, {31, 90}, {30, 30}, {120, 41}, {3, 3}, {67, 59}}) {
    const Image picture = noise(width, height, kSeed);
    CHECK(
        same_faces(detector->detect(picture, nullptr), cascade(file, kEverywhere)->detect(picture, nullptr)));
  }
}

#if defined(ADAFACE_EMULATED)
TEST_CASE("a lack of memory is an error, leaks nothing and passes") {
  const std::size_t before = emulation::allocated();
  {
    const Weights file = random_weights();
    const Image picture = small_picture();
    const std::vector<Face> expected = cascade(file, kEverywhere)->detect(picture, nullptr);
    const mtcnn::CudaCascadeLimits limits{.proposals = 1, .batch_bytes = 500'000};
    int failures = 0;
    for (bool done = false; !done; ++failures) {
      std::unique_ptr<mtcnn::CudaCascade> detector;
      emulation::fail_allocation(failures);
      try {
        detector = cascade(file, kEverywhere, limits);
        const std::vector<Face> found = detector->detect(picture, nullptr);
        CHECK(same_faces(found, expected));
        done = true;
      } catch (const Error& error) {
        CAPTURE(failures);
        CAPTURE(error.what());
        CHECK(error.code() == ErrorCode::out_of_memory);
        CHECK(std::string(error.what()).find("MiB") != std::string::npos);
      }
      emulation::fail_allocation(-1);
      if (detector) CHECK(same_faces(detector->detect(picture, nullptr), expected));
      if (!detector) CHECK(emulation::allocated() == before);
    }
    std::printf("%d allocations failed in turn\n", failures - 1);
    CHECK(failures > 8);

    // More than the device has: refused before anything is enqueued, and the session goes on.
    const auto detector = cascade(file, kEverywhere);
    emulation::set_memory(emulation::allocated() + (std::size_t{4} << 20));
    CHECK_THROWS_WITH_AS(detector->detect(Image(3000, 2000), nullptr),
                         doctest::Contains("a picture of 3000x2000"), Error);
    CHECK(same_faces(detector->detect(picture, nullptr), expected));
    emulation::set_memory(std::size_t{8} << 30);
  }
  CHECK(emulation::allocated() == before);
}

TEST_CASE("sessions share weights on the device") {
  const Weights file = random_weights();
  const std::size_t before = emulation::allocated();
  const auto first = cascade(file, kEverywhere);
  const std::size_t one = emulation::allocated() - before;
  const auto second = cascade(file, kEverywhere);
  CHECK(one > 1 << 20);
  CHECK(emulation::allocated() - before == one);
}
#endif

TEST_CASE("crops on the device are align_face's") {
  const Image picture = noise(211, 157, kSeed);
  ImageView bgr = picture;
  bgr.order = ChannelOrder::bgr;
  const auto detector =
      cascade(random_weights(), {.min_face = 100, .score_thresholds = {0.99f, 0.99f, 0.99f}});
  std::mt19937 random(kSeed);
  std::uniform_real_distribution<float> jitter(-9, 9);
  std::vector<std::array<Point, 5>> faces(67);
  std::vector<Transform> transforms;
  for (auto& face : faces) {
    face = {{{70, 60}, {120, 61}, {95, 85}, {74, 110}, {118, 111}}};
    for (Point& point : face) point.x += jitter(random), point.y += jitter(random);
    transforms.push_back(alignment_transform(face));
  }
  constexpr std::size_t kCropBytes = std::size_t{kCropSize} * kCropSize * 3;
  const DeviceMemory crops(faces.size() * kCropBytes, "test");
  for (const ImageView& view : {ImageView(picture), bgr}) {
    detector->detect(view, nullptr);
    detector->align(transforms, crops.as<std::uint8_t>());
    const auto bytes = fetch<std::uint8_t>(detector->stream(), crops);
    int wrong = 0;
    for (std::size_t i = 0; i < faces.size(); ++i)
      wrong += std::memcmp(bytes.data() + i * kCropBytes, align_face(view, faces[i]).row(0), kCropBytes) != 0;
    CHECK(wrong == 0);
  }
}

TEST_CASE("progress never falls, ends at one, and stops where it is told to") {
  const Weights file = random_weights();
  const Image picture = small_picture();
  const auto detector =
      cascade(file, kEverywhere, {.strip_bytes = 4000, .wave_bytes = 1, .batch_bytes = 500'000});
  std::vector<double> reports;
  detector->progress.set([&](double done) {
    reports.push_back(done);
    return true;
  });
  const std::vector<Face> expected = detector->detect(picture, nullptr);
  CHECK(std::ranges::is_sorted(reports));
  CHECK(reports.size() >= 6);
  CHECK(reports.back() == 1.0);
  for (std::size_t stop = 0; stop < reports.size(); ++stop) {
    std::size_t calls = 0;
    detector->progress.set([&](double) { return calls++ != stop; });
    try {
      detector->detect(picture, nullptr);
      FAIL("went on");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::cancelled);
    }
    detector->progress.set({});
    CHECK(same_faces(detector->detect(picture, nullptr), expected));
  }
}

TEST_CASE("absurd weights are survived") {
  const Scratch scratch("test-cuda-cascade-absurd");
  for (const float factor : {1e4f, -1e10f, 1e30f})
    for (const Mode mode : {Mode::standard, Mode::reference}) {
      const std::filesystem::path path = scratch.path / "absurd.afw";
      write_weights(weights::Architecture::mtcnn, path, weights::DataType::f32,
                    [&](const weights::TensorRow&, auto& values) {
                      for (float& value : values) value *= factor;
                    });
      DetectorOptions options{.mode = mode, .min_face = 24, .score_thresholds = {0.01f, 0.01f, 0.01f}};
      for (const Face& face : cascade(Weights::load(path), options)->detect(small_picture(), nullptr))
        CHECK(face.score > 0.01f);
    }
}
