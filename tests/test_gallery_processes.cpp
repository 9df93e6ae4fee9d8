// A gallery shared by processes, some of which die: what was committed stays, and nobody sees half of a
// change.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <random>

#include "tests/golden.h"
#include "tests/synthetic_gallery.h"

namespace {

using namespace adaface;
using namespace adaface::testing;
namespace fs = std::filesystem;

// A process that runs f; its exit code is what f returns, 100 after an exception.
pid_t start(const std::function<int()>& f) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child > 0) return child;
  int code = 100;
  try {
    code = f();
  } catch (const std::exception& error) {
    std::printf("process %d: %s\n", static_cast<int>(::getpid()), error.what());
  }
  std::fflush(stdout);
  ::_exit(code);
}

int wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::string name_of(int number) {
  return "person " + std::to_string(number);
}

// A person of two photographs in one transaction.
void add_person(Gallery& gallery, int number) {
  Gallery::Transaction transaction(gallery);
  for (const char* photograph : {"/1.jpg", "/2.jpg"})
    transaction.put(photograph_of(name_of(number), "/p/" + name_of(number) + photograph),
                    std::vector{synthetic_face(static_cast<std::uint64_t>(number))});
  transaction.commit();
}

// The people, after having made sure that each has two photographs and two faces.
std::size_t whole_people(const Gallery& gallery) {
  const auto people = gallery.people();
  for (const Person& person : people)
    if (person.photographs != 2 || person.faces != 2)
      throw std::runtime_error(person.identity + " is half there");
  std::map<std::string, int> faces;
  for (const GalleryFace& face : gallery.faces()) ++faces[face.identity];
  for (const auto& [name, count] : faces)
    if (count != 2) throw std::runtime_error(name + " has a photograph only");
  return people.size();
}

}  // namespace

TEST_CASE("a writer that is killed at any moment leaves a valid gallery with all that it committed") {
  const std::uint64_t seed = 20240607;
  std::printf("kill: seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const Scratch scratch("gallery-kill");
  int next = 0, committed_in_all = 0, made = 0;
  fs::path path;
  // Time in which about half of the new galleries are made, however busy the machine is.
  double creation = 5'000;
  for (int round = 0; round < 50; ++round) {
    CAPTURE(round);
    // Every second time a new gallery: then the kill may fall into its creation.
    const bool fresh = round % 2 == 0;
    if (fresh) path = scratch.path / std::to_string(round), next = 0;
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    const pid_t child = start([&] {
      Gallery gallery = Gallery::open_or_create(path, kModel);
      for (int number = next;; ++number) {
        add_person(gallery, number);
        if (::write(pipe[1], &number, sizeof number) != sizeof number) return 1;
      }
    });
    ::close(pipe[1]);
    int committed = next;
    const auto read_commit = [&] {
      int number = -1;
      if (::read(pipe[0], &number, sizeof number) != sizeof number) return false;
      committed = number + 1;
      return true;
    };
    if (fresh)
      ::usleep(static_cast<useconds_t>(random() % static_cast<std::uint64_t>(2 * creation)));
    else {
      for (auto commits = 1 + random() % 60; commits > 0; --commits) CHECK(read_commit());
      ::usleep(static_cast<useconds_t>(random() % 2'000));
    }
    ::kill(child, SIGKILL);
    CHECK(wait_for(child) == -SIGKILL);
    while (read_commit()) continue;
    ::close(pipe[0]);
    committed_in_all += committed - next;
    const bool exists = fs::exists(path);
    if (fresh) creation = exists ? creation / 1.3 : creation * 1.3;
    if (!exists) {
      CHECK(committed == 0);
      next = 0;
      continue;
    }
    ++made;
    const Gallery gallery = Gallery::open(path);
    const GalleryReport report = gallery.verify(2);
    CHECK_MESSAGE(report.damage.empty(), report.damage.front());
    const std::size_t people = whole_people(gallery);
    // The last commit may have been on the disk before it was reported.
    CHECK(people >= static_cast<std::size_t>(committed));
    CHECK(people <= static_cast<std::size_t>(committed) + 1);
    std::map<std::string, std::size_t> names;
    for (const Person& person : gallery.people()) names[person.identity] = person.photographs;
    for (int i = 0; i < committed; ++i) CHECK(names.count(name_of(i)) == 1);
    next = static_cast<int>(people);
  }
  std::printf("kill: %d commits in 50 rounds, %d galleries made\n", committed_in_all, made);
  CHECK(made > 25);
  CHECK(made < 50);
  CHECK(committed_in_all > 50);
}

TEST_CASE("readers in other processes never fail and never see half of a person") {
  const Scratch scratch("gallery-readers");
  const fs::path path = scratch.path / "g";
  { Gallery::open_or_create(path, kModel); }
  constexpr int kPeople = 150;
  std::vector<pid_t> readers;
  for (int i = 0; i < 2; ++i)
    readers.push_back(start([&] {
      std::size_t reads = 0, changes = 0, before = 0, people = 0;
      // One reader keeps its gallery open, the other opens it anew: as the first, the last, in between.
      auto kept = i == 0 ? std::optional(Gallery::open(path)) : std::nullopt;
      while (people < kPeople) {
        people = kept ? whole_people(*kept) : whole_people(Gallery::open(path));
        if (people < before) return 1;
        changes += people != before;
        before = people;
        ++reads;
      }
      std::printf("reader %d: %zu reads, %zu states\n", i, reads, changes);
      return changes > 1 ? 0 : 2;
    }));
  // Half of the writes by a gallery that is opened for each.
  const pid_t writer = start([&] {
    Gallery gallery = Gallery::open_writable(path);
    for (int i = 0; i < kPeople / 2; ++i) add_person(gallery, i);
    gallery = Gallery::open_writable(path);
    for (int i = kPeople / 2; i < kPeople; ++i) {
      Gallery again = Gallery::open_or_create(path, kModel);
      add_person(again, i);
    }
    return 0;
  });
  CHECK(wait_for(writer) == 0);
  for (const pid_t reader : readers) CHECK(wait_for(reader) == 0);
  // SQLite leaves its files if the last two close at the same moment; whoever closes alone removes them.
  CHECK(whole_people(Gallery::open(path)) == kPeople);
  CHECK(files_in(scratch.path) == 1);
}

TEST_CASE("what processes leave that close a gallery at the same moment, the next to close it takes away") {
  const Scratch scratch("gallery-close");
  const fs::path path = scratch.path / "g";
  { Gallery::open_or_create(path, kModel); }
  int left = 0;
  for (int round = 0; round < 20; ++round) {
    CAPTURE(round);
    int ready[2], go[2];
    REQUIRE(::pipe(ready) == 0);
    REQUIRE(::pipe(go) == 0);
    std::vector<pid_t> users;
    for (int i = 0; i < 2; ++i)
      users.push_back(start([&, i] {
        Gallery gallery = Gallery::open_writable(path);
        add_person(gallery, 2 * round + i);
        ::close(go[1]);
        char byte = 'r';
        if (::write(ready[1], &byte, 1) != 1) return 1;
        return ::read(go[0], &byte, 1) == 0 ? 0 : 2;  // until the parent closes its end
      }));
    char byte;
    for (int i = 0; i < 2; ++i) CHECK(::read(ready[0], &byte, 1) == 1);
    for (const int end : {go[1], go[0], ready[0], ready[1]}) ::close(end);
    for (const pid_t user : users) CHECK(wait_for(user) == 0);
    left += files_in(scratch.path) > 1;
    CHECK(whole_people(Gallery::open(path)) == 2 * static_cast<std::size_t>(round + 1));
    CHECK(files_in(scratch.path) == 1);
  }
  CHECK(Gallery::open(path).verify(2).damage.empty());
  std::printf("close: files left in %d of 20 rounds, until the next close\n", left);
}

TEST_CASE("several processes create one gallery at once") {
  const Scratch scratch("gallery-create");
  for (int round = 0; round < 10; ++round) {
    const fs::path path = scratch.path / std::to_string(round);
    std::vector<pid_t> makers;
    for (int i = 0; i < 4; ++i)
      makers.push_back(start([&, i] {
        Gallery gallery = Gallery::open_or_create(path, kModel);
        add_person(gallery, i);
        return 0;
      }));
    for (const pid_t maker : makers) CHECK(wait_for(maker) == 0);
    const Gallery gallery = Gallery::open(path);
    CHECK(whole_people(gallery) == 4);
    CHECK(gallery.verify(2).damage.empty());
  }
}

TEST_CASE("a full disk is said to be full, and loses nothing") {
  const Scratch scratch("gallery-full");
  const fs::path disk = scratch.path / "disk";
  fs::create_directory(disk);
  if (::mount("none", disk.c_str(), "tmpfs", 0, "size=2m") != 0) {
    std::printf("skipped: no small disk (mount: %s)\n", std::strerror(errno));
    return;
  }
  {
    const fs::path path = disk / "g", ballast = disk / "ballast";
    std::ofstream(ballast) << std::string(1 << 20, 'x');
    Gallery gallery = Gallery::open_or_create(path, kModel);
    int stored = 0;
    std::string refusal;
    ErrorCode code{};
    while (refusal.empty() && stored < 1000) try {
        add_person(gallery, stored);
        ++stored;
      } catch (const Error& error) {
        code = error.code();
        refusal = error.what();
      }
    std::printf("full after %d people: %s\n", stored, refusal.c_str());
    CHECK(code == ErrorCode::io);
    CHECK(refusal.find("g: the disk is full; everything up to the last commit is stored") !=
          std::string::npos);
    CHECK(stored > 0);
    const auto valid = [&] {
      CHECK(whole_people(Gallery::open(path)) == static_cast<std::size_t>(stored));
      CHECK(Gallery::open(path).verify(2).damage.empty());
    };
    valid();
    CHECK(whole_people(gallery) == static_cast<std::size_t>(stored));
    fs::remove(ballast);
    add_person(gallery, stored++);
    valid();
    // In a process of its own, which meets the full disk first thing.
    std::ofstream(ballast) << std::string(1 << 21, 'x');
    CHECK(wait_for(start([&] {
            return whole_people(Gallery::open(path)) == static_cast<std::size_t>(stored) ? 0 : 1;
          })) == 0);
    try {
      Gallery::open_or_create(disk / "new", kModel);
      FAIL_CHECK("no error");
    } catch (const Error& error) {
      CHECK_MESSAGE(error.code() == ErrorCode::io, error.what());
    }
    CHECK_FALSE(fs::exists(disk / "new"));
    fs::remove(ballast);
    gallery = Gallery::open(path);
    valid();
  }
  CHECK(::umount2(disk.c_str(), MNT_DETACH) == 0);
}
