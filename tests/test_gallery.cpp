// The gallery file: what is put in comes out, changes are whole or not at all, and files that are no sound
// gallery are refused.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "src/gallery.hpp"

#include <sqlite3.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "tests/golden.h"
#include "tests/synthetic_gallery.h"

namespace {

using namespace adaface;
using namespace adaface::testing;
namespace fs = std::filesystem;

std::string refusal(ErrorCode expected, const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK_MESSAGE(error.code() == expected, error.what());
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return error.what();
  }
  FAIL_CHECK("no error");
  return "";
}

bool has(const std::string& text, const std::string& part) {
  CHECK_MESSAGE(text.find(part) != std::string::npos, text);
  return text.find(part) != std::string::npos;
}

void edit(const fs::path& path, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  char* message = nullptr;
  const int code = sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &message);
  CHECK_MESSAGE(code == SQLITE_OK, (message ? message : ""));
  sqlite3_free(message);
  sqlite3_close(database);
}

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// Ada with two photographs, Bruno with one and one that was refused.
fs::path make(const fs::path& path) {
  Gallery gallery = Gallery::open_or_create(path, kModel);
  Gallery::Transaction transaction(gallery);
  transaction.put(photograph_of("bruno", "/p/bruno/1.jpg"), std::vector{synthetic_face(3)});
  transaction.put(photograph_of("ada", "/p/ada/2.jpg"), std::vector{synthetic_face(2), synthetic_face(20)});
  transaction.put(photograph_of("ada", "/p/ada/1.jpg"), std::vector{synthetic_face(1)});
  Photograph rejected = photograph_of("bruno", "/p/bruno/2.jpg");
  rejected.rejection = "no face";
  transaction.put(rejected, {});
  transaction.commit();
  return path;
}

std::string state_of(const Gallery& gallery) {
  std::string text;
  for (const Photograph& p : gallery.photographs())
    text += p.identity + ' ' + p.path.native() + ' ' + p.rejection + '\n';
  for (const GalleryFace& f : gallery.faces())
    text += f.identity + ' ' + f.photograph.native() + ' ' + std::to_string(f.embedding.unit[0]) + '\n';
  return text;
}

// Without the privileges of root, which nothing refuses. True when f returned.
bool as_nobody(const std::function<void()>& f) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(3);
    try {
      f();
    } catch (const std::exception& error) {
      std::printf("%s\n", error.what());
      std::fflush(stdout);
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("what is put in comes out, in the order of names and paths") {
  const Scratch scratch("gallery");
  const fs::path path = make(scratch.path / "g");
  CHECK(files_in(scratch.path) == 1);  // nothing of SQLite's or of the creation stays behind
  const Gallery gallery = Gallery::open(path);
  CHECK(gallery.model().weights_sha256 == kModel.weights_sha256);
  CHECK(gallery.model().architecture == "ir_18");
  const auto people = gallery.people();
  REQUIRE(people.size() == 2);
  CHECK((people[0].identity == "ada" && people[0].photographs == 2 && people[0].faces == 3));
  CHECK((people[1].identity == "bruno" && people[1].photographs == 1 && people[1].faces == 1));

  const auto photographs = gallery.photographs();
  REQUIRE(photographs.size() == 4);
  const Photograph expected = photograph_of("ada", "/p/ada/1.jpg");
  CHECK(photographs[0].path == expected.path);
  CHECK(photographs[0].identity == expected.identity);
  CHECK(photographs[0].hash == expected.hash);
  CHECK(photographs[0].bytes == expected.bytes);
  CHECK(photographs[0].modified_ns == expected.modified_ns);
  CHECK(photographs[0].rules == expected.rules);
  CHECK(photographs[0].rejection.empty());
  CHECK(photographs[3].path == "/p/bruno/2.jpg");
  CHECK(photographs[3].rejection == "no face");

  const auto faces = gallery.faces();
  REQUIRE(faces.size() == 4);
  const std::uint64_t seeds[] = {1, 2, 20, 3};
  for (std::size_t i = 0; i < 4; ++i) {
    const FaceRecord face = synthetic_face(seeds[i]);
    CHECK(std::memcmp(&faces[i].embedding, &face.embedding, sizeof face.embedding) == 0);
    CHECK(std::memcmp(&faces[i].box, &face.box, sizeof face.box) == 0);
    CHECK(faces[i].score == face.score);
  }
  CHECK(faces[0].person == faces[2].person);
  CHECK(faces[0].person != faces[3].person);
  CHECK(faces[1].photograph == "/p/ada/2.jpg");
  std::size_t visited = 0;
  gallery.for_each_face([&](const GalleryFace& face) {
    CHECK(face.embedding.unit == faces[visited++].embedding.unit);
    CHECK(gallery.people().size() == 2);
  });
  CHECK(visited == faces.size());
  CHECK(gallery.verify(0.9).damage.empty());
  CHECK(gallery.verify(0.9).duplicates.empty());
}

TEST_CASE("content_hash is XXH3 of 128 bits, in its canonical order") {
  const unsigned char expected[] = {0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
                                    0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f};  // of no bytes
  CHECK(std::memcmp(content_hash({}).data(), expected, 16) == 0);
}

TEST_CASE("put replaces, move moves, people go with their last photograph") {
  const Scratch scratch("gallery");
  Gallery gallery = Gallery::open_or_create(make(scratch.path / "g"), kModel);
  const auto change = [&](const std::function<void(Gallery::Transaction&)>& f) {
    Gallery::Transaction transaction(gallery);
    f(transaction);
    transaction.commit();
    CHECK(gallery.verify(0.9).damage.empty());
  };
  change([](auto& t) { t.put(photograph_of("ada", "/p/ada/2.jpg"), std::vector{synthetic_face(7)}); });
  CHECK(gallery.faces().size() == 3);
  CHECK(gallery.faces()[1].embedding.unit == synthetic_face(7).embedding.unit);
  change([](auto& t) { t.put(photograph_of("chen", "/p/ada/2.jpg"), std::vector{synthetic_face(8)}); });
  CHECK(gallery.people().size() == 3);
  change([](auto& t) { t.move("/p/ada/2.jpg", "/p/dalia/2.jpg", "dalia"); });
  CHECK(gallery.people()[2].identity == "dalia");
  CHECK(gallery.faces()[2].embedding.unit == synthetic_face(8).embedding.unit);
  change([](auto& t) { t.move("/p/dalia/2.jpg", "/p/bruno/1.jpg", "bruno"); });  // onto another
  CHECK(gallery.people().size() == 2);
  CHECK(gallery.faces()[1].embedding.unit == synthetic_face(8).embedding.unit);
  change([](auto& t) { t.move("/p/bruno/1.jpg", "/p/bruno/1.jpg", "bruno"); });  // onto itself
  CHECK(gallery.faces().size() == 2);
  change([](auto& t) {
    CHECK(t.remove_photograph("/p/ada/1.jpg"));
    CHECK_FALSE(t.remove_photograph("/p/ada/1.jpg"));
    CHECK_FALSE(t.remove_person("ada"));
  });
  CHECK(gallery.people().size() == 1);
  change([](auto& t) { CHECK(t.remove_person("bruno")); });
  CHECK(gallery.people().empty());
  CHECK(gallery.photographs().empty());
  CHECK(gallery.faces().empty());
}

TEST_CASE("a transaction is whole or nothing") {
  const Scratch scratch("gallery");
  Gallery gallery = Gallery::open_or_create(make(scratch.path / "g"), kModel);
  const std::string before = state_of(gallery);
  {
    Gallery::Transaction transaction(gallery);
    transaction.remove_person("ada");
    CHECK(state_of(gallery) == before);  // what is committed
    refusal(ErrorCode::invalid_argument, [&] { Gallery::Transaction second(gallery); });
  }
  CHECK(state_of(gallery) == before);
  {
    Gallery::Transaction transaction(gallery);
    transaction.remove_person("ada");
    has(refusal(ErrorCode::not_found, [&] { transaction.move("/no\nne", "/x", "x"); }), "/no?ne");
    has(refusal(ErrorCode::invalid_argument, [&] { transaction.commit(); }), "failed before");
    refusal(ErrorCode::invalid_argument, [&] { transaction.remove_person("bruno"); });
  }
  CHECK(state_of(gallery) == before);
  {
    Gallery::Transaction transaction(gallery);
    transaction.commit();
    refusal(ErrorCode::invalid_argument, [&] { transaction.commit(); });
  }
  gallery.for_each_face([&](const GalleryFace&) {
    refusal(ErrorCode::invalid_argument, [&] { Gallery::Transaction transaction(gallery); });
  });
  Gallery reading = Gallery::open(scratch.path / "g");
  has(refusal(ErrorCode::invalid_argument, [&] { Gallery::Transaction transaction(reading); }),
      "reading only");
}

TEST_CASE("put refuses what may not be stored") {
  const Scratch scratch("gallery");
  Gallery gallery = Gallery::open_or_create(make(scratch.path / "g"), kModel);
  const std::string before = state_of(gallery);
  const auto refused = [&](const std::function<void(Photograph&, std::vector<FaceRecord>&)>& spoil) {
    Photograph photograph = photograph_of("ada", "/p/new.jpg");
    std::vector<FaceRecord> faces{synthetic_face(1)};
    spoil(photograph, faces);
    Gallery::Transaction transaction(gallery);
    refusal(ErrorCode::invalid_argument, [&] { transaction.put(photograph, faces); });
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused([](auto& p, auto&) { p.identity = ""; });
  refused([](auto& p, auto&) { p.path = ""; });
  refused([](auto& p, auto&) { p.identity = std::string("a\0b", 3); });
  refused([](auto& p, auto&) { p.path = std::string("/a\0b", 4); });
  refused([](auto& p, auto&) { p.identity = std::string(70'000, 'x'); });
  refused([](auto& p, auto&) { p.rejection = "a face all the same"; });
  refused([](auto& p, auto&) { p.bytes = ~std::uint64_t{0}; });
  refused([](auto&, auto& f) { f.clear(); });
  refused([&](auto&, auto& f) { f[0].embedding.unit[5] = nan; });
  refused([&](auto&, auto& f) { f[0].embedding.norm = nan; });
  refused([&](auto&, auto& f) { f[0].box.x1 = std::numeric_limits<float>::infinity(); });
  refused([](auto&, auto& f) {
    for (float& value : f[0].embedding.unit) value *= 1.002f;
  });
  CHECK(state_of(gallery) == before);
}

TEST_CASE("names and paths are any bytes") {
  const Scratch scratch("gallery");
  const fs::path path = scratch.path / "it's a \"g%41llery\"?#;\n\xff";
  const std::string names[] = {
      "'; DROP TABLE person; --", "a/b\\c", "line\nbreak", "\xff\xfe\x80", "\"", " ", "%"};
  Gallery gallery = Gallery::open_or_create(path, kModel);
  for (const std::string& name : names) add(gallery, name, "/p/" + name + ".jpg", 1);
  std::vector<std::string> sorted(std::begin(names), std::end(names));
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
      return static_cast<unsigned char>(x) < static_cast<unsigned char>(y);
    });
  });
  const auto people = Gallery::open(path).people();
  REQUIRE(people.size() == sorted.size());
  for (std::size_t i = 0; i < sorted.size(); ++i) CHECK(people[i].identity == sorted[i]);
  for (const GalleryFace& face : gallery.faces()) CHECK(face.photograph == "/p/" + face.identity + ".jpg");
}

TEST_CASE("another model is refused, naming both") {
  const Scratch scratch("gallery");
  make(scratch.path / "g");
  const GalleryModel other{std::string(64, 'b'), "ir_101"};
  const std::string what =
      refusal(ErrorCode::invalid_argument, [&] { Gallery::open_or_create(scratch.path / "g", other); });
  has(what, "ir_18 (" + kModel.weights_sha256 + ")");
  has(what, "ir_101 (" + other.weights_sha256 + ")");
  refusal(ErrorCode::invalid_argument, [&] { Gallery::open(scratch.path / "g").require_model(other); });
  Gallery::open(scratch.path / "g").require_model(kModel);
}

TEST_CASE("what is no gallery is refused, and left as it is") {
  const Scratch scratch("gallery");
  const fs::path path = scratch.path / "g";
  const auto refused = [&](ErrorCode code, const std::string& words) {
    const std::string before = fs::is_regular_file(path) ? read_bytes(path) : "";
    has(refusal(code, [&] { Gallery::open(path); }), words);
    has(refusal(code, [&] { Gallery::open_writable(path); }), words);
    if (code != ErrorCode::not_found)
      has(refusal(code, [&] { Gallery::open_or_create(path, kModel); }), words);
    if (fs::is_regular_file(path)) CHECK(read_bytes(path) == before);
  };
  refused(ErrorCode::not_found, "g: cannot open: No such file");
  CHECK(files_in(scratch.path) == 0);
  refusal(ErrorCode::not_found, [&] { Gallery::open_or_create(scratch.path / "none" / "g", kModel); });
  fs::create_directory(path);
  refused(ErrorCode::io, "is a directory");
  fs::remove(path);
  write_bytes(path, "");
  refused(ErrorCode::corrupt, "is empty");
  write_bytes(path, "no database");
  refused(ErrorCode::corrupt, "is no SQLite file");
  write_bytes(path, std::string(100'000, 'x'));
  refused(ErrorCode::corrupt, "is no SQLite file");
  fs::remove(path);
  edit(path, "CREATE TABLE t(a)");
  refused(ErrorCode::corrupt, "is an SQLite file, but no gallery");
  fs::remove(path);
  edit(make(path), "PRAGMA user_version=2");
  refused(ErrorCode::unsupported, "has schema version 2, expected 1");
  edit(path, "PRAGMA user_version=0");
  refused(ErrorCode::unsupported, "has schema version 0, expected 1");
  edit(path, "PRAGMA user_version=1");
  CHECK(Gallery::open(path).faces().size() == 4);
  write_bytes(scratch.path / "h-wal", "left behind");
  has(refusal(ErrorCode::io, [&] { Gallery::open_or_create(scratch.path / "h", kModel); }), "-wal");
}

TEST_CASE("a schema with more than ours is refused before it can do anything") {
  const Scratch scratch("gallery");
  const fs::path path = scratch.path / "g";
  for (const char* sql :
       {"CREATE TRIGGER t AFTER INSERT ON face BEGIN DELETE FROM person; END",
        "CREATE VIEW v AS SELECT * FROM person", "CREATE TABLE t(a)", "CREATE INDEX i ON face(norm)",
        "CREATE VIRTUAL TABLE f USING fts5(a)", "DROP INDEX face_photograph",
        "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql='CREATE VIEW person AS SELECT 1 AS id, "
        "randomblob(9) AS name', type='view', rootpage=0 WHERE name='person'",
        "ALTER TABLE face ADD COLUMN g REAL GENERATED ALWAYS AS (norm + 1)"}) {
    fs::remove(path);
    edit(make(path), sql);
    CAPTURE(std::string(sql));
    for (const auto& opened : {Gallery::open, Gallery::open_writable})
      has(refusal(ErrorCode::corrupt, [&] { opened(path); }), "g: is damaged");
  }
}

TEST_CASE("verify names each unsound value, and readers refuse it") {
  const Scratch scratch("gallery");
  const fs::path path = scratch.path / "g";
  const struct {
    const char* sql;
    const char* words;
  } kCases[] = {
      {"UPDATE face SET unit = zeroblob(2048) WHERE id = 1", "face 1 (/p/bruno/1.jpg): unit is of norm 0"},
      {"UPDATE face SET unit = x'00' WHERE id = 2",
       "face 2 (/p/ada/2.jpg): unit is of 1 bytes, expected 2048"},
      {"UPDATE face SET norm = 9e999 WHERE id = 1", "norm is inf"},
      {"UPDATE face SET x2 = 1e300 WHERE id = 1", "x2 is 1e+300"},
      {"UPDATE photograph SET hash = x'00' WHERE id = 1",
       "photograph 1 (/p/bruno/1.jpg): hash is of 1 bytes"},
      {"UPDATE photograph SET bytes = -1 WHERE id = 1", "bytes is -1"},
      {"UPDATE photograph SET path = x'' WHERE id = 1", "path is empty"},
      {"UPDATE photograph SET rejection = zeroblob(70000) WHERE id = 1", "rejection is of 70000 bytes"},
      {"UPDATE photograph SET rejection = x'61' WHERE id = 1", "has both a face and a reason"},
      {"UPDATE photograph SET rejection = x'' WHERE id = 4", "has neither a face nor a reason"},
      {"UPDATE person SET name = x'006100' WHERE id = 1", "NUL"},
      {"UPDATE person SET id = 99999999999 WHERE id = 1", "person is 99999999999"},
      {"UPDATE person SET id = -1 WHERE id = 1", "expected 1 to 4294967295"},
      {"INSERT INTO person(name) VALUES (x'61')", "person 3 (a): has no photograph"},
      {"DELETE FROM person WHERE id = 1", "photograph 1: refers to a person that is not there"},
      {"DELETE FROM photograph WHERE id = 1", "face 1: refers to a photograph that is not there"},
      {"DELETE FROM model", "it names no model"},
  };
  for (const auto& [sql, words] : kCases) {
    fs::remove(path);
    make(path);
    const Gallery gallery = Gallery::open(path);
    edit(path, sql);
    CAPTURE(std::string(sql));
    const GalleryReport report = gallery.verify(0.9);
    CHECK(report.duplicates.empty());
    std::string all;
    for (const std::string& line : report.damage) all += line + '|';
    has(all, words);
  }
  fs::remove(path);
  edit(make(path),
       "UPDATE face SET unit = x'00' WHERE id = 2; UPDATE photograph SET bytes = -1 WHERE id = 1");
  const Gallery gallery = Gallery::open(path);
  has(refusal(ErrorCode::corrupt, [&] { gallery.faces(); }), "g: face 2 (/p/ada/2.jpg): unit is of 1 bytes");
  refusal(ErrorCode::corrupt, [&] { gallery.photographs(); });
  CHECK(gallery.people().size() == 2);
}

TEST_CASE("verify finds people who are in it twice") {
  const Scratch scratch("gallery");
  Gallery gallery = Gallery::open_or_create(make(scratch.path / "g"), kModel);
  add(gallery, "hana", "/p/hana/1.jpg", 20);  // as in the second photograph of ada
  add(gallery, "ada", "/p/ada/3.jpg", 1);     // ada once more: no duplicate
  for (const int threads : {1, 2}) {
    const GalleryReport report = gallery.verify(0.9, threads);
    CHECK(report.damage.empty());
    REQUIRE(report.duplicates.size() == 1);
    const auto& [a, b, similarity] = report.duplicates[0];
    CHECK((a.identity == "ada" && a.photograph == "/p/ada/2.jpg" && b.identity == "hana"));
    CHECK(a.embedding.unit == synthetic_face(20).embedding.unit);
    CHECK(similarity == doctest::Approx(1).epsilon(1e-6));
  }
  // 6 faces, 15 pairs; four of them of ada and one photograph of ada twice.
  CHECK(gallery.verify(-1).duplicates.size() == 15 - 6);
  refusal(ErrorCode::invalid_argument, [&] { gallery.verify(std::nan("")); });
}

TEST_CASE("damaged pages and truncated files are corrupt, never a crash") {
  const Scratch scratch("gallery");
  const std::string whole = read_bytes(make(scratch.path / "g"));
  const fs::path path = scratch.path / "h";
  const std::size_t page = 16384;
  REQUIRE(whole.size() % page == 0);
  std::size_t seen = 0;
  const auto examine = [&](const std::string& bytes) {
    write_bytes(path, bytes);
    bool bad = false;
    try {
      const Gallery gallery = Gallery::open(path);
      bad = !gallery.verify(0.9).damage.empty();
      try {
        state_of(gallery);
        gallery.people();
      } catch (const Error& error) {
        CHECK_MESSAGE(error.code() == ErrorCode::corrupt, error.what());
        CHECK(bad);
      }
    } catch (const Error& error) {
      CHECK_MESSAGE((error.code() == ErrorCode::corrupt || error.code() == ErrorCode::unsupported),
                    error.what());
      bad = true;
    }
    CHECK(bad);
    ++seen;
  };
  for (std::size_t at = 0; at < whole.size(); at += page) {
    CAPTURE(at / page);
    std::string bytes = whole;
    bytes.replace(at, page, std::string(page, '\xa5'));
    examine(bytes);
    bytes.replace(at, page, std::string(page, '\0'));
    examine(bytes);
    examine(whole.substr(0, std::max<std::size_t>(at, 1)));
    examine(whole.substr(0, at + page / 2));
  }
  CHECK(seen >= 32);
}

TEST_CASE("pages that lead round in circles do not hold a reader up for ever") {
  // A tree of the greatest depth, each page naming the next 64 times over: 64^15 rows.
  const Scratch scratch("gallery");
  const fs::path path = scratch.path / "g";
  { Gallery gallery = Gallery::open_or_create(path, kModel); }
  std::string bytes = read_bytes(path);
  const std::size_t page = 16384, first = bytes.size() / page;
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(database, "SELECT rootpage FROM sqlite_schema WHERE name='sqlite_autoindex_person_1'",
                     -1, &statement, nullptr);
  REQUIRE(sqlite3_step(statement) == SQLITE_ROW);
  const auto root = static_cast<std::size_t>(sqlite3_column_int(statement, 0)) - 1;
  sqlite3_finalize(statement);
  sqlite3_close(database);
  const auto put = [&](std::size_t at, std::size_t value, int width) {
    for (int i = 0; i < width; ++i)
      bytes[at + static_cast<std::size_t>(i)] = static_cast<char>(value >> (8 * (width - 1 - i)));
  };
  constexpr std::size_t kDepth = 15, kFan = 64;
  bytes.resize((first + kDepth) * page, '\0');
  put(28, first + kDepth, 4);
  for (std::size_t level = 0; level <= kDepth; ++level) {
    const std::size_t at = level == 0 ? root * page : (first + level - 1) * page;
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), page, '\0');
    const bool leaf = level == kDepth;
    bytes[at] = leaf ? 10 : 2;
    put(at + 3, kFan, 2);
    const std::size_t cells = at + (leaf ? 8 : 12);
    if (!leaf) put(at + 8, first + level + 1, 4);
    for (std::size_t i = 0; i < kFan; ++i) {
      const std::size_t cell = page - 16 * (i + 1);
      put(cells + 2 * i, cell, 2);
      if (!leaf) put(at + cell, first + level + 1, 4);
      // Person 1, "a": sizes of the record and its header, types, values.
      const char kRecord[] = {5, 3, 14, 1, 'a', 1};
      std::memcpy(&bytes[at + cell + (leaf ? 0 : 4)], kRecord, sizeof kRecord);
    }
    put(at + 5, page - 16 * kFan, 2);
  }
  write_bytes(path, bytes);
  const Gallery gallery = Gallery::open(path);
  has(refusal(ErrorCode::corrupt, [&] { gallery.faces(); }), "in circles");
  refusal(ErrorCode::corrupt, [&] { gallery.people(); });
  CHECK_FALSE(gallery.verify(0.9).damage.empty());
}

TEST_CASE("reading where nothing may be written") {
  const Scratch scratch("gallery");
  const fs::path directory = scratch.path / "locked", path = directory / "g";
  fs::create_directory(directory);
  make(path);
  fs::permissions(scratch.path, fs::perms(0755));
  fs::permissions(path, fs::perms(0644));
  fs::permissions(directory, fs::perms(0555));
  CHECK(as_nobody([&] {
    const Gallery gallery = Gallery::open(path);
    if (gallery.faces().size() != 4 || !gallery.verify(0.9).damage.empty()) ::_exit(2);
  }));
  CHECK(files_in(directory) == 1);
  // CHECK would count in the child only.
  const auto io_error = [](const std::string& words, const std::function<void()>& f) {
    try {
      f();
    } catch (const Error& error) {
      if (error.code() == ErrorCode::io && std::string(error.what()).find(words) != std::string::npos) return;
      throw;
    }
    ::_exit(2);
  };
  CHECK(as_nobody([&] {
    io_error("g: may not be written", [&] { Gallery::open_writable(path); });
    io_error("g: may not be written", [&] { Gallery::open_or_create(path, kModel); });
    io_error("new: cannot create: Permission denied",
             [&] { Gallery::open_or_create(directory / "new", kModel); });
  }));
  fs::permissions(path, fs::perms(0000));
  CHECK(as_nobody([&] { io_error("Permission denied", [&] { Gallery::open(path); }); }));
  fs::permissions(path, fs::perms(0644));

  if (::geteuid() != 0) {
    std::printf("skipped: root writes where a reader may not\n");
    return;
  }
  // Root writes meanwhile: with its log in sight when the reader opens, then behind one that has no locks, of
  // which it sees the log, then no more than another file.
  enum class Seen { log_first, log_later, file };
  std::size_t faces = 4;
  for (const Seen seen : {Seen::log_first, Seen::log_later, Seen::file}) {
    CAPTURE(static_cast<int>(seen));
    int to_child[2], to_parent[2];
    REQUIRE((::pipe(to_child) == 0 && ::pipe(to_parent) == 0));
    const std::size_t before = faces + 1;
    std::fflush(stdout);
    // Before anything is opened here: a connection does not survive a fork.
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(3);
      try {
        char byte = 0;
        if (::read(to_child[0], &byte, 1) != 1) ::_exit(8);
        const Gallery reader = Gallery::open(path);
        if (reader.faces().size() != before) ::_exit(4);
        if (::write(to_parent[1], "x", 1) != 1 || ::read(to_child[0], &byte, 1) != 1) ::_exit(5);
        ::_exit(reader.faces().size() == before + 1 && reader.verify(2).damage.empty() ? 0 : 6);
      } catch (const std::exception& error) {
        std::printf("%s\n", error.what());
        std::fflush(stdout);
        ::_exit(7);
      }
    }
    ::close(to_parent[1]);
    auto gallery = std::make_unique<Gallery>(Gallery::open_writable(path));
    const auto add_another = [&] {
      const std::string number = std::to_string(++faces);
      add(*gallery, "emre", "/p/emre/" + number + ".jpg", faces);
    };
    add_another();
    if (seen != Seen::log_first) gallery.reset();
    CHECK(::write(to_child[1], "x", 1) == 1);
    char byte = 0;
    CHECK(::read(to_parent[0], &byte, 1) == 1);
    if (!gallery) gallery = std::make_unique<Gallery>(Gallery::open_writable(path));
    add_another();
    if (seen == Seen::file) gallery.reset();
    CHECK(::write(to_child[1], "x", 1) == 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == 0);
    for (const int fd : {to_child[0], to_child[1], to_parent[0]}) ::close(fd);
  }
}
