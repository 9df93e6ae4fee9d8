// Where a session computes: names of devices, and what is said of those that are not there. Holds with and
// without CUDA: no machine has a device of index 1023.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <string>

#include "src/adaface.hpp"
#include "tests/small_models.h"

namespace {

using namespace adaface;
using adaface::testing::noise;
using adaface::testing::same_bits;
using adaface::testing::small_detection;
using adaface::testing::small_models;

constexpr Device kNowhere{.kind = DeviceKind::cuda, .index = 1023};

void check_fails(ErrorCode code, const std::string& start, auto&& call) {
  CAPTURE(start);
  try {
    call();
    FAIL_CHECK("no error");
  } catch (const Error& error) {
    CAPTURE(error.what());
    CHECK(error.code() == code);
    CHECK(std::string(error.what()).starts_with(start));
  }
}

}  // namespace

TEST_CASE("devices are named as they are written") {
  CHECK(parse_device("cpu") == Device{});
  CHECK(parse_device("cuda") == Device{.kind = DeviceKind::cuda, .index = 0});
  CHECK(to_string(Device{}) == "cpu");
  for (int index : {0, 1, 9, 10, 99, 100, 1023}) {
    const Device device{.kind = DeviceKind::cuda, .index = index};
    CHECK(to_string(device) == "cuda:" + std::to_string(index));
    CHECK(parse_device(to_string(device)) == device);
  }
  for (const std::string& text : {std::string(),
                                  std::string("CPU"),
                                  std::string("cpu "),
                                  std::string("cpu:0"),
                                  std::string("cudA"),
                                  std::string("cuda:"),
                                  std::string("cuda0"),
                                  std::string("cuda:-1"),
                                  std::string("cuda:+1"),
                                  std::string("cuda: 1"),
                                  std::string("cuda:1 "),
                                  std::string("cuda:01"),
                                  std::string("cuda:00"),
                                  std::string("cuda:1024"),
                                  std::string("cuda:4294967296"),
                                  std::string("cuda:99999999999999999999"),
                                  std::string("cuda:0x1"),
                                  std::string("cuda:1.0"),
                                  std::string("cuda:1:1"),
                                  std::string("cuda\0", 5),
                                  std::string("cpu\0cuda", 8)})
    check_fails(ErrorCode::invalid_argument, "device is \"", [&] { parse_device(text); });
  // One line, fit for a terminal.
  check_fails(ErrorCode::invalid_argument, "device is \"gpu?[1m?\", expected \"cpu\", ",
              [] { parse_device("gpu\033[1m\n"); });
}

TEST_CASE("the devices that are there are those that pass") {
  check_device({});
  check_device({.kind = DeviceKind::cpu, .index = -7});  // not read
  const std::vector<DeviceInfo> devices = cuda_devices();
  int last = -1;
  std::string expected = "cpu";
  for (const DeviceInfo& info : devices) {
    check_device(info.device);
    CHECK(info.device.kind == DeviceKind::cuda);
    CHECK(info.device.index > last);
    last = info.device.index;
    expected += " or " + to_string(info.device);
    CHECK_FALSE(info.name.empty());
    CHECK(info.memory_bytes > 0);
    CHECK(info.compute_major > 0);
    CHECK(build_info().find(to_string(info.device) + " " + info.name) != std::string::npos);
  }
  // The reason stands where the devices would.
  const std::string info = build_info();
  const std::size_t at = info.find("\ncuda: ");
  REQUIRE(at != std::string::npos);
  const std::string line = info.substr(at + 7, info.find('\n', at + 1) - at - 7);
  CHECK(line.starts_with("no: ") == devices.empty());
  const std::string reason = devices.empty() ? line.substr(4) : "no such device";
  CHECK_FALSE(reason.empty());
  check_fails(ErrorCode::unsupported, "cuda:1023: " + reason + ", expected " + expected,
              [] { check_device(kNowhere); });
  for (int index : {-1, 1024, 1 << 30})
    check_fails(ErrorCode::invalid_argument,
                "device index is " + std::to_string(index) + ", expected 0 to 1023",
                [&] { check_device({.kind = DeviceKind::cuda, .index = index}); });
}

TEST_CASE("sessions and profiles say which device is not there") {
  const Weights model = Weights::load(small_models().embedder),
                mtcnn = Weights::load(small_models().detector);
  const std::string nowhere = "cuda:1023: ";
  check_fails(ErrorCode::unsupported, nowhere, [&] { Detector(mtcnn, {.device = kNowhere}); });
  check_fails(ErrorCode::unsupported, nowhere, [&] { Embedder(model, {.device = kNowhere}); });
  check_fails(ErrorCode::unsupported, nowhere,
              [&] { Embedder(model, {.precision = Precision::f16, .device = kNowhere}); });
  check_fails(ErrorCode::unsupported, nowhere, [&] { Engine(model, mtcnn, {.device = kNowhere}); });
  // Layers are timed on a CPU, whatever devices there are.
  check_fails(ErrorCode::unsupported, "device is cuda:0, expected cpu",
              [&] { profile_layers(model, {.device = {.kind = DeviceKind::cuda}}); });
}

TEST_CASE("an engine's device replaces its detection's") {
  DetectorOptions elsewhere = small_detection(1), here = elsewhere;
  elsewhere.device = kNowhere;
  Engine engine({.model = small_models().embedder,
                 .detector = small_models().detector,
                 .detection = elsewhere,
                 .threads = 1});
  Detector detector(Weights::load(small_models().detector), here);
  const Image image = noise(64, 48, 20261125);
  CHECK(same_bits(engine.detector().detect(image), detector.detect(image)));
}

TEST_CASE("a CPU does not compute in f16") {
  const Weights model = Weights::load(small_models().embedder),
                mtcnn = Weights::load(small_models().detector);
  const std::string message = "precision is f16, which is for CUDA devices, expected f32 ";
  check_fails(ErrorCode::unsupported, message, [&] { Embedder(model, {.precision = Precision::f16}); });
  check_fails(ErrorCode::unsupported, message, [&] { Engine(model, mtcnn, {.precision = Precision::f16}); });
  check_fails(ErrorCode::unsupported, message, [&] { profile_layers(model, {.precision = Precision::f16}); });
  check_fails(ErrorCode::invalid_argument, "precision is f16, expected f32",
              [&] { profile_layers(mtcnn, {.network = "onet", .precision = Precision::f16}); });
}
