// What a Gallery holds, and how its readers see one committed state.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "src/error.hpp"
#include "src/gallery.hpp"
#include "src/gallery/database.h"

namespace adaface::gallery {

// By what a frozen file is known to be unchanged.
struct Stamp {
  dev_t device;
  ino_t inode;
  off_t bytes;
  std::int64_t modified_ns;
  off_t wal_bytes;  // 0: no -wal file beside it, or one without content
  bool operator==(const Stamp&) const = default;
};

// A read transaction: all that is read until its end is one committed state.
class Snapshot {
 public:
  explicit Snapshot(Database& database) : database_(database) {
    database_.execute("BEGIN");
    try {
      database_.measure();
    } catch (...) {
      end();
      throw;
    }
  }
  ~Snapshot() { end(); }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

 private:
  void end() noexcept { sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr); }
  Database& database_;
};

}  // namespace adaface::gallery

namespace adaface {

struct Gallery::State {
  enum class Changes { none, pending, failed };  // of the one transaction that may be open

  // Opens what is there. Throws as Gallery::open.
  State(const std::filesystem::path& path, bool for_writing);

  // What f(database) returns, seen in one committed state. f runs again, up to `attempts` times, where the
  // file cannot be locked and was changed meanwhile.
  template <typename F>
  auto read(F&& f, int attempts = 10);
  // What step(database) returns, of a transaction that is `open`.
  template <typename F>
  auto change(bool open, F&& step);
  void undo() noexcept;

  std::filesystem::path path;  // as the caller named it
  std::string label;           // the same for messages
  std::filesystem::path file;  // without symbolic links: -wal lies beside this
  bool for_writing;
  GalleryModel model;
  std::unique_ptr<gallery::Database> database;
  std::unique_ptr<gallery::Database> beside;  // reads what is committed while `database` is busy
  std::optional<gallery::Stamp> frozen;       // of a file that is read without locks
  Changes changes = Changes::none;

 private:
  void connect();
  void connect_for_reading();
  gallery::Stamp stamp() const;
  void check();
  gallery::Database& reader();
};

template <typename F>
auto Gallery::State::read(F&& f, int attempts) {
  // A frozen file that somebody writes after all is opened anew, by then with locks or as it is now.
  for (int attempt = 1;; ++attempt) {
    if (frozen && stamp() != *frozen && !database->in_transaction()) connect();
    try {
      gallery::Database& source = reader();
      const gallery::Snapshot snapshot(source);
      auto result = f(source);
      if (!frozen || stamp() == *frozen) return result;
    } catch (const Error&) {
      if (!frozen || stamp() == *frozen) throw;
    }
    if (attempt == attempts)
      throw Error(ErrorCode::io, label + ": is being written, and may not be locked here");
  }
}

}  // namespace adaface
