#include "src/gallery/state.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "src/gallery/schema.h"
#include "src/io/file.h"

namespace adaface {
namespace {

using gallery::Access;
using gallery::Database;

// What SQLite's layer for Unix takes, less the longest suffix.
constexpr std::size_t kMaxPathBytes = 512 - 16;

[[noreturn]] void fail_to_open(const std::string& label, int error) {
  throw Error(error == ENOENT || error == ENOTDIR ? ErrorCode::not_found : ErrorCode::io,
              label + ": cannot open: " + std::strerror(error));
}

// Only looked at from outside: to close a descriptor of a file drops all locks that this process has on it,
// those of other connections included.
void require_candidate(const std::filesystem::path& path, const std::string& label) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) fail_to_open(label, errno);
  if (S_ISDIR(status.st_mode))
    throw Error(ErrorCode::io, label + ": is a directory, expected a gallery file");
  if (!S_ISREG(status.st_mode)) throw Error(ErrorCode::io, label + ": is not a regular file");
  // SQLite takes an empty file for an empty database.
  if (status.st_size == 0) throw Error(ErrorCode::corrupt, label + ": is empty, so no gallery");
}

bool may(const std::filesystem::path& path, int mode) {
  return ::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
}

}  // namespace

Gallery::State::State(const std::filesystem::path& path, bool for_writing)
    : path(path), label(io::printable(path)), for_writing(for_writing) {
  require_candidate(path, label);
  std::error_code error;
  file = std::filesystem::canonical(path, error);
  if (error) fail_to_open(label, error.value());
  if (file.native().size() > kMaxPathBytes)
    throw Error(ErrorCode::io, label + ": the path from the root is longer than " +
                                   std::to_string(kMaxPathBytes) + " bytes, which SQLite does not open");
  if (!may(file, R_OK)) fail_to_open(label, errno);
  connect();
}

void Gallery::State::connect() {
  frozen.reset();
  beside.reset();
  database.reset();
  if (!for_writing) {
    connect_for_reading();
  } else {
    database = std::make_unique<Database>(file, label, Access::write);
    if (database->read_only() || !may(file.parent_path(), W_OK))
      throw Error(ErrorCode::io, label + ": may not be written");
  }
  check();
  if (!for_writing) return;
  gallery::Statement mode = database->query("PRAGMA journal_mode=WAL");
  if (!mode.step() || mode.text(0) != "wal")
    throw Error(ErrorCode::io,
                label + ": lies on a file system without shared memory, which SQLite's log needs");
}

void Gallery::State::connect_for_reading() {
  const bool writable = may(file, W_OK) && may(file.parent_path(), W_OK);
  const gallery::Stamp before = stamp();
  // A file that we may not write, and no log: no connection that would make one. Its files would be ours, and
  // the owner could then not write the gallery any more.
  if (writable || before.wal_bytes > 0) try {
      database = std::make_unique<Database>(file, label, writable ? Access::read : Access::view);
      const gallery::Snapshot snapshot(*database);
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::io) throw;
      if (before.wal_bytes > 0)
        throw Error(ErrorCode::io, std::string(error.what()) +
                                       "; the log beside it (-wal) holds changes: open the "
                                       "gallery once where it may be written");
    }
  database = std::make_unique<Database>(file, label, Access::frozen);
  frozen = before;
}

void Gallery::State::check() {
  const gallery::Snapshot snapshot(*database);
  gallery::check_schema(*database);
  model = gallery::read_model(*database);
}

gallery::Stamp Gallery::State::stamp() const {
  struct stat status, wal;
  if (::stat(file.c_str(), &status) != 0) fail_to_open(label, errno);
  const bool has_wal = ::stat((file.native() + "-wal").c_str(), &wal) == 0;
  return {status.st_dev, status.st_ino, status.st_size,
          std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec,
          has_wal ? wal.st_size : 0};
}

Database& Gallery::State::reader() {
  if (!database->in_transaction()) return *database;
  if (!beside)
    beside = std::make_unique<Database>(file, label,
                                        frozen                  ? Access::frozen
                                        : database->read_only() ? Access::view
                                                                : Access::read);
  if (beside->in_transaction())
    throw Error(ErrorCode::invalid_argument, label + ": is read while it is being read while it is in use");
  return *beside;
}

}  // namespace adaface
