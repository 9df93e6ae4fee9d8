// Detections against those of the published pipeline.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "src/adaface.hpp"
#include "src/mtcnn/boxes.h"
#include "src/mtcnn/cascade.h"
#include "src/mtcnn/nets.h"
#include "src/nn/cpu_backend.h"
#include "src/nn/open_mp.h"
#include "src/weights_state.h"
#include "tests/cpu.h"
#include "tests/golden.h"
#include "tests/published_detector.h"
#include "tests/synthetic_weights.h"

namespace {

using namespace adaface;
using namespace adaface::testing;
using nlohmann::json;

// A cascade with its trace, which the public Detector does not show.
struct TracedDetector {
  TracedDetector(const Weights& weights, Mode mode, int threads)
      : pool(threads, nn::enter_worker_thread), state(weights.state()) {
    cascade.options.mode = mode;
    cascade.plan(*state);
  }
  nn::ThreadPool pool;
  std::shared_ptr<Weights::State> state;
  mtcnn::Cascade cascade{.options = {}, .pool = pool, .nets = {}, .workers = {}};
};

struct Worst {
  double pixels = 0, score = 0;
  int faces = 0;
};

void compare_face(const Face& face, const json& expected, Worst& worst) {
  const double box[] = {face.box.x1, face.box.y1, face.box.x2, face.box.y2};
  for (std::size_t i = 0; i < 4; ++i)
    worst.pixels = std::max(worst.pixels, std::abs(box[i] - expected["box"][i].get<double>()));
  for (std::size_t i = 0; i < 5; ++i) {
    worst.pixels =
        std::max(worst.pixels, std::abs(face.landmarks[i].x - expected["landmarks"][i].get<double>()));
    worst.pixels =
        std::max(worst.pixels, std::abs(face.landmarks[i].y - expected["landmarks"][i + 5].get<double>()));
  }
  worst.score = std::max(worst.score, std::abs(face.score - expected["score"].get<double>()));
  ++worst.faces;
}

void compare_image(TracedDetector& detector, const Image& image, const json& expected, Worst& worst) {
  mtcnn::Trace trace;
  const std::vector<Face> faces = detector.cascade.detect(image, &trace);
  REQUIRE(trace.levels.size() == expected["pnet"].size());
  for (std::size_t i = 0; i < trace.levels.size(); ++i) {
    CHECK(trace.levels[i].first == doctest::Approx(expected["pnet"][i][0].get<double>()).epsilon(1e-8));
    CHECK(trace.levels[i].second == expected["pnet"][i][1].get<int>());
  }
  CHECK(trace.rnet_inputs == expected["rnet_in"].get<int>());
  CHECK(trace.onet_inputs == expected["onet_in"].get<int>());
  // Same count and same order: the scores are matched one to one.
  REQUIRE(faces.size() == expected["faces"].size());
  for (std::size_t i = 0; i < faces.size(); ++i) compare_face(faces[i], expected["faces"][i], worst);
}

bool same_faces(const std::vector<Face>& a, const std::vector<Face>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Face)) == 0);
}

}  // namespace

TEST_CASE("faces and candidates equal the published ones, both modes") {
  const std::filesystem::path weights = published_detector();
  if (weights.empty()) return;
  const Weights file = Weights::load(weights);
  const std::filesystem::path shared = shared_directory();
  for (const auto& [golden, images] :
       {std::pair{"mtcnn.json", "images"}, {"synthetic_faces.json", "synthetic_faces/png"}}) {
    const json expected = read_json(shared / "golden" / golden);
    for (const Mode mode : {Mode::reference, Mode::standard}) {
      TracedDetector detector(file, mode, 2);
      Worst worst;
      for (const json& image : expected["images"]) {
        const std::string name = image["file"];
        CAPTURE(name);
        const Image picture = read_image(shared / images / name, {.apply_orientation = false});
        compare_image(detector, picture, image[mode == Mode::reference ? "width" : "class"], worst);
      }
      std::printf("%s, %s mode: %d faces, worst %.4f px, score %.1e\n", golden,
                  mode == Mode::reference ? "reference" : "standard", worst.faces, worst.pixels, worst.score);
      CHECK(worst.pixels <= 0.05);
      CHECK(worst.score <= 1e-4);
      CHECK(worst.faces >= 20);
    }
  }
}

namespace {

// The goldens' landmarks and ours differ by the last bit of a float32 coordinate, in either direction, as the
// order of summation in the convolutions has it. Where that carries a sample of the warp over a boundary of
// its 1/32 pixel grid, the sample changes by at most 255 / 32 < 8 levels. With the order of the AVX-512
// convolutions none changes by more than 3.
bool has_avx512() {
  return adaface::testing::kernels_isa() >= adaface::testing::Isa::avx512;
}

}  // namespace

TEST_CASE("photograph to crop, end to end") {
  const std::filesystem::path weights = published_detector();
  if (weights.empty()) return;
  const std::filesystem::path shared = shared_directory();
  const json expected = read_json(shared / "golden" / "mtcnn.json");
  Detector reference(Weights::load(weights), {.mode = Mode::reference});
  Detector standard(Weights::load(weights), {.mode = Mode::standard});
  long long sum = 0, samples = 0;
  int greatest = 0, crops = 0;
  for (const json& image : expected["images"]) {
    const Image picture = read_image(shared / "images" / image["file"].get<std::string>());
    for (const char* kind : {"width", "class"}) {
      const std::vector<Face> faces =
          (std::strcmp(kind, "width") == 0 ? reference : standard).detect(picture);
      REQUIRE(faces.size() == image[kind]["faces"].size());
      for (std::size_t i = 0; i < faces.size(); ++i, ++crops) {
        // The goldens' crops were aligned as published in both cases; none of these faces is mirrored.
        const Image crop = align_face(picture, faces[i].landmarks, Mode::reference);
        const Image golden =
            read_image(shared / "golden" / "crops" / image[kind]["faces"][i]["crop"].get<std::string>());
        for (int y = 0; y < kCropSize; ++y)
          for (std::size_t x = 0; x < crop.stride(); ++x, ++samples) {
            const int difference = std::abs(crop.row(y)[x] - golden.row(y)[x]);
            sum += difference;
            greatest = std::max(greatest, difference);
          }
      }
    }
  }
  const double mean = static_cast<double>(sum) / static_cast<double>(samples);
  std::printf("%d crops from photographs: mean difference %.5f, greatest %d levels\n", crops, mean, greatest);
  CHECK(crops >= 16);
  CHECK(mean <= 0.05);
  // One sample of the last crop reaches 4 where sums are taken in fewer parts; 255/32 bounds it
  // (docs/numerics.md).
  CHECK(greatest <= (has_avx512() ? 3 : 4));
}

TEST_CASE("any number of threads finds the same faces") {
  const std::filesystem::path weights = published_detector();
  if (weights.empty()) return;
  const Weights file = Weights::load(weights);
  const Image group = read_image(source_root() / "tests/data/synthetic_faces/group.jpg");
  const std::vector<Face> expected = Detector(file, {.threads = 1}).detect(group);
  CHECK(expected.size() == 13);
  for (const int threads : {2, 3, 7})
    CHECK(same_faces(Detector(file, {.threads = threads}).detect(group), expected));
}

TEST_CASE("a picture too large to be kept packed gives the same faces") {
  const std::filesystem::path weights = published_detector();
  if (weights.empty()) return;
  const Weights file = Weights::load(weights);
  const Image group = read_image(source_root() / "tests/data/synthetic_faces/group.jpg");
  const std::vector<Face> expected = Detector(file, {.threads = 1}).detect(group);
  for (const int threads : {1, 3}) {
    TracedDetector detector(file, Mode::standard, threads);
    detector.cascade.most_kept_pixels = 0;
    CHECK(same_faces(detector.cascade.detect(group, nullptr), expected));
  }
}

TEST_CASE("a BGR view finds the same faces") {
  const std::filesystem::path weights = published_detector();
  if (weights.empty()) return;
  Detector detector(Weights::load(weights), {.threads = 1});
  const Image rgb = read_image(source_root() / "tests/data/synthetic_faces/stranger.jpg");
  Image swapped = rgb;
  for (int y = 0; y < swapped.height(); ++y)
    for (int x = 0; x < swapped.width(); ++x) std::swap(swapped.row(y)[3 * x], swapped.row(y)[3 * x + 2]);
  ImageView bgr = swapped;
  bgr.order = ChannelOrder::bgr;
  CHECK_FALSE(detector.detect(rgb).empty());
  CHECK(same_faces(detector.detect(bgr), detector.detect(rgb)));
}

TEST_CASE("no face is a result") {
  const std::filesystem::path weights = published_detector();
  if (weights.empty()) return;
  const Weights file = Weights::load(weights);
  for (const Mode mode : {Mode::standard, Mode::reference}) {
    Detector detector(file, {.mode = mode, .threads = 1});
    CHECK(detector.detect(read_image(source_root() / "tests/data/synthetic_faces/no_face.jpg")).empty());
    for (const auto& [width, height] :
         {std::pair{1, 1}, {19, 19}, {20, 20}, {21, 21}, {10, 2000}, {2000, 10}, {21, 3000}})
      CHECK(detector.detect(Image(width, height)).empty());
  }
}

// A face must be found wherever the tiles' seams fall.
TEST_CASE("tiles leave no seam") {
  const std::filesystem::path weights = published_detector();
  if (weights.empty()) return;
  const Weights file = Weights::load(weights);
  const Image face = read_image(source_root() / "tests/data/synthetic_faces/stranger.jpg");
  Detector detector(file, {.threads = 1});
  const std::size_t alone = detector.detect(face).size();
  for (const int shift : {0, 37, 74, 111}) {
    Image canvas(face.width() + 200, face.height() + 200);
    for (int y = 0; y < face.height(); ++y)
      std::memcpy(canvas.row(y + shift) + 3 * shift, face.row(y), face.stride());
    CHECK(detector.detect(canvas).size() == alone);
  }
}

TEST_CASE("options out of range are named") {
  const Scratch scratch("test-detector-options");
  write_weights(weights::Architecture::mtcnn, scratch.path / "m.afw");
  write_weights(weights::Architecture::ir_18, scratch.path / "e.afw");
  const Weights file = Weights::load(scratch.path / "m.afw");
  const auto message = [&](const DetectorOptions& options) {
    try {
      Detector detector(file, options);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      return std::string(error.what());
    }
    return std::string();
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(message({.min_face = 11}).starts_with("min_face is 11"));
  CHECK(message({.min_face = nan}).starts_with("min_face is nan"));
  CHECK(message({.pyramid_factor = 1}).starts_with("pyramid_factor is 1"));
  CHECK(message({.pyramid_factor = 0}).starts_with("pyramid_factor is 0"));
  CHECK(message({.score_thresholds = {0.6f, 1.0f, 0.9f}}).starts_with("score threshold is 1"));
  CHECK(message({.threads = -5}).starts_with("threads is -5"));
  CHECK(message({.threads = 1025}).starts_with("threads is 1025"));
  CHECK(message({.overlap_thresholds = {0.7, 0.7, nan}}).starts_with("overlap threshold is nan"));
  CHECK(message({}).empty());
  CHECK_THROWS_WITH_AS(
      Detector(Weights::load(scratch.path / "e.afw")),
      (io::printable(scratch.path / "e.afw") + ": holds ir_18, expected the detector's mtcnn").c_str(),
      Error);
}

// Weights are data from outside too: whatever finite values they hold, the boxes they lead to must not hurt.
TEST_CASE("absurd weights are survived") {
  const Scratch scratch("test-detector-absurd");
  const Image noise = read_image(source_root() / "tests/data/synthetic_faces/stranger.jpg");
  for (const float factor : {1.0f, 1e4f, -1e10f, 1e30f}) {
    const std::filesystem::path path = scratch.path / "absurd.afw";
    write_weights(weights::Architecture::mtcnn, path, weights::DataType::f32,
                  [&](const weights::TensorRow&, auto& values) {
                    for (float& value : values) value *= factor;
                  });
    DetectorOptions options{.min_face = 60, .score_thresholds = {0.01f, 0.01f, 0.01f}, .threads = 1};
    for (const Face& face : Detector(Weights::load(path), options).detect(noise)) CHECK(face.score > 0.01f);
  }
}

TEST_CASE("suppression equals its definition") {
  constexpr unsigned kSeed = 7;
  std::printf("suppression: seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  for (int round = 0; round < 40; ++round) {
    std::vector<mtcnn::Candidate> candidates;
    for (int i = 0; i < 300; ++i) {
      const double x = uniform(-50, 400), y = uniform(-50, 400), side = std::exp(uniform(0, 6));
      candidates.push_back(
          {x, y, x + side, y + side * uniform(0.3, 2), static_cast<float>(uniform(0, 1)), {}, {}});
    }
    // What only broken weights give.
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    candidates.push_back({-kInfinity, 0, kInfinity, 9, 0.5f, {}, {}});
    candidates.push_back({std::nan(""), 0, 9, 9, 0.6f, {}, {}});
    candidates.push_back({100, 100, 50, 50, 0.7f, {}, {}});
    candidates.push_back({-1e30, -1e30, 1e30, 1e30, 0.8f, {}, {}});
    for (const auto overlap : {mtcnn::Overlap::over_union, mtcnn::Overlap::over_smaller}) {
      std::vector<mtcnn::Candidate> left, expected;
      for (const mtcnn::Candidate& c : candidates)  // in descending score, equal ones as they came
        left.insert(std::ranges::upper_bound(left, c.score, std::greater{}, &mtcnn::Candidate::score), c);
      for (; !left.empty(); expected.push_back(left.front()), left.erase(left.begin()))
        std::erase_if(left, [&](const mtcnn::Candidate& c) {
          const mtcnn::Candidate& best = left.front();
          const double both = std::max(0.0, std::min(best.x2, c.x2) - std::max(best.x1, c.x1) + 1) *
                              std::max(0.0, std::min(best.y2, c.y2) - std::max(best.y1, c.y1) + 1);
          const double a = best.width() * best.height(), b = c.width() * c.height();
          const double whole = overlap == mtcnn::Overlap::over_union ? a + b - both : std::min(a, b);
          return &c != &best && both / whole > 0.5;
        });
      const std::vector<mtcnn::Candidate> found = mtcnn::suppress(candidates, 0.5, overlap);
      REQUIRE(found.size() == expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i].score == expected[i].score);
    }
  }
}

TEST_CASE("suppression takes equal scores in the published order") {
  std::vector<mtcnn::Candidate> candidates;
  for (int i = 0; i < 60; ++i)
    candidates.push_back({20.0 * i, 0, 20.0 * i + 9, 9, static_cast<float>(i * 7 % 5) / 8, {}, {}});
  // numpy.argsort([(i * 7 % 5) / 8 for i in range(60)])[::-1], NumPy 1.24
  const std::vector<int> expected = {17, 12, 42, 32, 27, 22, 47, 37, 52, 7,  2,  57, 14, 39, 19,
                                     9,  24, 4,  34, 59, 29, 54, 49, 44, 16, 46, 36, 1,  41, 56,
                                     31, 6,  26, 21, 11, 51, 13, 38, 53, 3,  8,  48, 18, 23, 33,
                                     43, 58, 28, 45, 10, 25, 40, 20, 30, 5,  55, 50, 15, 35, 0};
  std::vector<int> order;
  for (const mtcnn::Candidate& candidate : mtcnn::suppress(candidates, 0.5, mtcnn::Overlap::over_union))
    order.push_back(static_cast<int>(candidate.x1 / 20));
  CHECK(order == expected);
}

TEST_CASE("selection") {
  const Face small{{0, 0, 9, 9}, 0.99f, {}}, large{{0, 0, 99, 99}, 0.95f, {}},
      other{{5, 5, 104, 104}, 0.91f, {}};
  const std::vector<Face> faces = {small, large, other};
  CHECK(same_faces(select_faces(faces, FaceSelection::all), faces));
  CHECK(same_faces(select_faces(faces, FaceSelection::best), {small}));
  CHECK(same_faces(select_faces(faces, FaceSelection::largest), {large}));
  CHECK(select_faces({}, FaceSelection::best).empty());
}
