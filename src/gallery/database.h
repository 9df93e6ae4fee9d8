// One SQLite connection to a gallery file, set up against hostile files, its errors as adaface::Error.
#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

namespace adaface::gallery {

// read: changes nothing of the database, but SQLite may keep -wal and -shm files beside it meanwhile.
// view: the same where those may not be made; they must be there, or the file in no need of them.
// frozen: neither locks nor -wal: for a file that nobody writes.
enum class Access { read, view, frozen, write };

// No name, path or text that is stored may be longer: the bound of what a hostile file makes us hold.
inline constexpr std::size_t kMaxTextBytes = 1 << 16;

class Database;

// A statement that runs; handed back to its connection on destruction. Columns of another type than asked
// for throw corrupt, naming the row.
class Statement {
 public:
  // `noun` and the first column, an id, name a row in messages, and so does the blob in `name_column`.
  Statement(Database& database, sqlite3_stmt* handle, std::string_view noun, int name_column)
      : database_(database), handle_(handle), noun_(noun), name_column_(name_column) {}
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int parameter, std::int64_t value);
  Statement& bind(int parameter, double value);
  // Not copied: the bytes must live until the statement has run.
  Statement& bind(int parameter, std::span<const std::byte> value);
  Statement& bind(int parameter, std::string_view value);

  bool step();  // false: no more rows
  void run();   // all steps

  std::int64_t integer(int column);
  double real(int column);
  std::span<const std::byte> blob(int column);  // valid until the next step
  std::string bytes(int column);                // a blob of at most kMaxTextBytes
  std::string text(int column);                 // TEXT of at most kMaxTextBytes
  bool is_null(int column);

  [[noreturn]] void damaged(const std::string& what);  // throws corrupt: "FILE: NOUN ID (NAME): what"

 private:
  [[noreturn]] void wrong_type(int column, const char* expected);

  Database& database_;
  sqlite3_stmt* handle_;
  std::string_view noun_;
  int name_column_;
};

class Database {
 public:
  // `file` must exist. `label` stands in messages. Throws io, corrupt.
  Database(const std::filesystem::path& file, std::string label, Access access);
  // In memory, to make the image of a new file in.
  explicit Database(std::string label);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Prepared once and kept: `sql` must be a literal, and run by one Statement at a time.
  Statement query(const char* sql, std::string_view noun = "row", int name_column = -1);
  void execute(const char* sql);

  // Bounds what follows by the size that the file has in this transaction: the work of a single statement,
  // and take(). Pages that refer to one another in circles would be endless otherwise.
  void measure();
  // Throws corrupt once the rows that were read hold more bytes than the file.
  void take(std::size_t bytes);

  bool read_only() const;
  bool in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }
  std::int64_t last_id() const { return sqlite3_last_insert_rowid(handle_); }
  bool changed_something() const { return sqlite3_changes(handle_) > 0; }
  sqlite3* handle() const { return handle_; }
  const std::string& label() const { return label_; }

  void check(int code) const {
    if (code != SQLITE_OK) fail(code);
  }
  [[noreturn]] void fail(int code) const;

 private:
  void open(const char* name, int flags);

  sqlite3* handle_ = nullptr;
  std::string label_;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
  std::int64_t file_bytes_ = 0;
  std::int64_t work_left_ = 0;
  std::int64_t bytes_left_ = 0;
};

}  // namespace adaface::gallery
