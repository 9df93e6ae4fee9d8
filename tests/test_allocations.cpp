// Every request for memory and every start of a thread fails once, and once with all that follow: the caller
// gets std::bad_alloc or Error, nothing is lost, and what there was before works as before.
//
// oneDNN and OpenMP end the process when some of their own requests fail (docs/hardening.md): a request with
// a frame of theirs above it is granted and counted as theirs.
//
// ADAFACE_EVERY_REQUEST=1: all of them, in all settings; without it, of the long phases a selection.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include "tests/allocations.h"
#include "tests/child_process.h"
#include "tests/small_models.h"

namespace {

using namespace adaface;
using namespace adaface::testing;

constexpr unsigned kSeed = 99;

// oneDNN would keep what it makes, and hold more from run to run.
const bool kNoCache = ::setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "0", 1) == 0;

bool every_request() {
  return std::getenv("ADAFACE_EVERY_REQUEST") != nullptr;
}

struct Tally {
  int requests = 0, errors = 0, bad_allocs = 0, survived = 0;
  std::int64_t theirs = 0;  // granted, in the attempt with the most
};

// What an operation is checked by: everything but the operation itself runs with all requests granted.
struct Phase {
  std::string name;
  std::function<void()> prepare;    // before each attempt
  std::function<void()> operation;  // throws, or completes
  std::function<void()> inspect;    // after an attempt that completed: the results
  std::function<void()> finish;     // after each: afterwards as much is held as at first
  int selected = 1000000;           // attempts, roughly, without ADAFACE_EVERY_REQUEST
  int most = 1000000;               // and with it
};

// True when a request was refused.
bool attempt(const Phase& phase, std::int64_t number, Refusal refusal, Tally& tally, std::int64_t& at) {
  phase.prepare();
  enum class Outcome { completed, error, bad_alloc } outcome = Outcome::completed;
  refuse_requests(number, Owner::ours, refusal);
  try {
    phase.operation();
  } catch (const Error&) {
    outcome = Outcome::error;
  } catch (const std::bad_alloc&) {
    outcome = Outcome::bad_alloc;
  }  // anything else fails the test case
  const Refused refused = grant_requests();
  if (outcome == Outcome::completed) phase.inspect();
  phase.finish();
  at = refused.at;
  tally.theirs = std::max(tally.theirs, refused.passed);
  if (refused.at < 0) {
    CHECK(outcome == Outcome::completed);
    return false;
  }
  ++tally.requests;
  tally.errors += outcome == Outcome::error;
  tally.bad_allocs += outcome == Outcome::bad_alloc;
  tally.survived += outcome == Outcome::completed;
  return true;
}

// Blocks are counted exactly; the C library makes each up to 16 bytes larger than it did before.
bool same(const Holdings& a, const Holdings& b) {
  return a.blocks == b.blocks && std::abs(a.bytes - b.bytes) <= 16 * b.blocks && a.mapped == b.mapped &&
         a.threads == b.threads && a.descriptors == b.descriptors;
}

// Once there are no more threads than `threads`: the system lists one that was joined a moment longer.
Holdings settled_holdings(std::int64_t threads) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  Holdings now = holdings();
  while (now.threads > threads && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    now = holdings();
  }
  return now;
}

// Threads make the number of requests differ a little from run to run.
std::int64_t count_requests(const Phase& phase) {
  phase.prepare();
  refuse_requests(INT64_MAX, Owner::ours, Refusal::one);
  phase.operation();
  const std::int64_t count = grant_requests().requests;
  phase.inspect();
  phase.finish();
  return count;
}

void refuse_each(const Phase& phase) {
  CAPTURE(phase.name);
  REQUIRE(kNoCache);
  for (int i = 0; i < 3; ++i) count_requests(phase);  // what is made once
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const Holdings before = holdings();
  const std::int64_t count = count_requests(phase);
  CHECK(same(settled_holdings(before.threads), before));
  const std::int64_t step =
      std::max<std::int64_t>(1, count / (every_request() ? phase.most : phase.selected));
  for (const Refusal refusal : {Refusal::one, Refusal::rest}) {
    Tally tally;
    // The end is where two attempts find nothing to refuse.
    int missed = 0;
    for (std::int64_t number = 0; missed < 2;) {
      std::int64_t at = -1;
      const bool refused = attempt(phase, number, refusal, tally, at);
      const Holdings after = settled_holdings(before.threads);
      CAPTURE(number);
      CAPTURE(at);
      CAPTURE(after.blocks - before.blocks);
      CAPTURE(after.bytes - before.bytes);
      CAPTURE(after.mapped - before.mapped);
      CAPTURE(after.threads - before.threads);
      CAPTURE(after.descriptors - before.descriptors);
      REQUIRE(same(after, before));
      missed = refused ? 0 : missed + 1;
      number = (refused ? at : number) + step;
    }
    std::printf(
        "%-34s %s: %5d of %lld requests refused: %d bad_alloc, %d Error, %d survived; oneDNN's: %lld\n",
        phase.name.c_str(), refusal == Refusal::one ? "one         " : "and the rest", tally.requests,
        static_cast<long long>(count), tally.bad_allocs, tally.errors, tally.survived,
        static_cast<long long>(tally.theirs));
    CHECK(tally.requests > 0);
  }
}

struct Setting {
  int threads;
  PlanKind plan;
  std::string text() const {
    return std::string(plan == PlanKind::fast ? "fast" : "small") + ", " + std::to_string(threads) +
           " thread" + (threads > 1 ? "s" : "");
  }
};

std::vector<Setting> settings() {
  if (!every_request()) return {{1, PlanKind::fast}, {2, PlanKind::small}};
  return {{1, PlanKind::fast}, {1, PlanKind::small}, {2, PlanKind::fast}, {2, PlanKind::small}};
}

}  // namespace

TEST_CASE("loading weights") {
  std::optional<Weights> detector, embedder;
  refuse_each({.name = "load",
               .prepare = [] {},
               .operation =
                   [&] {
                     detector.emplace(Weights::load(small_models().detector));
                     embedder.emplace(Weights::load(small_models().embedder));
                   },
               .inspect = [&] { CHECK(embedder->info().architecture == "ir_18"); },
               .finish =
                   [&] {
                     detector.reset();
                     embedder.reset();
                   },
               .selected = 200});
}

TEST_CASE("a detector") {
  const Weights weights = Weights::load(small_models().detector);
  for (const int threads : {1, 2}) {
    std::optional<Detector> detector;
    refuse_each({.name = "detector, " + std::to_string(threads),
                 .prepare = [] {},
                 .operation = [&] { detector.emplace(weights, small_detection(threads)); },
                 .inspect = [] {},
                 .finish = [&] { detector.reset(); },
                 .selected = 200});
  }
}

TEST_CASE("an embedder: its plan and its session") {
  const Weights weights = Weights::load(small_models().embedder);
  for (const Setting& setting : settings()) {
    std::optional<Embedder> embedder;
    refuse_each({.name = "embedder, " + setting.text(),
                 .prepare = [] {},
                 .operation =
                     [&] {
                       embedder.emplace(weights,
                                        EmbedderOptions{.threads = setting.threads, .plan = setting.plan});
                     },
                 .inspect = [] {},
                 .finish = [&] { embedder.reset(); },
                 .selected = 100});
  }
}

TEST_CASE("from files to an embedding, everything new each time") {
  const Image picture = noise(64, 48, kSeed);
  const std::vector<std::byte> file = encode_png(picture);
  std::optional<Embedding> expected;
  for (const Setting& setting : settings()) {
    std::optional<Embedding> found;
    refuse_each({.name = "all, " + setting.text(),
                 .prepare = [&] { found.reset(); },
                 .operation =
                     [&] {
                       Engine engine({.model = small_models().embedder,
                                      .detector = small_models().detector,
                                      .detection = small_detection(setting.threads),
                                      .threads = setting.threads,
                                      .plan = setting.plan});
                       found = engine.analyze(decode_image(file)).at(0).embedding;
                     },
                 .inspect =
                     [&] {
                       if (!expected) expected = found;
                       REQUIRE(found);
                       REQUIRE(same_bits(*found, *expected));
                     },
                 .finish = [] {},
                 .selected = 10,
                 .most = 300});
  }
}

TEST_CASE("sessions that lost a run give the same bits in the next") {
  const Weights detector_weights = Weights::load(small_models().detector),
                embedder_weights = Weights::load(small_models().embedder);
  const Image picture = noise(64, 48, kSeed);
  const Image crops[] = {noise(kCropSize, kCropSize, kSeed), noise(kCropSize, kCropSize, kSeed + 1)};
  for (const Setting& setting : settings()) {
    std::optional<Detector> detector;
    Embedder embedder(embedder_weights, {.threads = setting.threads, .plan = setting.plan});
    const std::vector<Face> faces =
        Detector(detector_weights, small_detection(setting.threads)).detect(picture);
    REQUIRE(faces.size() > 1);
    std::vector<Face> found;
    const auto detect = [&] { found = detector->detect(picture); };
    const auto same = [&] { REQUIRE(same_bits(found, faces)); };
    refuse_each({.name = "detect, " + setting.text(),
                 .prepare = [&] { detector.emplace(detector_weights, small_detection(setting.threads)); },
                 .operation = detect,
                 .inspect = same,
                 .finish =
                     [&] {
                       detect();
                       same();
                       found = {};
                       detector.reset();
                     },
                 .selected = 50});
    std::vector<ImageView> views = {crops[0], crops[1]};
    if (setting.threads > 1) views.push_back(crops[0]);  // one each, and one that they share
    const std::vector<Embedding> expected = embedder.embed(views);
    refuse_each({.name = "align and embed, " + setting.text(),
                 .prepare = [] {},
                 .operation =
                     [&] {
                       align_face(picture, faces[0].landmarks);
                       embedder.prepare();
                       const std::vector<Embedding> again = embedder.embed(views);
                       if (!same_bits(again[1], expected[1])) throw std::logic_error("other bits");
                     },
                 .inspect = [] {},
                 .finish = [&] { REQUIRE(same_bits(embedder.embed(crops[0]), expected[0])); }});
  }
}

TEST_CASE("decoding and encoding pictures") {
  const std::filesystem::path folder = source_root() / "tests/data/images";
  for (const char* name : {"progressive.jpg", "baseline.jpg", "palette.png", "grey16.png", "palette.gif",
                           "rgb.psd", "run_length.tga", "rgb.bmp", "rgb.ppm", "flat.hdr"}) {
    const std::vector<std::byte> file = read_file(folder / name);
    const Image expected = decode_image(file);
    std::optional<Image> found;
    refuse_each({.name = name,
                 .prepare = [] {},
                 .operation = [&] { found = decode_image(file, {}, name); },
                 .inspect =
                     [&] {
                       const std::size_t bytes =
                           expected.stride() * static_cast<std::size_t>(expected.height());
                       REQUIRE(std::memcmp(found->row(0), expected.row(0), bytes) == 0);
                     },
                 .finish = [&] { found.reset(); }});
  }
  const Image picture = noise(64, 48, kSeed);
  std::vector<std::byte> encoded;
  const auto encode = [&](const char* name, const std::function<void()>& operation) {
    refuse_each({.name = name,
                 .prepare = [] {},
                 .operation = operation,
                 .inspect =
                     [&] {
                       if (!encoded.empty()) REQUIRE(decode_image(encoded).width() == picture.width());
                     },
                 .finish = [&] { encoded = {}; },
                 .selected = 500});
  };
  encode("encode png", [&] { encoded = encode_png(picture); });
  encode("encode jpeg", [&] { encoded = encode_jpeg(picture); });
  encode("resize", [&] { resize_image(picture, 30, 90); });
  const Scratch scratch("allocations");
  const Image small = noise(8, 8, kSeed);
  encode("write png", [&] { write_image(scratch.path / "a.png", small); });
}

namespace {

int told = -1;  // where a child tells what was refused, however it ends

void tell() {
  const Refused refused = grant_requests();
  if (::write(told, &refused.at, sizeof refused.at) < 0) ::_exit(101);
}

}  // namespace

// How oneDNN takes it: each of its requests refused in a process of its own. A bound that is told, not kept.
TEST_CASE("oneDNN's own requests" * doctest::skip(!every_request())) {
  const Weights weights = Weights::load(small_models().embedder);
  const Image crop = noise(kCropSize, kCropSize, kSeed);
  const auto operation = [&] { Embedder(weights, {.threads = 1}).embed(crop); };
  operation();
  std::map<std::string, int> endings;
  for (std::int64_t number = 0;;) {
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    const std::string end = in_child([&] {
      told = pipe[1];
      for (const int signal : {SIGSEGV, SIGABRT, SIGFPE, SIGILL, SIGBUS})
        std::signal(signal, [](int caught) { tell(), ::_exit(40 + caught); });
      std::atexit([] { tell(), ::_exit(40); });  // OpenMP's way
      refuse_requests(number, Owner::onednn, Refusal::one);
      int code = 0;
      try {
        operation();
      } catch (const Error&) {
        code = 1;
      } catch (const std::bad_alloc&) {
        code = 2;
      }
      tell();
      return code;
    });
    ::close(pipe[1]);
    std::int64_t at = -1;
    REQUIRE(::read(pipe[0], &at, sizeof at) == sizeof at);
    ::close(pipe[0]);
    if (at < 0) break;
    number = at + 1;
    ++endings[end == "exit code 0"    ? "survived"
              : end == "exit code 1"  ? "Error"
              : end == "exit code 2"  ? "bad_alloc"
              : end == "exit code 40" ? "the process ended"
              : end == "exit code 51" ? "crashed"
                                      : end];
  }
  for (const auto& [end, count] : endings) std::printf("oneDNN's own requests: %d: %s\n", count, end.c_str());
  CHECK(!endings.empty());
}
