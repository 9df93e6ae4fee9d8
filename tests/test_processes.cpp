// Processes that fork, that unload the library, and that may not do much: filters, limits, closed streams.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <thread>

#include <doctest/doctest.h>

#include "tests/child_process.h"
#include "tests/small_models.h"
#include "tests/system_call_filter.h"

namespace {

using namespace adaface;
using namespace adaface::testing;

constexpr unsigned kSeed = 411;

// Sessions, and what they find in one picture.
struct Work {
  Weights detector_weights = Weights::load(small_models().detector);
  Weights embedder_weights = Weights::load(small_models().embedder);
  Image picture = noise(64, 48, kSeed);

  struct Sessions {
    Sessions(const Work& work, int threads)
        : detector(work.detector_weights, small_detection(threads)),
          embedder(work.embedder_weights, {.threads = threads}) {}
    Detector detector;
    Embedder embedder;
  };

  struct Found {
    std::vector<Face> faces;
    std::vector<Embedding> embeddings;  // of three crops together, then of the first alone
  };

  static Found run(Sessions& sessions, const Image& picture) {
    Found found;
    found.faces = sessions.detector.detect(picture);
    if (found.faces.empty()) return found;
    const Image crop = align_face(picture, found.faces.front().landmarks);
    const Image other = noise(kCropSize, kCropSize, kSeed);
    const ImageView crops[] = {crop, other, crop};
    found.embeddings = sessions.embedder.embed(crops);
    found.embeddings.push_back(sessions.embedder.embed(crop));
    return found;
  }
  Found run(Sessions& sessions) const { return run(sessions, picture); }
};

bool operator==(const Work::Found& a, const Work::Found& b) {
  return same_bits(a.faces, b.faces) &&
         std::ranges::equal(a.embeddings, b.embeddings,
                            [](const Embedding& x, const Embedding& y) { return same_bits(x, y); });
}

// Once for all cases: one thread, a quiet process.
const Work& work() {
  static const Work instance;
  return instance;
}
const Work::Found& expected() {
  static const Work::Found found = [] {
    Work::Sessions sessions(work(), 1);
    Work::Found result = work().run(sessions);
    REQUIRE(result.faces.size() > 1);
    REQUIRE(result.embeddings.size() == 4);
    return result;
  }();
  return found;
}

void set_limit(__rlimit_resource resource, rlim_t most) {
  const rlimit limit{most, most};
  if (::setrlimit(resource, &limit) != 0) throw std::runtime_error("setrlimit");
}

// Root passes many limits and all permissions: as nobody it does not.
void leave_root() {
  constexpr uid_t kNobody = 65534;
  if (::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0))
    throw std::runtime_error("setuid");
}

int entries(const char* directory) {
  int count = 0;
  DIR* open = ::opendir(directory);
  while (const dirent* entry = ::readdir(open)) count += entry->d_name[0] != '.';
  ::closedir(open);
  return count;
}

}  // namespace

TEST_CASE("a child of fork uses its parent's sessions, ends them, and makes its own") {
  std::printf("seed %u\n", kSeed);
  expected();
  for (const int threads : {1, 2, 4}) {
    CAPTURE(threads);
    auto sessions = std::make_unique<Work::Sessions>(work(), threads);
    auto unused = std::make_unique<Work::Sessions>(work(), threads);
    CHECK(work().run(*sessions) == expected());
    const auto child = [&] {
      if (!(work().run(*sessions) == expected())) return 1;
      if (!(work().run(*unused) == expected())) return 2;
      sessions->embedder.prepare();
      unused.reset();
      {
        Work::Sessions own(work(), threads);
        if (!(work().run(own) == expected())) return 3;
        const int status = std::system("true");
        if (status != 0) return 4;
        // Theirs again, after threads of its own came to be; and a child of its own.
        if (!(work().run(*sessions) == expected())) return 5;
        if (in_child([&] {
              const bool same = work().run(*sessions) == expected() && work().run(own) == expected();
              sessions.reset();
              return same ? 0 : 1;
            }) != "exit code 0")
          return 6;
      }
      sessions.reset();
      std::exit(0);  // and all that happens at the end of a process
    };
    CHECK(in_child(child) == "exit code 0");
    CHECK(work().run(*sessions) == expected());
    CHECK(work().run(*unused) == expected());
  }
}

TEST_CASE("fork while other threads run: the child's own sessions over the same weights work") {
  expected();
  constexpr int kForks = 12;
  for (int round = 0; round < 3; ++round) {
    // A plan of its own each time, whose first runs transform weights and keep them.
    const Weights fresh = Weights::load(small_models().embedder);
    Embedder first(fresh, {.threads = 2});
    Detector detector(work().detector_weights, small_detection(2));
    std::atomic<bool> stop = false;
    std::thread embeds([&] {
      const Image crop = noise(kCropSize, kCropSize, kSeed);
      while (!stop) first.embed(crop);
    });
    std::thread detects([&] {
      while (!stop) detector.detect(work().picture);
    });
    int good = 0;
    for (int i = 0; i < kForks / 3; ++i)
      good += in_child([&] {
                Embedder embedder(fresh, {.threads = 1 + i % 2});
                Detector own(work().detector_weights, small_detection(1 + i % 2));
                const bool same =
                    same_bits(embedder.embed(noise(kCropSize, kCropSize, kSeed)), expected().embeddings[1]) &&
                    same_bits(own.detect(work().picture), expected().faces);
                return same ? 0 : 1;
              }) == "exit code 0";
    stop = true;
    embeds.join();
    detects.join();
    CHECK(good == kForks / 3);
  }
}

TEST_CASE("a child that executes a program") {
  Work::Sessions sessions(work(), 2);
  CHECK(in_child([] {
          // The weights' files are mapped, not open.
          for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::error_code gone;
            if (std::filesystem::read_symlink(entry, gone).extension() == ".afw") return 98;
          }
          ::execl("/bin/sh", "sh", "-c", "exit 7", nullptr);
          return 99;
        }) == "exit code 7");
  CHECK(work().run(sessions) == expected());
}

TEST_CASE("a process that loads the library, uses it and unloads it, again and again") {
  CHECK(in_child([] {
          constexpr int kRounds = 50, kWarmUp = 5;
          using Use = int(const char*, const char*);
          long held_before = 0;
          const int threads_before = entries("/proc/self/task");
          // In use, of all threads: what is resident depends on which thread took what of it when.
          const auto held = [] {
            const struct mallinfo2 heap = ::mallinfo2();
            return static_cast<long>((heap.uordblks + heap.hblkhd) / 1024);
          };
          bool stays = false;
          for (int round = 0; round < kRounds; ++round) {
            void* plugin = ::dlopen(ADAFACE_PLUGIN, RTLD_NOW | RTLD_LOCAL);
            if (!plugin) return std::fprintf(stderr, "%s\n", ::dlerror()), 1;
            const auto use = reinterpret_cast<Use*>(::dlsym(plugin, "use_adaface"));
            if (!use) return 2;
            // Those that were there before the library was loaded, and those that it made.
            if (use(small_models().detector.c_str(), small_models().embedder.c_str()) != 0) return 3;
            if (::dlclose(plugin) != 0) return 4;
            if (entries("/proc/self/task") != threads_before) return 5;
            std::ifstream maps("/proc/self/maps");
            for (std::string line; std::getline(maps, line);)
              stays = stays || line.find("/libadaface.so") != std::string::npos;
            if (round == kWarmUp) held_before = held();
          }
          const long growth = held() - held_before;
          std::printf("unloading: %d rounds, %ld KiB held after %d, growth %ld KiB%s\n", kRounds, held_before,
                      kWarmUp, growth, stays ? "; the library stays loaded" : "");
          // 4 KiB left behind in each of the 44 rounds would be 176.
          return growth > 160 ? 6 : stays ? 7 : 0;
        }) == "exit code 0");
}

TEST_CASE("after loading, a filter that kills what executes, connects, forks or opens a file") {
  expected();
  for (const int threads : {1, 2}) {
    for (void (*const filter)() : {forbid_system_calls, allow_only_running}) {
      CAPTURE(threads);
      CHECK(in_child([&] {
              auto sessions = std::make_unique<Work::Sessions>(work(), threads);
              const std::vector<std::byte> file = encode_png(work().picture);
              filter();
              const Image picture = decode_image(file);
              if (!(Work::run(*sessions, picture) == expected())) return 1;
              sessions->embedder.prepare();
              for (int i = 0; i < 12; ++i)
                if (!(Work::run(*sessions, picture) == expected())) return 2;
              sessions.reset();
              return 0;
            }) == "exit code 0");
    }
  }
  // The filters do kill.
  CHECK(in_child([] {
          forbid_system_calls();
          Weights::load(small_models().detector);
          return 0;
        }) == "signal 31");
  CHECK(in_child([] {
          allow_only_running();
          ::getppid();
          return 0;
        }) == "signal 31");
}

TEST_CASE("no more threads to be had: the same bits on those that there are") {
  expected();
  const std::string own = in_child([] {
    leave_root();
    set_limit(RLIMIT_NPROC, 0);
    Work::Sessions sessions(work(), 4);
    if (entries("/proc/self/task") != 1) return 2;
    return work().run(sessions) == expected() ? 0 : 1;
  });
  CHECK(own == "exit code 0");
}

TEST_CASE("little address space: a clean error, until there is enough") {
  const auto with = [](rlim_t mib) {
    return in_child([&] {
      rlim_t pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      set_limit(RLIMIT_AS, pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + (mib << 20));
      try {
        // ir_18: 92 MiB of weights, mapped.
        const Weights weights = Weights::load(small_models().embedder);
        Embedder embedder(weights, {.threads = 1, .plan = PlanKind::small});
        embedder.embed(noise(kCropSize, kCropSize, kSeed));
        return 0;
      } catch (const Error& error) {
        return error.code() == ErrorCode::io || error.code() == ErrorCode::out_of_memory ? 1 : 2;
      } catch (const std::bad_alloc&) {
        return 1;
      }
    });
  };
  CHECK(with(0) == "exit code 1");
  CHECK(with(1 << 10) == "exit code 0");
  int refused = 0;
  for (rlim_t mib = 88; mib < 152; mib += 2) {
    CAPTURE(mib);
    const std::string end = with(mib);
    const bool clean = end == "exit code 0" || end == "exit code 1";
    CHECK_MESSAGE(clean, end);
    refused += end == "exit code 1";
  }
  CHECK(refused > 0);
}

TEST_CASE("no descriptor to be had: an error that names the file, and sessions that work") {
  expected();
  CHECK(in_child([] {
          set_limit(RLIMIT_NOFILE, 0);
          try {
            Weights::load(small_models().detector);
            return 1;
          } catch (const Error& error) {
            if (error.code() != ErrorCode::io) return 2;
            if (std::string(error.what()).find("mtcnn.afw: cannot open") == std::string::npos) return 3;
          }
          Work::Sessions sessions(work(), 0);
          return work().run(sessions) == expected() ? 0 : 4;
        }) == "exit code 0");
}

TEST_CASE("standard input, output and error closed: nothing is written where they were") {
  expected();
  CHECK(in_child([] {
          for (int stream = 0; stream < 3; ++stream) ::close(stream);
          const Work again;  // whose files take their numbers
          Work::Sessions sessions(again, 2);
          if (!(again.run(sessions) == expected())) return 1;
          const std::filesystem::path path = small_models().scratch.path / "streams.png";
          write_image(path, again.picture);
          const Image read = read_image(path);
          return std::memcmp(read.row(0), again.picture.row(0), read.stride()) == 0 ? 0 : 2;
        }) == "exit code 0");
}

TEST_CASE("a directory that cannot be written: an error, and nothing left") {
  const std::filesystem::path directory = small_models().scratch.path / "read-only";
  std::filesystem::create_directory(directory);
  std::filesystem::permissions(directory, std::filesystem::perms(0555));
  CHECK(in_child([&] {
          leave_root();
          try {
            write_image(directory / "a.png", work().picture);
            return 1;
          } catch (const Error& error) {
            if (error.code() != ErrorCode::io) return 2;
          }
          return std::filesystem::is_empty(directory) ? 0 : 3;
        }) == "exit code 0");
}
