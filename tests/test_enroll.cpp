// enroll, find and gallery as a user runs them.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "src/gallery.hpp"
#include "tests/program.h"

namespace {

using namespace adaface::testing;

const std::vector<std::string>& people() {
  static const std::vector<std::string> kNames = {"ada",  "bruno", "chen",  "dalia",
                                                  "emre", "fatou", "goran", "hana"};
  return kNames;
}

// DIR/ada/ada1.jpg ... with these numbers of each person's pictures.
void copy_people(const fs::path& directory, const std::vector<int>& numbers) {
  for (const std::string& person : people())
    for (const int number : numbers) {
      const std::string file = person + "/" + person + std::to_string(number) + ".jpg";
      fs::create_directories(directory / person);
      fs::copy_file(picture("people/" + file), directory / file, fs::copy_options::overwrite_existing);
    }
}

// The last line of enroll --json.
Json summary(const Result& result) {
  const std::vector<Json> all = lines(result.out);
  REQUIRE(!all.empty());
  return all.back();
}

Result enroll(const fs::path& directory, const fs::path& gallery, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"enroll", directory.string(), "--gallery", gallery.string(),
                                        "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return fixture().adaface(arguments);
}

// What a gallery holds, as text that is equal when they are.
std::string contents(const fs::path& gallery) {
  const fs::path csv = gallery.string() + ".csv";
  const Result result = fixture().adaface({"gallery", "export", gallery.string(), "--csv", csv.string()});
  CAPTURE(result.err);
  REQUIRE(result.code == 0);
  return read(csv);
}

std::set<std::string> rows(const std::string& text) {
  std::set<std::string> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.insert(line);
  return result;
}

// A child process with its standard streams closed to a file.
pid_t start(const std::vector<std::string>& arguments, const fs::path& output) {
  const std::string home = fixture().home().string();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child != 0) return child;
  const int fd = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::dup2(fd, STDOUT_FILENO);
  ::dup2(fd, STDERR_FILENO);
  ::setenv("ADAFACE_HOME", home.c_str(), 1);
  std::vector<char*> argv = {const_cast<char*>(ADAFACE_CLI)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(ADAFACE_CLI, argv.data());
  ::_exit(127);
}

}  // namespace

TEST_CASE("people enrolled, found again, as computed one by one") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("known"), queries = f.directory("queries");
  const fs::path gallery = f.directory("g") / "people.gallery";
  copy_people(known, {1, 2});
  copy_people(queries, {3, 4});
  for (const char* name : {"group.jpg", "stranger.jpg", "no_face.jpg"})
    fs::copy_file(picture(name), queries / name);
  const Json enrolled = summary(enroll(known, gallery));
  CHECK(enrolled["people"] == 8);
  CHECK(enrolled["enrolled"] == 16);
  CHECK(enrolled["rejected"] == 0);

  const Result found = f.adaface({"find", queries.string(), "--gallery", gallery.string(), "--json", "--top",
                                  "8", "--threshold", "0.9"});
  CHECK(found.code == 0);
  const std::vector<Json> answers = lines(found.out);

  // The same from embed: every face of the gallery with every face of the queries, in double.
  using Vector = std::vector<double>;
  std::vector<std::pair<std::string, Vector>> faces;  // person, embedding
  for (const Json& line : lines(f.adaface({"embed", "--json", known.string()}).out)) {
    REQUIRE(line["faces"].size() == 1);
    faces.emplace_back(fs::path(line["file"].get<std::string>()).parent_path().filename().string(),
                       line["faces"][0]["embedding"].get<Vector>());
  }
  std::size_t at = 0, in_group = 0;
  for (const Json& line : lines(f.adaface({"embed", "--json", queries.string()}).out)) {
    if (line["faces"].empty()) {
      REQUIRE(at < answers.size());
      CHECK(answers[at]["decision"] == "no_face");
      CHECK(answers[at]["matches"].empty());
      CHECK(answers[at++]["file"] == line["file"]);
    }
    for (const Json& face : line["faces"]) {
      REQUIRE(at < answers.size());
      const Json& answer = answers[at++];
      CHECK(answer["file"] == line["file"]);
      CHECK(answer["box"] == face["box"]);
      const Vector query = face["embedding"].get<Vector>();
      std::map<std::string, double> best;
      for (const auto& [person, vector] : faces) {
        double similarity = 0;
        for (std::size_t i = 0; i < 512; ++i) similarity += query[i] * vector[i];
        best[person] = std::max(best.contains(person) ? best[person] : -1, similarity);
      }
      std::vector<std::pair<double, std::string>> order;
      for (const auto& [person, similarity] : best) order.emplace_back(similarity, person);
      std::ranges::sort(order, std::greater());
      REQUIRE(answer["matches"].size() == 8);
      for (std::size_t k = 0; k < 8; ++k) {
        CHECK(answer["matches"][k]["identity"] == order[k].second);
        CHECK(std::abs(answer["matches"][k]["similarity"].get<double>() - order[k].first) <= 1e-5);
      }
      CHECK(answer["decision"] == (order[0].first >= 0.9 ? "match" : "unknown"));
      in_group += answer["file"].get<std::string>().ends_with("group.jpg");
    }
  }
  CHECK(at == answers.size());
  CHECK(in_group == 13);
  // One picture on several threads, several pictures: the same answers.
  CHECK(lines(f.adaface({"find", (queries / "group.jpg").string(), "--gallery", gallery.string(), "--json",
                         "--top", "8", "--threshold", "0.9", "--threads", "3"})
                  .out)
            .size() == 13);
}

TEST_CASE("a second run looks only at what changed") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("inc"), gallery = f.directory("inc-g") / "g";
  copy_people(known, {1});
  CHECK(summary(enroll(known, gallery))["enrolled"] == 8);
  const std::string first = contents(gallery);
  Json again = summary(enroll(known, gallery));
  CHECK(again["unchanged"] == 8);
  CHECK(again["enrolled"] == 0);
  CHECK(contents(gallery) == first);

  // One changed, one moved to another person, one gone, one new, one without a face, one of many, one
  // damaged.
  fs::copy_file(picture("people/ada/ada2.jpg"), known / "ada/ada1.jpg", fs::copy_options::overwrite_existing);
  fs::create_directories(known / "bruno2");
  fs::rename(known / "bruno/bruno1.jpg", known / "bruno2/moved.jpg");
  fs::remove(known / "chen/chen1.jpg");
  fs::copy_file(picture("people/dalia/dalia2.jpg"), known / "dalia/dalia2.jpg");
  fs::copy_file(picture("no_face.jpg"), known / "emre/empty.jpg");
  fs::copy_file(picture("group.jpg"), known / "fatou/party.jpg");
  write(known / "goran/broken.jpg", read(picture("stranger.jpg")).substr(0, 3000));
  const Result changed = enroll(known, gallery);
  CHECK(changed.code == 1);
  again = summary(changed);
  CHECK(again["replaced"] == 1);
  CHECK(again["moved"] == 1);
  CHECK(again["enrolled"] == 1);
  CHECK(again["unchanged"] == 5);
  CHECK(again["rejected"] == 2);
  CHECK(again["failed"] == 1);
  REQUIRE(again["vanished"].size() == 1);
  CHECK(again["vanished"][0] == (known / "chen/chen1.jpg").string());
  std::map<std::string, std::string> reasons;
  for (const Json& line : lines(changed.out))
    if (line.contains("reason"))
      reasons[fs::path(line["file"].get<std::string>()).filename()] = line["reason"];
  CHECK(reasons.at("empty.jpg") == "no face");
  CHECK(reasons.at("party.jpg") == "13 faces, expected one (--faces largest or best chooses)");
  CHECK_CONTAINS(contents(gallery), "chen1.jpg");
  CHECK_CONTAINS(contents(gallery), "bruno2,");
  CHECK(!contains(contents(gallery), "bruno1.jpg"));

  // What was refused is not examined again, but named again; other rules ask for another look.
  again = summary(enroll(known, gallery, {"--prune"}));
  CHECK(again["rejected"] == 2);
  CHECK(again["unchanged"] == 8);
  CHECK(again["pruned"] == 1);
  CHECK(!contains(contents(gallery), "chen1.jpg"));
  again = summary(enroll(known, gallery, {"--faces", "largest"}));
  CHECK(again["replaced"] == 8);
  CHECK(again["enrolled"] == 1);  // refused until now
  CHECK(again["rejected"] == 1);

  const auto alone = [&](std::vector<std::string> more) {
    const fs::path one = f.directory("one");
    fs::copy_file(picture("people/ada/ada1.jpg"), one / "ada1.jpg");
    const std::vector<Json> all = lines(enroll(one, f.directory("one-g") / "g", more).out);
    REQUIRE(all.size() == 2);
    return all[0];
  };
  const auto reason = [&](std::vector<std::string> more) { return alone(more)["reason"].get<std::string>(); };
  CHECK(reason({"--min-face", "300"}) == "face of 88 px, expected at least 300 px (--min-face)");
  CHECK_CONTAINS(reason({"--min-score", "1"}), "score 0.9998");
  CHECK_CONTAINS(reason({"--min-score", "1"}), ", expected at least 1 (--min-score)");
  CHECK_CONTAINS(reason({"--min-norm", "1000"}), "expected at least 1000 (--min-norm)");
  // The least next to what is found: the reason tells them apart, and what was printed is accepted.
  const Json found = alone({});
  for (const std::string key : {"score", "norm"}) {
    const float value = found[key].get<float>();
    const auto text = [](float number) {
      char digits[32];
      return std::string(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
    };
    const std::string above = text(std::nextafter(value, 2 * value));
    CHECK(reason({"--min-" + key, above}) ==
          key + " " + text(value) + ", expected at least " + above + " (--min-" + key + ")");
    CHECK(alone({"--min-" + key, text(value)})["action"] == "enrolled");
  }
  const Json& box = found["box"];
  const double side =
      std::min(box[2].get<double>() - box[0].get<double>(), box[3].get<double>() - box[1].get<double>()) + 1;
  const std::string whole = std::to_string(static_cast<int>(side)),
                    next = std::to_string(static_cast<int>(side) + 1);
  CHECK(reason({"--min-face", next}) ==
        "face of " + whole + " px, expected at least " + next + " px (--min-face)");
}

TEST_CASE("no option loses a photograph whose file is the same, but for --prune") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("kept"), gallery = f.directory("kept-g") / "g";
  copy_people(known, {1});
  fs::copy_file(picture("no_face.jpg"), known / "ada/empty.jpg");
  REQUIRE(enroll(known, gallery).code == 0);
  const std::string before = contents(gallery);
  // Stricter rules refuse everything.
  const Result strict = enroll(known, gallery, {"--min-norm", "1000"});
  CHECK(strict.code == 0);
  Json counts = summary(strict);
  CHECK(counts["looked_again"] == 9);
  CHECK(counts["kept"] == 8);
  CHECK(counts["removed"] == 0);
  CHECK(counts["rejected"] == 1);
  CHECK(counts["photographs"] == 8);
  for (const Json& line : lines(strict.out)) {
    if (!line.contains("action") || line["action"] != "kept") continue;
    CHECK_CONTAINS(line["reason"].get<std::string>(), "expected at least 1000 (--min-norm)");
  }
  CHECK(contents(gallery) == before);
  const Result text =
      f.adaface({"enroll", known.string(), "--gallery", gallery.string(), "--min-norm", "1000"});
  CHECK_CONTAINS(text.out, "8 looked at again: known under other rules\n");
  CHECK_CONTAINS(
      text.out,
      "\n0 enrolled, 0 replaced, 0 moved, 0 unchanged, 8 kept, 0 removed, 1 refused, 0 unreadable\n");
  CHECK_CONTAINS(text.out, "Refused:\n  " + (known / "ada/empty.jpg").string() + ": no face\n");
  CHECK_CONTAINS(text.out, "\nKept although these rules refuse them (--prune removes them):\n  " +
                               (known / "ada/ada1.jpg").string() + ": norm ");
  CHECK_CONTAINS(text.out, "8 people, 8 photographs\n");
  // The rules of before: as if nothing had been.
  counts = summary(enroll(known, gallery));
  CHECK(counts["unchanged"] == 8);
  CHECK(counts["looked_again"] == 1);

  // What is kept goes along with its person; a file that is another now does not speak for the old one.
  fs::copy_file(picture("no_face.jpg"), known / "bruno/bruno1.jpg", fs::copy_options::overwrite_existing);
  const Result changed = enroll(known, gallery, {"--min-norm", "1000", "--identity", "stem"});
  CHECK(changed.code == 0);
  counts = summary(changed);
  CHECK(counts["kept"] == 7);
  CHECK(counts["removed"] == 1);
  CHECK(counts["rejected"] == 1);
  CHECK_CONTAINS(contents(gallery), "\nada1,");
  CHECK(!contains(contents(gallery), "bruno1"));
  CHECK(rows(contents(gallery)).size() == 8);  // the header, and seven

  // --prune: those that are refused, and, counted for themselves, those that are gone.
  fs::remove(known / "chen/chen1.jpg");
  const Result pruned = f.adaface({"enroll", known.string(), "--gallery", gallery.string(), "--min-norm",
                                   "1000", "--identity", "stem", "--prune"});
  CHECK(pruned.code == 0);
  CHECK_CONTAINS(pruned.out, "Gone, and removed from the gallery:\n  " + (known / "chen/chen1.jpg").string());
  CHECK_CONTAINS(pruned.out, " 0 kept, 6 removed, 2 refused, ");
  CHECK(!contains(pruned.out, "Kept"));
  CHECK(rows(contents(gallery)).size() == 1);
  counts = summary(enroll(known, gallery, {"--min-norm", "1000", "--identity", "stem"}));
  CHECK(counts["rejected"] == 9 - 1);
  CHECK(counts["removed"] == 0);
  CHECK(counts["looked_again"] == 0);

  // A file that was changed is named as removed, with what became of it.
  copy_people(known, {1});
  REQUIRE(enroll(known, gallery).code == 0);
  fs::copy_file(picture("no_face.jpg"), known / "dalia/dalia1.jpg", fs::copy_options::overwrite_existing);
  const Result lost = f.adaface({"enroll", known.string(), "--gallery", gallery.string()});
  CHECK_CONTAINS(
      lost.out, "Removed:\n  " + (known / "dalia/dalia1.jpg").string() + ": no face; the file has changed\n");
}

TEST_CASE("a photograph that moves while the rules change moves") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("moved"), gallery = f.directory("moved-g") / "g";
  const auto begin = [&] {
    fs::remove_all(known);
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(gallery.string() + suffix);
    fs::create_directories(known / "ada");
    fs::copy_file(picture("people/ada/ada1.jpg"), known / "ada/1.jpg");
    fs::copy_file(picture("people/ada/ada2.jpg"), known / "ada/2.jpg");
    fs::copy_file(picture("no_face.jpg"), known / "ada/empty.jpg");
    REQUIRE(summary(enroll(known, gallery))["enrolled"] == 2);
    fs::rename(known / "ada", known / "bob");
  };
  const auto people = [&] {
    std::set<std::string> names;
    for (const Json& line : lines(f.adaface({"gallery", "list", gallery.string(), "--json"}).out))
      if (line["photographs"] != 0) names.insert(line["identity"].get<std::string>());
    return names;
  };
  const std::set<std::string> bob = {"bob"};
  // Refused under the new rules: kept, at the new place.
  begin();
  Json counts = summary(enroll(known, gallery, {"--min-norm", "1000"}));
  CHECK(counts["kept"] == 2);
  CHECK(counts["rejected"] == 1);
  CHECK(counts["looked_again"] == 3);
  CHECK(counts["vanished"].empty());
  CHECK(people() == bob);
  CHECK(!contains(contents(gallery), "/ada/"));
  counts = summary(enroll(known, gallery));
  CHECK(counts["unchanged"] == 2);
  CHECK(counts["rejected"] == 1);
  CHECK(counts["photographs"] == 2);
  CHECK(people() == bob);

  // Accepted: replaced, at the new place.
  begin();
  counts = summary(enroll(known, gallery, {"--faces", "largest"}));
  CHECK(counts["replaced"] == 2);
  CHECK(counts["looked_again"] == 3);
  CHECK(counts["vanished"].empty());
  CHECK(people() == bob);
  CHECK_CONTAINS(contents(gallery), "faces=largest");
  CHECK(!contains(contents(gallery), "faces=one"));
  CHECK(summary(enroll(known, gallery, {"--faces", "largest"}))["unchanged"] == 2);

  // Refused, with --prune: removed, at the old place too.
  begin();
  counts = summary(enroll(known, gallery, {"--min-norm", "1000", "--prune"}));
  CHECK(counts["removed"] == 2);
  CHECK(counts["pruned"] == 0);
  CHECK(counts["photographs"] == 0);
  CHECK(rows(contents(gallery)).size() == 1);
}

TEST_CASE("what was imported without its content's hash is kept too") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("hashless"), gallery = f.directory("hashless-g") / "g";
  copy_people(known, {1});
  REQUIRE(enroll(known, gallery).code == 0);
  const std::string before = contents(gallery);
  {
    adaface::Gallery written = adaface::Gallery::open_writable(gallery);
    adaface::Gallery::Transaction transaction(written);
    const std::vector<adaface::GalleryFace> faces = written.faces();
    for (const adaface::GalleryFace& face : faces)
      transaction.put({.path = face.photograph, .identity = face.identity},
                      std::vector<adaface::FaceRecord>{{face.embedding, face.box, face.score}});
    transaction.commit();
  }
  CHECK(summary(enroll(known, gallery, {"--min-norm", "1000"}))["kept"] == 8);
  CHECK(summary(enroll(known, gallery))["replaced"] == 8);
  CHECK(contents(gallery) == before);
}

TEST_CASE("what cannot be seen is not gone") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("unmounted"), other = f.directory("unmounted-other"),
                 gallery = f.directory("unmounted-g") / "g";
  copy_people(known, {1});
  REQUIRE(enroll(known, gallery).code == 0);
  const std::string before = contents(gallery);
  const fs::path away = f.directory("unmounted-away") / "x";
  fs::rename(known, away);
  CHECK(enroll(known, gallery, {"--prune"}).code == 1);  // missing
  CHECK(contents(gallery) == before);
  fs::create_directories(known);
  CHECK(enroll(known, gallery, {"--prune"}).code == 1);  // empty, as a mount point is
  CHECK(contents(gallery) == before);
  // The same pictures elsewhere are others, as long as the first directory is not seen.
  fs::remove(known);
  fs::create_directories(other / "review");
  fs::copy_file(away / "ada/ada1.jpg", other / "review/ada1.jpg");
  CHECK(summary(enroll(other, gallery))["enrolled"] == 1);
  CHECK_CONTAINS(contents(gallery), (known / "ada/ada1.jpg").string());
  // Nothing to store: no gallery is made.
  const fs::path none = f.directory("unmounted-none") / "g";
  CHECK(enroll(known, none).code == 1);
  CHECK(!fs::exists(none));
  const Result text = f.adaface({"enroll", known.string(), "--gallery", none.string()});
  CHECK_CONTAINS(text.out, "\n" + none.string() + ": not created, there was nothing to store\n");
  CHECK(!contains(text.out, "0 people"));
}

TEST_CASE("whose photograph it is") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("who");
  fs::create_directories(known / "team");
  fs::copy_file(picture("people/ada/ada1.jpg"), known / "team/ada.one.jpg");
  const auto identity = [&](const char* rule) {
    return lines(enroll(known, f.directory("who-g") / "g", {"--identity", rule}).out)[0]["identity"]
        .get<std::string>();
  };
  CHECK(identity("folder") == "team");
  CHECK(identity("path") == "team/ada.one.jpg");
  CHECK(identity("stem") == "ada.one");
}

TEST_CASE(
    "killed at any moment: the gallery is sound, what was stored stays, and the next run completes it") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("kill"), directory = f.directory("kill-g");
  copy_people(known, {1, 2});
  const fs::path whole = directory / "whole", gallery = directory / "killed";
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(enroll(known, whole, {"--threads", "1"}).code == 0);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const std::string expected = contents(whole);

  constexpr unsigned kSeed = 50;
  std::printf("kill -9: seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  std::set<std::string> stored;
  int completed = 0, with_part = 0;
  for (int kill = 0; kill < 50; ++kill) {
    const pid_t child =
        start({"enroll", known.string(), "--gallery", gallery.string(), "--threads", "1"}, directory / "log");
    // From before the gallery is made to after the last person.
    std::this_thread::sleep_for(
        std::chrono::duration<double>(seconds * std::uniform_real_distribution(0.0, 1.1)(random)));
    ::kill(child, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    if (!fs::exists(gallery)) continue;
    const Result verified = f.adaface({"gallery", "verify", gallery.string(), "--duplicates-above", "1"});
    CAPTURE(verified.out);
    CHECK(verified.code == 0);
    const std::string now = contents(gallery);
    const std::set<std::string> lines_now = rows(now);
    CHECK(std::ranges::includes(lines_now, stored));
    CHECK(lines_now.size() % 2 == 1);  // the header, and two photographs a person
    with_part += lines_now.size() > 1 && lines_now.size() < 17;
    stored = lines_now;
    if (!WIFEXITED(status)) continue;
    CHECK(now == expected);
    ++completed;
    stored.clear();
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(gallery.string() + suffix);
  }
  CHECK(enroll(known, gallery).code == 0);
  CHECK(contents(gallery) == expected);
  std::printf("50 kills: %d runs complete, %d galleries in part\n", completed, with_part);
  CHECK(with_part > 0);
}

TEST_CASE("readers while one enrols: whole people, and no failure") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("readers"), directory = f.directory("readers-g"),
                 gallery = directory / "g";
  copy_people(known, {1, 2});
  fs::create_directories(directory / "first");
  fs::copy(known / "ada", directory / "first/ada");
  REQUIRE(enroll(directory / "first", gallery).code == 0);
  const pid_t writer =
      start({"enroll", known.string(), "--gallery", gallery.string(), "--threads", "1"}, directory / "log");
  int status = 0, reads = 0;
  while (::waitpid(writer, &status, WNOHANG) == 0) {
    const pid_t other =
        start({"gallery", "verify", gallery.string(), "--duplicates-above", "1"}, directory / "other");
    const Result listed = f.adaface({"gallery", "list", gallery.string(), "--json"});
    CAPTURE(listed.err);
    CHECK(listed.code == 0);
    const std::vector<Json> there = lines(listed.out);
    for (const Json& person : there)
      CHECK(person["photographs"] ==
            (person["identity"] == "ada" && there.size() > 1 ? Json(4) : person["photographs"]));
    for (const Json& person : there)
      if (person["identity"] != "ada") CHECK(person["photographs"] == 2);
    int other_status = 0;
    REQUIRE(::waitpid(other, &other_status, 0) == other);
    CHECK(other_status == 0);
    ++reads;
  }
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(reads > 0);
  CHECK(summary(enroll(known, gallery))["people"] == 8);
}

TEST_CASE("a disk that fills up") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("full"), disk = f.directory("full-disk");
  copy_people(known, {1, 2});
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=320k") != 0) {
    std::printf("skipped: no right to mount a small disk\n");
    return;
  }
  const fs::path gallery = disk / "g";
  const Result full = enroll(known, gallery);
  CHECK(full.code == 3);
  CHECK_CONTAINS(full.err, "g: ");
  CHECK_CONTAINS(full.err, "the disk is full; everything up to the last commit is stored");
  CHECK(f.adaface({"gallery", "verify", gallery.string(), "--duplicates-above", "1"}).code == 0);
  CHECK(::mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=4m") == 0);
  CHECK(summary(enroll(known, gallery))["people"] == 8);
  ::umount(disk.c_str());
}

TEST_CASE("names of any bytes are stored, printed and shown safely") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("names"), out = f.directory("names-out"), gallery = out / "g";
  const std::vector<std::string> names = {"o'neil \"ada\"",
                                          "<script>alert(1)</script>",
                                          "line\nbreak",
                                          "\xff\xfe",
                                          "semi;colon,comma",
                                          "-dash",
                                          "[a,b]",
                                          "\xc3\xa9mile"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    // No name of a folder holds a slash: --identity path gives such a person below.
    std::string folder = names[i];
    std::ranges::replace(folder, '/', '|');
    fs::create_directories(known / folder);
    fs::copy_file(picture("people/" + people()[i] + "/" + people()[i] + "1.jpg"), known / folder / "1.jpg");
  }
  REQUIRE(enroll(known, gallery).code == 0);
  REQUIRE(enroll(known, gallery, {"--identity", "path"}).code == 0);
  REQUIRE(enroll(known, gallery).code == 0);
  const std::vector<Json> listed = lines(f.adaface({"gallery", "list", gallery.string(), "--json"}).out);
  CHECK(listed.size() == names.size());
  const Result text = f.adaface({"gallery", "list", gallery.string()});
  CHECK_CONTAINS(text.out, "line?break");
  CHECK_CONTAINS(text.out, "?? ");
  // Columns are of characters: the longest name has 25.
  CHECK_CONTAINS(text.out, "\n\xc3\xa9mile" + std::string(25 - 5 + 2, ' ') + "1 photograph\n");
  // Bytes that JSON cannot hold stand beside, and only those.
  for (const Json& person : listed) {
    CHECK(person.contains("identity_hex") == (person["identity"] == "\xef\xbf\xbd\xef\xbf\xbd"));
    if (person.contains("identity_hex")) CHECK(person["identity_hex"] == "fffe");
  }
  std::size_t matches = 0;
  for (const Json& face : lines(
           f.adaface({"find", (known / "\xff\xfe").string(), "--gallery", gallery.string(), "--json"}).out)) {
    CHECK(
        face["file_hex"].get<std::string>().ends_with("2f"
                                                      "fffe"
                                                      "2f312e6a7067"));
    CHECK(face["matches"][0]["identity_hex"] == "fffe");
    ++matches;
  }
  CHECK(matches == 1);

  const Result found =
      f.adaface({"find", known.string(), "--gallery", gallery.string(), "--montage", (out / "m").string()});
  CHECK(found.code == 0);
  const std::string page = read(out / "m/index.html");
  CHECK(!contains(page, "<script"));
  CHECK_CONTAINS(page, "&lt;script&gt;alert(1)&lt;|script&gt;");
  CHECK_CONTAINS(page, "o&#39;neil &quot;ada&quot;");
  CHECK(fs::exists(out / "m/match/0001--dash.jpg"));
  CHECK(fs::exists(out / ("m/match/000" + std::to_string(names.size()) + "-__.jpg")));         // "\xff\xfe"
  CHECK(fs::exists(out / ("m/match/000" + std::to_string(names.size() - 1) + "-_mile.jpg")));  // a character
  for (const auto& entry : fs::directory_iterator(out / "m/match")) {
    const std::string name = entry.path().filename();
    CAPTURE(name);
    CHECK(contains(page, name));
    CHECK(std::ranges::all_of(
        name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; }));
  }
  // As they are, or as they are printed.
  for (const std::string name : {"line?break", "\xff\xfe", "-dash", "[a,b]"}) {
    const Result removed = f.adaface({"gallery", "remove", gallery.string(), "--", name});
    CAPTURE(removed.err);
    CHECK(removed.code == 0);
  }
  CHECK(lines(f.adaface({"gallery", "list", gallery.string(), "--json"}).out).size() == names.size() - 4);
  const Result nobody = f.adaface({"gallery", "remove", gallery.string(), "semi;colon,comma", "nobody"});
  CHECK(nobody.code == 2);
  CHECK_CONTAINS(nobody.err, "no person \"nobody\"");
  CHECK(lines(f.adaface({"gallery", "list", gallery.string(), "--json"}).out).size() == names.size() - 4);
  // Whom a printed name means must be one.
  for (const std::string name : {"a\nb", "a\tb"}) {
    fs::create_directories(known / name);
    fs::copy_file(picture("people/ada/ada2.jpg"), known / name / "1.jpg");
  }
  REQUIRE(enroll(known, gallery).code == 0);
  const Result which = f.adaface({"gallery", "remove", gallery.string(), "a?b"});
  CHECK(which.code == 2);
  CHECK_CONTAINS(which.err, "2 people are printed as \"a?b\"; nothing was removed");
  CHECK(f.adaface({"gallery", "remove", gallery.string(), "a\nb", "a\nb"}).code == 0);
  CHECK(f.adaface({"gallery", "remove", gallery.string(), "a?b"}).code == 0);
}

TEST_CASE("the montage: known and unknown apart, a page for all") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("montage"), out = f.directory("montage-out"), gallery = out / "g";
  copy_people(known, {1});
  REQUIRE(enroll(known, gallery).code == 0);
  const Result found = f.adaface({"find", picture("people/ada/ada3.jpg"), picture("people/bruno/bruno3.jpg"),
                                  picture("no_face.jpg"), "--gallery", gallery.string(), "--montage",
                                  (out / "m").string(), "--json"});
  CHECK(found.code == 0);
  CHECK(fs::exists(out / "m/match/0001-ada.jpg"));
  CHECK(fs::exists(out / "m/match/0002-bruno.jpg"));
  const adaface::Image pair = adaface::read_image(out / "m/match/0001-ada.jpg");
  // Two portraits of 320 side by side; neither is a plain colour.
  CHECK(pair.width() > 640);
  for (const int x : {8, 340}) {
    std::set<int> values;
    for (int y = 8; y < 328; ++y)
      for (int column = x; column < x + 300; ++column) values.insert(pair.row(y)[3 * column]);
    CHECK(values.size() > 40);
  }
  const std::string page = read(out / "m/index.html");
  CHECK_CONTAINS(page, "2 known");
  CHECK_CONTAINS(page, "0 unknown");
  CHECK_CONTAINS(page, "no_face.jpg");

  // A directory of one's own is left alone, and an earlier montage replaced.
  const fs::path mine = f.directory("montage-mine");
  write(mine / "index.html", "mine");
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"find", picture("people/ada/ada3.jpg"), "--montage", mine.string()},
           {"find", known.string(), "--montage", (known / "found").string()},
           {"find", (out / "m/match/0001-ada.jpg").string(), "--montage", (out / "m").string()}}) {
    std::vector<std::string> all = arguments;
    all.insert(all.end(), {"--gallery", gallery.string()});
    const Result refused = f.adaface(all);
    CAPTURE(arguments[1]);
    CHECK(refused.code == 2);
    CHECK_CONTAINS(refused.err, "--montage");
  }
  CHECK(read(mine / "index.html") == "mine");
  CHECK(fs::exists(out / "m/match/0001-ada.jpg"));
  CHECK(f.adaface({"find", picture("people/bruno/bruno3.jpg"), "--gallery", gallery.string(), "--montage",
                   (out / "m").string()})
            .code == 0);
  CHECK(!fs::exists(out / "m/match/0001-ada.jpg"));
  CHECK(fs::exists(out / "m/match/0001-bruno.jpg"));

  // The gallery's photograph is gone: the answer stands. Nobody is as similar as 1: unknown.
  fs::remove(known / "ada/ada1.jpg");
  const fs::path second = out / "m2";
  CHECK(f.adaface({"find", picture("people/ada/ada3.jpg"), "--gallery", gallery.string(), "--montage",
                   second.string()})
            .code == 0);
  CHECK(fs::exists(second / "match/0001-ada.jpg"));
  const fs::path third = out / "m3";
  const Result unknown = f.adaface({"find", picture("people/ada/ada3.jpg"), "--gallery", gallery.string(),
                                    "--montage", third.string(), "--threshold", "1"});
  CHECK_CONTAINS(unknown.out, "unknown");
  CHECK_CONTAINS(unknown.out, "nearest: ada");
  CHECK(fs::exists(third / "unknown/0001.jpg"));
  // Three lines under one portrait, who is nearest among them; two under two.
  CHECK(adaface::read_image(third / "unknown/0001.jpg").height() == pair.height() + 24);
  CHECK(!fs::exists(third / "match/0001-ada.jpg"));
}

TEST_CASE("export and import, and the pickle of the Python pipeline") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("exchange"), out = f.directory("exchange-out"), gallery = out / "g";
  copy_people(known, {1, 2});
  REQUIRE(enroll(known, gallery).code == 0);
  const std::string before = contents(gallery);
  const std::vector<std::string> formats = {"npy", "csv", "jsonl"};
  for (const std::string& format : formats) {
    const std::string file = (out / ("people." + format)).string(),
                      copy = (out / ("copy-" + format)).string();
    const Result exported = f.adaface({"gallery", "export", gallery.string(), "--" + format, file});
    REQUIRE(exported.code == 0);
    const std::string counts = ": 16 photographs, 16 faces\n", beside = (out / "people.csv").string();
    CHECK(exported.out == file + counts + (format == "npy" ? beside + counts : ""));
    const Result imported = f.adaface({"gallery", "import", copy, file, "--json"});
    CHECK(imported.code == 0);
    CHECK(Json::parse(imported.out)["faces"] == 16);
    CHECK(contents(copy) == before);
  }
  // A gallery of another model refuses, naming both.
  const Result other = f.adaface({"gallery", "import", gallery.string(), (out / "people.csv").string()});
  CHECK(other.code == 0);
  std::string foreign = read(out / "people.csv");
  const std::string sha = adaface::Gallery::open(gallery).model().weights_sha256;
  for (std::size_t at = 0; (at = foreign.find(sha, at)) != std::string::npos;) foreign.replace(at, 4, "0000");
  write(out / "foreign.csv", foreign);
  const Result refused = f.adaface({"gallery", "import", gallery.string(), (out / "foreign.csv").string()});
  CHECK(refused.code == 1);
  CHECK_CONTAINS(refused.err, sha);
  CHECK_CONTAINS(refused.err, "0000" + sha.substr(4));
  CHECK(contents(gallery) == before);

  const std::string pickle = (source_root() / "tests/data/representations/article.pkl").string();
  const fs::path article = out / "article";
  CHECK(f.adaface({"gallery", "import", article.string(), pickle}).code == 2);
  CHECK(!fs::exists(article));
  const std::string model = (f.home() / "model.afw").string();
  const Result imported =
      f.adaface({"gallery", "import", article.string(), pickle, "--model", model, "--json"});
  CAPTURE(imported.err);
  CHECK(imported.code == 0);
  CHECK(Json::parse(imported.out)["faces"] == 3);
  const std::vector<adaface::GalleryFace> faces = adaface::Gallery::open(article).faces();
  REQUIRE(faces.size() == 3);
  // Value i of entry n is ((7 i + n) mod 61 - 30) / 2 (tests/data/representations/make.py).
  const std::map<std::string, int> entries = {{"anna", 0}, {"bj\xc3\xb6rn", 1}, {"c d", 2}};
  for (const adaface::GalleryFace& face : faces) {
    REQUIRE(entries.contains(face.identity));
    std::vector<double> values(512);
    double square = 0;
    for (int i = 0; i < 512; ++i) {
      values[i] = ((7 * i + entries.at(face.identity)) % 61 - 30) / 2.0;
      square += values[i] * values[i];
    }
    CHECK(face.embedding.norm == doctest::Approx(std::sqrt(square)));
    double worst = 0;
    for (int i = 0; i < 512; ++i)
      worst = std::max(worst, std::abs(face.embedding.unit[i] - values[i] / std::sqrt(square)));
    CHECK(worst < 1e-7);
  }
  const std::string evil = (source_root() / "tests/data/representations/evil.pkl").string();
  CHECK(f.adaface({"gallery", "import", article.string(), evil, "--model", model}).code == 1);
  CHECK(adaface::Gallery::open(article).faces().size() == 3);
}

TEST_CASE("exports never replace the gallery or one another; a refused import leaves none behind") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("targets"), out = f.directory("targets-out"), gallery = out / "g";
  copy_people(known, {1});
  REQUIRE(enroll(known, gallery).code == 0);
  const std::string before = contents(gallery), g = gallery.string(), e = (out / "e").string();
  for (const std::vector<std::string>& targets :
       std::vector<std::vector<std::string>>{{"--npy", e + ".npy", "--csv", e + ".csv"},
                                             {"--npy", e + ".dat", "--csv", e + ".dat.csv"},
                                             {"--csv", e, "--jsonl", e},
                                             {"--csv", g},
                                             {"--csv", g + "-wal"}}) {
    std::vector<std::string> arguments = {"gallery", "export", g};
    arguments.insert(arguments.end(), targets.begin(), targets.end());
    const Result refused = f.adaface(arguments);
    CHECK(refused.code == 2);
    CHECK_CONTAINS(refused.err, "written twice (--npy x.npy writes x.csv too)");
  }
  CHECK(!fs::exists(e + ".csv"));
  CHECK(contents(gallery) == before);
  write(out / "bad.csv", before.substr(0, before.size() / 2));
  const Result refused = f.adaface({"gallery", "import", (out / "new").string(), (out / "bad.csv").string()});
  CHECK(refused.code == 1);
  CHECK_CONTAINS(refused.err, "bad.csv");
  CHECK(!fs::exists(out / "new"));
  write(out / "good.csv", before);
  const Result both = f.adaface(
      {"gallery", "import", (out / "new").string(), (out / "bad.csv").string(), (out / "good.csv").string()});
  CHECK(both.code == 1);
  CHECK(contents(out / "new") == before);
}

TEST_CASE("a threshold is to be passed, not only reached") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path known = f.directory("threshold"), gallery = f.directory("threshold-g") / "g";
  copy_people(known, {1});
  REQUIRE(enroll(known, gallery).code == 0);
  const auto decision = [&](const std::string& threshold) {
    const Result result = f.adaface(
        {"find", picture("stranger.jpg"), "--gallery", gallery.string(), "--json", "--threshold", threshold});
    return Json::parse(result.out);
  };
  const Json first = decision("0");
  const double similarity = first["matches"][0]["similarity"];
  CHECK(first["decision"] == "match");
  CHECK(decision(Json(similarity).dump())["decision"] == "unknown");
  CHECK(decision(Json(std::nextafter(similarity, 0)).dump())["decision"] == "match");
}

TEST_CASE("galleries and arguments that cannot be used") {
  Fixture& f = fixture();
  const fs::path folder = f.directory("unusable");
  write(folder / "text", "no gallery at all, but long enough to look at\n");
  fs::create_directories(folder / "empty");
  const std::string photograph = picture("stranger.jpg");
  for (const std::string name : {"text", "missing", "empty"}) {
    CAPTURE(name);
    const std::string path = (folder / name).string();
    for (const std::vector<std::string>& arguments :
         std::vector<std::vector<std::string>>{{"gallery", "list", path},
                                               {"gallery", "verify", path},
                                               {"gallery", "remove", path, "ada"},
                                               {"gallery", "export", path, "--csv", path + ".csv"}}) {
      const Result result = f.adaface(arguments);
      CHECK(result.code == 3);
      CHECK_CONTAINS(result.err, "error: " + path);
    }
    CHECK(!fs::exists(path + ".csv"));
  }
  CHECK(read(folder / "text") == "no gallery at all, but long enough to look at\n");
  CHECK(!fs::exists(folder / "missing"));
  const std::string g = (folder / "g").string();
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"find", photograph, "--gallery", g, "--threshold", "1.1"},
                                             {"find", photograph, "--gallery", g, "--threshold", "nan"},
                                             {"find", photograph, "--gallery", g, "--threshold", "-2"},
                                             {"find", photograph, "--gallery", g, "--top", "0"},
                                             {"find", photograph},
                                             {"enroll", "--gallery", g},
                                             {"enroll", photograph, "--gallery", g, "--faces", "all"},
                                             {"enroll", photograph, "--gallery", g, "--min-score", "2"},
                                             {"gallery"},
                                             {"gallery", "burn", g},
                                             {"gallery", "export", g}}) {
    const Result result = f.adaface(arguments);
    CAPTURE(arguments.back());
    CHECK(result.code == 2);
    CHECK(result.err.starts_with("error: "));
  }
  if (!f.can_detect()) return;
  const Result empty = enroll(folder / "empty", g);
  CHECK(empty.code == 1);
  CHECK_CONTAINS(empty.out, "no .jpg .jpeg .png .bmp in this directory");
  const Result missing = enroll(folder / "nowhere", g);
  CHECK(missing.code == 1);
  CHECK_CONTAINS(missing.out, "nowhere");
}
