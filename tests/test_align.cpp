#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "kernels/kernels.h"
#include "src/adaface.hpp"
#include "src/align/warp.h"
#include "tests/golden.h"
#include "tests/noise.h"

namespace {

namespace fs = std::filesystem;
using adaface::Image;
using adaface::ImageView;
using adaface::Mode;
using adaface::Point;
using adaface::Transform;
using Json = nlohmann::json;

using adaface::testing::noise;
using adaface::testing::have;
using adaface::testing::read_json;
using adaface::testing::shared_directory;

std::array<Point, 5> landmarks_of(const Json& values) {
  std::array<Point, 5> points;
  for (int i = 0; i < 5; ++i) points[i] = {values[i].get<float>(), values[i + 5].get<float>()};
  return points;
}

// Greatest difference over greatest element, rotation and translation apart: translations are larger.
double relative_error(const Transform& transform, const std::array<double, 6>& expected) {
  double worst = 0;
  for (const bool translation : {false, true}) {
    double difference = 0, size = 0;
    for (int i = 0; i < 6; ++i) {
      if ((i % 3 == 2) != translation) continue;
      difference = std::max(difference, std::abs(transform.m[i / 3][i % 3] - expected[i]));
      size = std::max(size, std::abs(expected[i]));
    }
    worst = std::max(worst, difference / size);
  }
  return worst;
}

struct Fit {
  int faces = 0;
  double worst = 0;
};

// The golden landmarks are rounded to nine digits, their transforms too.
Fit compare_transforms(const Json& golden) {
  Fit fit;
  for (const Json& image : golden["images"]) {
    for (const char* softmax : {"width", "class"}) {
      for (const Json& face : image[softmax]["faces"]) {
        const Transform transform =
            adaface::alignment_transform(landmarks_of(face["landmarks"]), Mode::reference);
        fit.worst =
            std::max(fit.worst, relative_error(transform, face["transform"].get<std::array<double, 6>>()));
        ++fit.faces;
      }
    }
  }
  return fit;
}

int differing_samples(const Image& a, const Image& b, int& greatest) {
  int count = 0;
  for (int y = 0; y < a.height(); ++y) {
    for (std::size_t i = 0; i < a.stride(); ++i) {
      const int difference = std::abs(a.row(y)[i] - b.row(y)[i]);
      greatest = std::max(greatest, difference);
      count += difference != 0;
    }
  }
  return count;
}

}  // namespace

TEST_CASE("transforms equal the published ones") {
  for (const char* name : {"mtcnn.json", "synthetic_faces.json"}) {
    const fs::path path = shared_directory() / "golden" / name;
    if (!have(path)) continue;
    const Fit fit = compare_transforms(read_json(path));
    std::printf("%s: %d transforms, greatest relative error %.2g\n", name, fit.faces, fit.worst);
    CHECK(fit.faces >= 16);
    CHECK(fit.worst <= 1e-6);
  }
}

// Expected values: the published formula transcribed to numpy, in float64 from float32 points.
TEST_CASE("a strong profile is mirrored in reference mode only") {
  const std::array<Point, 5> profile{{{106, 48}, {123, 48}, {63, 100}, {105, 157}, {119, 157}}};
  const std::array<double, 6> mirrored = {-0.6869811023090177,  -0.012504880750148214, 128.19810649983518,
                                          -0.01250488075014821, 0.6869811023090175,    3.1192125078955875};
  const std::array<double, 6> plain = {0.5468178449840471,    0.013390347102089362, -1.7712581017373596,
                                       -0.013390347102089507, 0.5468178449840471,   17.507244882562713};
  const Transform reference = adaface::alignment_transform(profile, Mode::reference);
  const Transform standard = adaface::alignment_transform(profile, Mode::standard);
  CHECK(relative_error(reference, mirrored) <= 1e-9);
  CHECK(relative_error(standard, plain) <= 1e-9);
  const auto determinant = [](const Transform& t) { return t.m[0][0] * t.m[1][1] - t.m[0][1] * t.m[1][0]; };
  CHECK(determinant(reference) < 0);
  CHECK(determinant(standard) > 0);
}

TEST_CASE("the template aligns to itself, scaled and moved") {
  const float points[5][2] = {{38.29459953f, 51.69630051f},
                              {73.53179932f, 51.50139999f},
                              {56.02519989f, 71.73660278f},
                              {41.54930115f, 92.3655014f},
                              {70.72990036f, 92.20410156f}};
  std::array<Point, 5> landmarks;
  for (int i = 0; i < 5; ++i) landmarks[i] = {points[i][0] * 2 + 16, points[i][1] * 2 - 8};
  for (const Mode mode : {Mode::standard, Mode::reference}) {
    const Transform t = adaface::alignment_transform(landmarks, mode);
    CHECK(relative_error(t, {0.5, 0, -8, 0, 0.5, 4}) <= 1e-6);
  }
}

TEST_CASE("landmarks that fix no transform are refused") {
  std::array<Point, 5> points{{{1, 2}, {3, 4}, {5, 6}, {7, 9}, {8, 11}}};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    auto broken = points;
    broken[3].y = bad;
    CHECK_THROWS_AS(adaface::alignment_transform(broken), adaface::Error);
  }
  for (const Point at : {Point{0, 0}, Point{50, 60}, Point{12345.678f, -3e6f}}) {
    points.fill(at);
    for (const Mode mode : {Mode::standard, Mode::reference}) {
      try {
        adaface::alignment_transform(points, mode);
        FAIL("coinciding landmarks were accepted");
      } catch (const adaface::Error& error) {
        CHECK(error.code() == adaface::ErrorCode::invalid_argument);
      }
    }
  }
}

TEST_CASE("crops equal the published ones") {
  const fs::path shared = shared_directory();
  if (!have(shared / "golden" / "mtcnn.json")) return;
  const Json golden = read_json(shared / "golden" / "mtcnn.json");
  int faces = 0, differing = 0, greatest = 0, aligned_differing = 0, aligned_greatest = 0;
  for (const Json& entry : golden["images"]) {
    const Image image = adaface::read_image(shared / "images" / entry["file"].get<std::string>());
    for (const char* softmax : {"width", "class"}) {
      for (const Json& face : entry[softmax]["faces"]) {
        const Image expected =
            adaface::read_image(shared / "golden" / "crops" / face["crop"].get<std::string>());
        const auto m = face["transform"].get<std::array<double, 6>>();
        const Transform transform{{{{m[0], m[1], m[2]}, {m[3], m[4], m[5]}}}};
        Image crop(adaface::kCropSize, adaface::kCropSize);
        adaface::warp(image, transform, crop.width(), crop.height(), crop.row(0));
        differing += differing_samples(crop, expected, greatest);
        const Image aligned = adaface::align_face(image, landmarks_of(face["landmarks"]), Mode::reference);
        aligned_differing += differing_samples(aligned, expected, aligned_greatest);
        ++faces;
      }
    }
  }
  std::printf(
      "%d crops: %d samples differ with the golden transforms (by %d at most), "
      "%d with our own from the golden landmarks (by %d)\n",
      faces, differing, greatest, aligned_differing, aligned_greatest);
  CHECK(faces >= 16);
  CHECK(differing == 0);
  CHECK(aligned_greatest <= 1);
}

TEST_CASE("warp: identity, outside, far away, channel order") {
  const Image image = noise(37, 29, 5);
  const Transform identity{{{{1, 0, 0}, {0, 1, 0}}}};
  Image out(37, 29);
  int greatest = 0;
  adaface::warp(image, identity, 37, 29, out.row(0));
  CHECK(differing_samples(image, out, greatest) == 0);

  // Half a pixel past the left edge: half of the first column over black.
  const Transform half{{{{1, 0, 0.5}, {0, 1, 0}}}};
  adaface::warp(image, half, 37, 29, out.row(0));
  for (int y = 0; y < 29; ++y) CHECK(out.row(y)[0] == (image.row(y)[0] + 1) / 2);

  for (const double far : {1e5, 1e9, -1e9, 1e300, -1e300}) {
    const Transform away{{{{1, 0, far}, {0, 1, far}}}};
    adaface::warp(image, away, 37, 29, out.row(0));
    CHECK(std::all_of(out.row(0), out.row(0) + 37 * 29 * 3, [](int v) { return v == 0; }));
  }
  const Transform tiny{{{{1e-12, 0, 0}, {0, 1e-12, 0}}}};
  adaface::warp(image, tiny, 37, 29, out.row(0));
  CHECK(out.row(0)[0] == image.row(0)[0]);

  ImageView bgr = image;
  bgr.order = adaface::ChannelOrder::bgr;
  const std::array<Point, 5> face{{{10, 10}, {24, 10}, {17, 15}, {12, 22}, {23, 21}}};
  const Image a = adaface::align_face(image, face), b = adaface::align_face(bgr, face);
  CHECK(a.row(40)[3 * 50] == b.row(40)[3 * 50 + 2]);
  CHECK(a.row(40)[3 * 50 + 1] == b.row(40)[3 * 50 + 1]);
  CHECK_THROWS_AS(adaface::align_face(ImageView{}, face), adaface::Error);
}
