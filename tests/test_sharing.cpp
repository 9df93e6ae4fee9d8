// Many threads over the same weights, each with sessions of its own: the bits that one thread alone finds.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <atomic>
#include <barrier>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <doctest/doctest.h>

#include "tests/small_models.h"

namespace {

using namespace adaface;
using namespace adaface::testing;

constexpr unsigned kSeed = 24;
constexpr int kThreads = 24;

// A picture of each thread's own, and what one thread finds in it. Under ThreadSanitizer a run takes twenty
// times as long.
#if defined(__SANITIZE_THREAD__)
#define ADAFACE_THREAD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ADAFACE_THREAD_SANITIZED 1
#endif
#endif
#ifdef ADAFACE_THREAD_SANITIZED
constexpr int kPictures = 3;
#else
constexpr int kPictures = kThreads;
#endif

struct Found {
  std::vector<Face> faces;
  Embedding embedding;
};

struct Shared {
  Weights detector = Weights::load(small_models().detector);
  Weights embedder = Weights::load(small_models().embedder);
  std::vector<Image> pictures;
  std::vector<Found> expected;

  Shared() {
    Engine engine(embedder, detector, {.detection = small_detection(1), .threads = 1});
    for (int i = 0; i < kPictures; ++i) {
      pictures.push_back(noise(48 + 4 * (i % 6), 40 + 8 * (i / 6), kSeed + static_cast<unsigned>(i)));
      expected.push_back(find(engine, pictures.back()));
      REQUIRE(!expected.back().faces.empty());
    }
  }

  static Found find(Engine& engine, const Image& picture) {
    Found found;
    found.faces = engine.detector().detect(picture);
    if (!found.faces.empty())
      found.embedding = engine.embedder().embed(align_face(picture, found.faces.front().landmarks));
    return found;
  }

  bool finds(Engine& engine, int i) const {
    const auto at = static_cast<std::size_t>(i % kPictures);
    const Found found = find(engine, pictures[at]);
    return same_bits(found.faces, expected[at].faces) && same_bits(found.embedding, expected[at].embedding);
  }
};

const Shared& shared() {
  static const Shared instance;
  return instance;
}

// f(thread), on kThreads threads that start together; the number of those that returned true.
int count_on_threads(const std::function<bool(int)>& f) {
  std::barrier start(kThreads);
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      start.arrive_and_wait();
      try {
        good += f(t);
      } catch (const std::exception& error) {
        std::printf("thread %d: %s\n", t, error.what());
      }
    });
  for (std::thread& thread : threads) thread.join();
  return good;
}

}  // namespace

TEST_CASE("24 threads, a session each over the same weights: the same bits") {
  std::printf("seed %u\n", kSeed);
  // Not planned yet: their first runs transform weights for each other.
  const Weights embedder = Weights::load(small_models().embedder),
                detector = Weights::load(small_models().detector);
  shared();
  CHECK(count_on_threads([&](int t) {
          // Some share the work of a picture out.
          const int threads = t % 4 == 0 ? 2 : 1;
          Engine engine(embedder, detector, {.detection = small_detection(threads), .threads = threads});
          bool good = true;
          for (int i = 0; i < 3; ++i) good = good && shared().finds(engine, t + i);
          return good;
        }) == kThreads);
}

TEST_CASE("24 threads make, prepare, use, copy and end sessions at once") {
  shared();
  const Weights embedder = Weights::load(small_models().embedder),
                detector = Weights::load(small_models().detector);
  CHECK(count_on_threads([&](int t) {
          bool good = true;
          for (int round = 0; round < 2; ++round) {
            // The last copy goes with the last session, on whichever thread that is.
            const Weights copy = embedder;
            EngineOptions options{.detection = small_detection(1), .threads = 1};
            if ((t + round) % 3 == 0) options.plan = PlanKind::small;
            Engine engine(copy, detector, options);
            if (t % 6 == round) engine.embedder().prepare();
            if (t % 8 == round) copy.verify();
            good = good && copy.info().architecture == "ir_18" && shared().finds(engine, t + round);
          }
          return good;
        }) == kThreads);
}

TEST_CASE("24 threads read, decode, align and encode pictures at once") {
  const Shared& s = shared();
  const std::vector<std::byte> file = encode_png(s.pictures[0]);
  CHECK(count_on_threads([&](int) {
          bool good = true;
          for (int i = 0; i < 5; ++i) {
            const Image picture = decode_image(file);
            good = good && picture.width() == s.pictures[0].width() && encode_png(picture) == file;
            const Image crop = align_face(picture, s.expected[0].faces[0].landmarks);
            good = good && decode_image(encode_jpeg(crop)).width() == kCropSize;
          }
          return good;
        }) == kThreads);
}
