#include "src/gallery/schema.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <utility>

#include "src/error.hpp"

namespace adaface::gallery {
namespace {

struct Entry {
  const char* type;
  const char* name;
  const char* table;
  const char* sql;  // as sqlite_schema keeps it; null: SQLite's own, made by UNIQUE
};

// In the order in which they come to be.
constexpr Entry kSchema[] = {
    {"table", "model", "model",
     "CREATE TABLE model(id INTEGER PRIMARY KEY CHECK (id = 1), weights_sha256 BLOB NOT NULL, "
     "architecture BLOB NOT NULL) STRICT"},
    {"table", "person", "person",
     "CREATE TABLE person(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE) STRICT"},
    {"index", "sqlite_autoindex_person_1", "person", nullptr},
    {"table", "photograph", "photograph",
     "CREATE TABLE photograph(id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES person(id) ON "
     "DELETE CASCADE, path BLOB NOT NULL UNIQUE, hash BLOB NOT NULL, bytes INTEGER NOT NULL, modified_ns "
     "INTEGER NOT NULL, rules BLOB NOT NULL, rejection BLOB NOT NULL) STRICT"},
    {"index", "sqlite_autoindex_photograph_1", "photograph", nullptr},
    {"index", "photograph_person", "photograph",
     "CREATE INDEX photograph_person ON photograph(person, path)"},
    {"table", "face", "face",
     "CREATE TABLE face(id INTEGER PRIMARY KEY, photograph INTEGER NOT NULL REFERENCES photograph(id) ON "
     "DELETE CASCADE, unit BLOB NOT NULL, norm REAL NOT NULL, score REAL NOT NULL, x1 REAL NOT NULL, y1 "
     "REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL) STRICT"},
    {"index", "face_photograph", "face", "CREATE INDEX face_photograph ON face(photograph)"},
};

// A row of a face is 2.1 KB: seven to a page, where the usual 4096 bytes would hold one.
constexpr const char* kPageSize = "PRAGMA page_size=16384";

// Offsets of the two versions in the file header; 2: the journal is a write-ahead log.
constexpr std::size_t kWriteVersion = 18, kReadVersion = 19;

std::int64_t pragma(Database& database, const char* sql) {
  Statement statement = database.query(sql);
  return statement.step() ? statement.integer(0) : 0;
}

// The bytes of an empty gallery. Made in memory: a file that SQLite makes is not one while it is being made.
std::string empty_image(const std::string& label, const GalleryModel& model) {
  Database database(label);
  database.execute(kPageSize);
  database.execute("BEGIN");
  for (const Entry& entry : kSchema)
    if (entry.sql) database.execute(entry.sql);
  database.query("INSERT INTO model VALUES (1, ?, ?)")
      .bind(1, std::string_view(model.weights_sha256))
      .bind(2, std::string_view(model.architecture))
      .run();
  database.execute(("PRAGMA application_id=" + std::to_string(kApplicationId) +
                    ";PRAGMA user_version=" + std::to_string(kSchemaVersion) + ";COMMIT")
                       .c_str());
  sqlite3_int64 size = 0;
  const std::unique_ptr<unsigned char, void (*)(void*)> bytes(
      sqlite3_serialize(database.handle(), "main", &size, 0), sqlite3_free);
  if (!bytes) throw std::bad_alloc();
  std::string image(reinterpret_cast<const char*>(bytes.get()), static_cast<std::size_t>(size));
  image[kWriteVersion] = image[kReadVersion] = 2;
  return image;
}

// A file of random name, removed with it.
class Temporary {
 public:
  Temporary(const std::filesystem::path& directory, const std::string& label) : label_(label) {
    std::random_device random;
    do {
      char name[32];
      std::snprintf(name, sizeof name, ".adaface-%08x", static_cast<unsigned>(random()));
      path_ = directory / name;
      fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EEXIST);
    if (fd_ < 0) fail("create");
  }
  ~Temporary() {
    if (fd_ >= 0) ::close(fd_);
    ::unlink(path_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  void write(std::span<const char> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail("write");
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    if (::fsync(fd_) != 0) fail("sync");
    if (::close(std::exchange(fd_, -1)) != 0) fail("close");
  }

  // Where there is no file yet; a file that is there stays.
  void appear_as(const std::filesystem::path& path) {
    if (::link(path_.c_str(), path.c_str()) == 0 || errno == EEXIST) return;
    // File systems without links can still rename onto nothing.
    if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0 &&
        errno != EEXIST)
      fail("create");
  }

 private:
  [[noreturn]] void fail(const char* action) const {
    const int error = errno;
    throw Error(error == ENOENT || error == ENOTDIR ? ErrorCode::not_found : ErrorCode::io,
                label_ + ": cannot " + action + ": " + std::strerror(error));
  }

  std::filesystem::path path_;
  const std::string& label_;
  int fd_ = -1;
};

}  // namespace

void check_schema(Database& database) {
  if (pragma(database, "PRAGMA application_id") != kApplicationId)
    throw Error(ErrorCode::corrupt, database.label() + ": is an SQLite file, but no gallery");
  const std::int64_t version = pragma(database, "PRAGMA user_version");
  if (version != kSchemaVersion)
    throw Error(ErrorCode::unsupported, database.label() + ": has schema version " + std::to_string(version) +
                                            ", expected " + std::to_string(kSchemaVersion));
  Statement rows =
      database.query("SELECT rowid, type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid", "entry");
  const auto other = [&] {
    return Error(ErrorCode::corrupt,
                 database.label() + ": is damaged: its tables are not those of a gallery of schema version " +
                     std::to_string(kSchemaVersion));
  };
  // After VACUUM the order is another: each entry once.
  unsigned seen = 0;
  while (rows.step()) {
    std::size_t i = 0;
    const std::string name = rows.text(2);
    while (i < std::size(kSchema) && name != kSchema[i].name) ++i;
    if (i == std::size(kSchema) || (seen >> i & 1) != 0) throw other();
    const Entry& entry = kSchema[i];
    if (rows.text(1) != entry.type || rows.text(3) != entry.table) throw other();
    if (entry.sql ? rows.is_null(4) || rows.text(4) != entry.sql : !rows.is_null(4)) throw other();
    seen |= 1u << i;
  }
  if (seen != (1u << std::size(kSchema)) - 1) throw other();
}

GalleryModel read_model(Database& database) {
  Statement row = database.query("SELECT id, weights_sha256, architecture FROM model", "model");
  if (!row.step()) throw Error(ErrorCode::corrupt, database.label() + ": is damaged: it names no model");
  GalleryModel model{row.bytes(1), row.bytes(2)};
  if (model.weights_sha256.empty()) row.damaged("weights_sha256 is empty");
  if (row.step()) row.damaged("expected one only");
  return model;
}

void create_file(const std::filesystem::path& path, const std::string& label, const GalleryModel& model) {
  const std::string image = empty_image(label, model);
  const std::filesystem::path directory = path.parent_path().empty() ? "." : path.parent_path();
  Temporary file(directory, label);
  file.write(image);
  file.appear_as(path);
  // The name lasts only once its directory is synced; a file system that refuses this has still made it.
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
}

}  // namespace adaface::gallery
