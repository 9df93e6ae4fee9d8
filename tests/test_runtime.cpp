// What a process sets for the engine, and what long calls tell: memory, log, progress.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "src/runtime.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "src/adaface.hpp"
#include "tests/golden.h"
#include "tests/small_models.h"

namespace {

namespace fs = std::filesystem;
using namespace adaface;
using adaface::testing::Scratch;

Weights model_weights() {
  return Weights::load(adaface::testing::small_models().embedder);
}
Weights detector_weights() {
  return Weights::load(adaface::testing::small_models().detector);
}

Image picture() {
  return read_image(adaface::testing::source_root() / "tests/data/synthetic_faces/stranger.jpg");
}

// Counts, and can run dry.
struct Source {
  std::atomic<std::int64_t> bytes{0}, most{0}, taken{0}, pieces{0}, left{1'000'000};
  std::atomic<bool> misaligned{false};

  static void* take(void* user, std::size_t bytes, std::size_t alignment) {
    auto& self = *static_cast<Source*>(user);
    if (self.left.fetch_sub(1) <= 0) return nullptr;
    void* data = std::aligned_alloc(std::max<std::size_t>(alignment, 16), (bytes + 63) / 64 * 64);
    self.misaligned = self.misaligned || reinterpret_cast<std::uintptr_t>(data) % alignment != 0;
    ++self.taken;
    ++self.pieces;
    const std::int64_t now = self.bytes += static_cast<std::int64_t>(bytes);
    if (now > self.most) self.most = now;
    return data;
  }
  static void give(void* user, void* memory, std::size_t bytes) {
    auto& self = *static_cast<Source*>(user);
    --self.pieces;
    self.bytes -= static_cast<std::int64_t>(bytes);
    std::free(memory);
  }
};

// Sets it for a while.
struct Using {
  explicit Using(Source& source) { set_allocator({Source::take, Source::give, &source}); }
  ~Using() { set_allocator({}); }
};

std::vector<Embedding> everything(int threads, PlanKind plan) {
  Engine engine(model_weights(), detector_weights(), {.threads = threads, .plan = plan});
  const Image image = picture();
  engine.detector().detect(image);
  const Image crop = resize_image(image, kCropSize, kCropSize);
  const std::vector<ImageView> crops(3, crop);
  return engine.embedder().embed(crops);
}

}  // namespace

TEST_CASE("each error code is called by its name") {
  using enum ErrorCode;
  const std::pair<ErrorCode, const char*> names[] = {{invalid_argument, "invalid_argument"},
                                                     {not_found, "not_found"},
                                                     {io, "io"},
                                                     {corrupt, "corrupt"},
                                                     {unsupported, "unsupported"},
                                                     {limit, "limit"},
                                                     {cancelled, "cancelled"},
                                                     {out_of_memory, "out_of_memory"},
                                                     {internal, "internal"}};
  for (const auto& [code, name] : names) CHECK(std::string(to_string(code)) == name);
}

TEST_CASE("all large memory comes from the allocator and goes back to it") {
  for (PlanKind plan : {PlanKind::fast, PlanKind::small}) {
    const std::vector<Embedding> expected = everything(2, plan);
    Source source;
    {
      const Using in_use(source);
      const std::vector<Embedding> embeddings = everything(2, plan);
      for (std::size_t i = 0; i < embeddings.size(); ++i) CHECK(embeddings[i].unit == expected[i].unit);
    }
    CHECK(source.bytes == 0);
    CHECK(source.pieces == 0);
    CHECK_FALSE(source.misaligned);
    // The fast plan's transformed weights alone are four times ir_18's 3x3 kernels of 44 MB, three quarters
    // of its parameters; the small plan's activations are less.
    CHECK(source.most > (plan == PlanKind::fast ? 100'000'000 : 5'000'000));
  }
}

TEST_CASE("a source that runs dry is std::bad_alloc, at every point, and nothing is kept") {
  const std::vector<Embedding> expected = everything(1, PlanKind::small);
  Source source;
  const Using in_use(source);
  int failures = 0;
  for (std::int64_t given = 0;; ++given) {
    source.left = given;
    try {
      const std::vector<Embedding> embeddings = everything(1, PlanKind::small);
      CHECK(embeddings[0].unit == expected[0].unit);
      break;
    } catch (const std::bad_alloc&) {
      ++failures;
    }
    REQUIRE(source.pieces == 0);
    REQUIRE(source.bytes == 0);
  }
  CHECK(failures >= 20);
}

TEST_CASE("an allocator is set while nothing of the other is in use, by any thread") {
  Source source;
  source.left = std::numeric_limits<std::int64_t>::max();  // the others take without end
  {
    const Image image(10, 10);
    CHECK_THROWS_AS(set_allocator({Source::take, Source::give, &source}), Error);
  }
  CHECK_THROWS_AS(set_allocator({Source::take, nullptr, &source}), Error);
  // Others that allocate meanwhile get theirs from one or the other, and give it back there.
  std::atomic<bool> done{false};
  std::vector<std::thread> others;
  for (int t = 0; t < 2; ++t)
    others.emplace_back([&] {
      while (!done) Image(3, 3).row(0)[0] = 1;
    });
  int changes = 0;
  // Longer where one of the others was stopped by the system with memory in its hands.
  constexpr int kAttempts = 20000, kMostAttempts = 5'000'000;
  for (int i = 0; i < kAttempts || (changes == 0 && i < kMostAttempts); ++i) try {
      if (i % 2 == 0)
        set_allocator({Source::take, Source::give, &source});
      else
        set_allocator({});
      ++changes;
    } catch (const Error&) {
      std::this_thread::yield();  // in use
    }
  done = true;
  for (std::thread& other : others) other.join();
  set_allocator({});
  CHECK(changes > 0);
  CHECK(source.pieces == 0);
  CHECK(source.bytes == 0);
}

TEST_CASE("progress rises from 0 to 1, on the calling thread") {
  const Weights model = model_weights(), mtcnn = detector_weights();
  const Image image = picture(), crop = resize_image(image, kCropSize, kCropSize);
  for (int threads : {1, 2}) {
    CAPTURE(threads);
    Detector detector(mtcnn, {.threads = threads});
    Embedder embedder(model, {.threads = threads});
    std::vector<double> told;
    const std::thread::id caller = std::this_thread::get_id();
    const ProgressFunction listen = [&](double done) {
      CHECK(std::this_thread::get_id() == caller);
      told.push_back(done);
      return true;
    };
    detector.on_progress(listen);
    embedder.on_progress(listen);
    const auto check = [&](std::size_t least) {
      REQUIRE(told.size() >= least);
      CHECK(std::ranges::is_sorted(told));
      CHECK(told.front() >= 0);
      CHECK(told.back() == 1);
      told.clear();
    };
    detector.detect(image);
    check(10);
    embedder.embed(crop);
    check(20);
    embedder.prepare();
    check(20);
    const std::vector<ImageView> crops(5, crop);
    embedder.embed(crops);
    check(threads == 1 ? 100 : 50);  // in each crop as in one
    embedder.embed(std::span<const ImageView>());
    check(1);
  }
}

TEST_CASE("stopped anywhere, a session gives the same results afterwards") {
  const Weights model = model_weights(), mtcnn = detector_weights();
  const Image image = picture(), crop = resize_image(image, kCropSize, kCropSize);
  const std::vector<ImageView> crops(3, crop);
  // Untrained: every window is a face.
  const DetectorOptions easy{
      .min_face = 60, .score_thresholds = {0, 0, 0}, .overlap_thresholds = {0.3, 0.3, 0.3}};
  Detector detector(mtcnn, easy);
  Embedder embedder(model, {.threads = 2});
  const std::vector<Face> faces = detector.detect(image);
  REQUIRE(faces.size() > 3);
  const Embedding expected = Embedder(model, {.threads = 1}).embed(crop);
  for (int at = 1; at < 40; at += 3) {
    CAPTURE(at);
    int calls = 0;
    const ProgressFunction stop = [&](double) { return ++calls < at; };
    const ProgressFunction fail = [&](double) -> bool {
      if (++calls == at) throw std::runtime_error("enough");
      return true;
    };
    detector.on_progress(stop);
    try {
      detector.detect(image);
      CHECK(calls < at);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::cancelled);
      CHECK(calls == at);
    }
    detector.on_progress({});
    const std::vector<Face> again = detector.detect(image);
    REQUIRE(again.size() == faces.size());
    CHECK(again.back().box.x1 == faces.back().box.x1);
    CHECK(again.back().score == faces.back().score);

    calls = 0;
    embedder.on_progress(fail);
    try {
      at % 2 == 0 ? embedder.prepare() : void(embedder.embed(crops));
      CHECK(calls < at);
    } catch (const std::runtime_error& error) {
      CHECK(std::string(error.what()) == "enough");
    }
    embedder.on_progress({});
    CHECK(embedder.embed(crops)[2].unit == expected.unit);
  }
}

TEST_CASE("a batch on several threads stops within a crop") {
  const Weights model = model_weights();
  const Image crop = resize_image(picture(), kCropSize, kCropSize);
  const std::vector<ImageView> crops(4, crop);
  Embedder embedder(model, {.threads = 2});
  int calls = 0;
  embedder.on_progress([&](double done) {
    CHECK(done < 0.25);
    return ++calls < 5;
  });
  CHECK_THROWS_AS(embedder.embed(crops), Error);
  CHECK(calls == 5);
  // What the function throws passes, though other threads stop as well.
  embedder.on_progress([&](double) -> bool { throw std::out_of_range("the caller's own"); });
  CHECK_THROWS_AS(embedder.embed(crops), std::out_of_range);
}

TEST_CASE("a log function that makes the engine speak, and a fork while others do") {
  const fs::path path = adaface::testing::small_models().detector;
  const Weights mtcnn = detector_weights();
  int calls = 0;
  set_log(LogLevel::debug, [&](LogLevel, std::string_view) {
    ++calls;
    Weights::load(path);
  });
  Weights::load(path);
  CHECK(calls == 1);

  std::atomic<bool> done{false};
  set_log(LogLevel::debug, [](LogLevel, std::string_view) { std::this_thread::yield(); });
  std::thread speaker([&] {
    while (!done) Weights::load(path);
  });
  for (int i = 0; i < 20; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      Weights::load(path);
      ::_exit(0);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  done = true;
  speaker.join();
  set_log(LogLevel::none, {});
}

TEST_CASE("the log: levels, and functions that throw") {
  std::vector<std::pair<LogLevel, std::string>> messages;
  set_log(LogLevel::debug, [&](LogLevel level, std::string_view message) {
    messages.emplace_back(level, message);
    throw std::runtime_error("the reader's own trouble");
  });
  Detector detector(detector_weights(), {.threads = 1});
  detector.detect(picture());
  REQUIRE(messages.size() == 2);
  CHECK(messages[0].first == LogLevel::info);
  CHECK(messages[1].first == LogLevel::debug);
  CHECK(messages[1].second.find("faces") != std::string::npos);
  set_log(LogLevel::info,
          [&](LogLevel level, std::string_view message) { messages.emplace_back(level, message); });
  detector.detect(picture());
  CHECK(messages.size() == 2);
  Embedder embedder(model_weights(), {.plan = PlanKind::small});
  CHECK(messages.size() == 4);
  CHECK(messages.back().second.find("f32, small") != std::string::npos);
  set_log(LogLevel::none, {});
  detector_weights();
  CHECK(messages.size() == 4);
}
