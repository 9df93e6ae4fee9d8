// The programs as a user of a CUDA device runs them. Without a device the tests are skipped; with the
// emulated one the library of tests/cuda_emulation is loaded first.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "src/adaface.hpp"
#include "tests/program.h"

namespace {

using namespace adaface;
using namespace adaface::testing;

double cosine(const Json& a, const Json& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i].get<double>() * b[i].get<double>();
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (cuda_devices().empty()) {
    std::puts("skipped: no CUDA device");
    return 77;
  }
  return doctest::Context(argc, argv).run();
}

TEST_CASE("adaface embed on a device gives the CPU's embeddings, in every precision that is asked for") {
  const fs::path crops = fixture().directory("crops");
  Image crop(kCropSize, kCropSize);
  for (int i = 0; i < 2; ++i) {
    for (int y = 0; y < kCropSize; ++y)
      for (int x = 0; x < 3 * kCropSize; ++x) crop.row(y)[x] = static_cast<std::uint8_t>(x * (i + 2) + 5 * y);
    write_image(crops / (std::to_string(i) + ".png"), crop);
  }
  const auto embed = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"embed", crops.string(), "--aligned", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Result result = fixture().adaface(arguments);
    CHECK(result.err == "");
    REQUIRE(result.code == 0);
    return lines(result.out);
  };
  const std::vector<Json> cpu = embed({}),
                          device = embed({"--device", "cuda:0", "--precision", "f16", "--threads", "2"});
  REQUIRE(cpu.size() == 2);
  REQUIRE(device.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(device[i]["file"] == cpu[i]["file"]);
    CHECK(cosine(device[i]["faces"][0]["embedding"], cpu[i]["faces"][0]["embedding"]) > 0.9995);
  }
}

TEST_CASE("adaface detect on a device finds the CPU's faces") {
  if (!fixture().can_detect()) return;
  const std::string file = picture("people/ada/ada1.jpg");
  const Result cpu = fixture().adaface({"detect", file, "--json"}),
               device = fixture().adaface({"detect", file, "--json", "--device", "cuda"});
  CHECK(device.err == "");
  REQUIRE(cpu.code == 0);
  REQUIRE(device.code == 0);
  const Json expected = lines(cpu.out).at(0)["faces"], found = lines(device.out).at(0)["faces"];
  REQUIRE(expected.size() > 0);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    for (std::size_t k = 0; k < 4; ++k)
      CHECK(std::abs(found[i]["box"][k].get<double>() - expected[i]["box"][k].get<double>()) < 0.1);
}

TEST_CASE("adaface bench times a network and detection on a device") {
  const Result network = fixture().adaface(
      {"bench", "--device", "cuda", "--precision", "f16", "--batch", "2", "--repetitions", "1"});
  CHECK(network.err == "");
  CHECK(network.code == 0);
  CHECK_CONTAINS(network.out, "ir_18, batch 2, f16, fast plan, on cuda:0, 1 repetition: ");
  if (!fixture().can_detect()) return;
  const Result detection =
      fixture().adaface({"bench", "--device", "cuda", "--image", picture("people/ada/ada1.jpg"),
                         "--repetitions", "1", "--json"});
  CHECK(detection.err == "");
  REQUIRE(detection.code == 0);
  const Json line = lines(detection.out).at(0);
  CHECK(line["device"] == "cuda:0");
  CHECK(line["threads"] == 1);
}

TEST_CASE("where the device has memory for one worker, one does the work of all") {
  if (!std::getenv("LD_PRELOAD")) return;  // memory is the emulated device's
  const fs::path crops = fixture().directory("few");
  for (int i = 0; i < 3; ++i) write_image(crops / (std::to_string(i) + ".png"), Image(kCropSize, kCropSize));
  const auto embed = [&](const char* threads, std::size_t mebibytes) {
    return fixture().adaface({"embed", crops.string(), "--aligned", "--json", "--device", "cuda",
                              "--precision", "f16", "--threads", threads},
                             "ADAFACE_EMULATED_MEMORY=" + std::to_string(mebibytes << 20));
  };
  // Of whole crops a session takes its memory when it is made. Weights of ir_18 in 16 bits are 48 MB; a
  // session's memory is more than a step.
  std::size_t mebibytes = 32;
  Result one = embed("1", mebibytes);
  CHECK(one.code == 3);
  CHECK_CONTAINS(one.err, "out of memory");
  CHECK(embed("3", mebibytes).code == 3);
  while (one.code != 0 && mebibytes < 1024) one = embed("1", mebibytes += 4);
  REQUIRE(one.code == 0);
  const Result three = embed("3", mebibytes);
  CHECK(three.err == "");
  CHECK(three.code == 0);
  CHECK(three.out == one.out);
}

TEST_CASE("where the device has memory for one picture, one worker detects what is in all") {
  if (!std::getenv("LD_PRELOAD") || !fixture().can_detect()) return;
  const fs::path pictures = fixture().directory("large");
  for (int i = 0; i < 4; ++i) write_image(pictures / (std::to_string(i) + ".png"), Image(500 + i, 400));
  const auto detect = [&](const char* threads, std::size_t kibibytes) {
    return fixture().adaface(
        {"detect", pictures.string(), "--json", "--device", "cuda", "--threads", threads},
        "ADAFACE_EMULATED_MEMORY=" + std::to_string(kibibytes << 10));
  };
  // A detector's weights are 2 MB; a picture's memory is more than a step.
  std::size_t kibibytes = 2 << 10;
  Result one = detect("1", kibibytes);
  CHECK(one.code != 0);
  while (one.code != 0 && kibibytes < (64 << 10)) one = detect("1", kibibytes += 512);
  REQUIRE(one.code == 0);
  const Result four = detect("4", kibibytes);
  CHECK(four.err == "");
  CHECK(four.code == 0);
  CHECK(four.out == one.out);
}

TEST_CASE("a device that is not there is a wrong option, one that is stands in --version") {
  const Result wrong = fixture().adaface({"embed", "nothing.png", "--device", "cuda:1000"});
  CHECK(wrong.code == 2);
  CHECK_CONTAINS(wrong.err, "cuda:1000: no such device, expected cpu or cuda:0");
  const Result version = fixture().adaface({"--version"});
  CHECK(version.code == 0);
  CHECK_CONTAINS(version.out, cuda_devices()[0].name);
}
