#include "src/gallery/database.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "src/error.hpp"
#include "src/io/file.h"

namespace adaface::gallery {
namespace {

constexpr int kBusyMilliseconds = 10'000;

// Virtual machine instructions. A row takes some tens of them and at least as many bytes of the file with
// its index entries; the integrity check takes the most.
constexpr std::int64_t kWorkAtLeast = 1'000'000;
constexpr std::int64_t kWorkPerByte = 100;
constexpr int kWorkStep = 1000;

int out_of_work(void* left) {
  auto& work = *static_cast<std::int64_t*>(left);
  work -= kWorkStep;
  return work < 0;
}

std::string uri_of(const std::filesystem::path& file) {
  std::string uri = "file:";
  for (const char c : file.native()) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7F && !std::strchr("%?#", c)) {
      uri += c;
    } else {
      uri += '%';
      uri += "0123456789ABCDEF"[byte >> 4];
      uri += "0123456789ABCDEF"[byte & 15];
    }
  }
  return uri + "?immutable=1";
}

}  // namespace

Database::Database(const std::filesystem::path& file, std::string label, Access access)
    : label_(std::move(label)) {
  // Readers, too, open for writing where they may: the last one that leaves then removes -wal and -shm.
  if (access == Access::frozen)
    open(uri_of(file).c_str(), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
  else
    open(file.c_str(), access == Access::view ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  if (access != Access::write) execute("PRAGMA query_only=ON");
}

Database::Database(std::string label) : label_(std::move(label)) {
  open(":memory:", SQLITE_OPEN_READWRITE);
}

void Database::open(const char* name, int flags) {
  const int code =
      sqlite3_open_v2(name, &handle_, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  try {
    if (!handle_) throw std::bad_alloc();
    check(code);
    check(sqlite3_busy_timeout(handle_, kBusyMilliseconds));
    for (const auto& [option, value] : {std::pair{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
                                        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
                                        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
                                        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
                                        {SQLITE_DBCONFIG_ENABLE_FKEY, 1}})
      check(sqlite3_db_config(handle_, option, value, nullptr));
    // A row holds a few texts; nothing that we run needs more of the rest.
    sqlite3_limit(handle_, SQLITE_LIMIT_LENGTH, 8 * static_cast<int>(kMaxTextBytes));
    sqlite3_limit(handle_, SQLITE_LIMIT_SQL_LENGTH, 8 * static_cast<int>(kMaxTextBytes));
    sqlite3_limit(handle_, SQLITE_LIMIT_COLUMN, 100);
    sqlite3_limit(handle_, SQLITE_LIMIT_EXPR_DEPTH, 100);
    sqlite3_limit(handle_, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(handle_, SQLITE_LIMIT_WORKER_THREADS, 0);
    sqlite3_progress_handler(handle_, kWorkStep, out_of_work, &work_left_);
    // Automatic indices: SQLite would copy all faces into one of its own, in memory, for cheaper than ours.
    execute(
        "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA synchronous=FULL; "
        "PRAGMA secure_delete=ON; PRAGMA automatic_index=OFF");
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Database::~Database() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

Statement Database::query(const char* sql, std::string_view noun, int name_column) {
  work_left_ = kWorkAtLeast + kWorkPerByte * file_bytes_;
  sqlite3_stmt*& statement = statements_[sql];
  if (!statement) check(sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
  return {*this, statement, noun, name_column};
}

void Database::execute(const char* sql) {
  work_left_ = kWorkAtLeast + kWorkPerByte * file_bytes_;
  check(sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr));
}

void Database::measure() {
  // The first statement that reads: it takes the snapshot that the transaction sees.
  std::int64_t pages = 0, page_bytes = 0;
  for (const auto& [sql, value] :
       {std::pair{"PRAGMA page_count", &pages}, {"PRAGMA page_size", &page_bytes}}) {
    Statement statement = query(sql);
    if (statement.step()) *value = statement.integer(0);
  }
  file_bytes_ = bytes_left_ = pages * page_bytes;
}

void Database::take(std::size_t bytes) {
  bytes_left_ -= static_cast<std::int64_t>(bytes);
  if (bytes_left_ < 0)
    throw Error(ErrorCode::corrupt, label_ + ": is damaged: its rows hold more than its " +
                                        std::to_string(file_bytes_) + " bytes");
}

bool Database::read_only() const {
  return sqlite3_db_readonly(handle_, "main") == 1;
}

void Database::fail(int code) const {
  const int system = handle_ ? sqlite3_system_errno(handle_) : 0;
  // SQLite quotes names from the file.
  const std::string sqlite = io::printable(handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code));
  const std::string reason = system != 0 ? std::strerror(system) : sqlite;
  const bool full = (code & 0xFF) == SQLITE_FULL ||
                    ((code & 0xFF) == SQLITE_IOERR && (system == ENOSPC || system == EDQUOT));
  if (full)
    throw Error(ErrorCode::io, label_ + ": the disk is full; everything up to the last commit is stored");
  switch (code & 0xFF) {
    case SQLITE_NOTADB: throw Error(ErrorCode::corrupt, label_ + ": is no SQLite file, so no gallery");
    case SQLITE_ERROR:  // every statement is ours and right: what it disagrees with is the file
    case SQLITE_CORRUPT: throw Error(ErrorCode::corrupt, label_ + ": is damaged: " + sqlite);
    case SQLITE_INTERRUPT:
      throw Error(ErrorCode::corrupt, label_ + ": is damaged: its pages lead round in circles");
    case SQLITE_TOOBIG:
      throw Error(ErrorCode::corrupt, label_ + ": is damaged: a value is longer than any that is stored");
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH: throw Error(ErrorCode::corrupt, label_ + ": is inconsistent: " + sqlite);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      throw Error(ErrorCode::io, label_ + ": another process has held it for more than " +
                                     std::to_string(kBusyMilliseconds / 1000) + " s");
    case SQLITE_READONLY:
    case SQLITE_PERM: throw Error(ErrorCode::io, label_ + ": may not be written: " + sqlite);
    case SQLITE_CANTOPEN: throw Error(ErrorCode::io, label_ + ": cannot be opened: " + reason);
    case SQLITE_IOERR: throw Error(ErrorCode::io, label_ + ": cannot be read or written: " + reason);
    // Of a small file it says that its pages ask for more than there can be.
    case SQLITE_NOMEM:
      throw Error(ErrorCode::out_of_memory, label_ + ": takes more memory than there is, or is damaged");
    default: throw Error(ErrorCode::internal, label_ + ": SQLite: " + sqlite);
  }
}

Statement::~Statement() {
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
}

Statement& Statement::bind(int parameter, std::int64_t value) {
  database_.check(sqlite3_bind_int64(handle_, parameter, value));
  return *this;
}

Statement& Statement::bind(int parameter, double value) {
  database_.check(sqlite3_bind_double(handle_, parameter, value));
  return *this;
}

Statement& Statement::bind(int parameter, std::span<const std::byte> value) {
  // A null pointer would bind NULL, not an empty blob.
  const void* data = value.empty() ? "" : static_cast<const void*>(value.data());
  database_.check(sqlite3_bind_blob64(handle_, parameter, data, value.size(), SQLITE_STATIC));
  return *this;
}

Statement& Statement::bind(int parameter, std::string_view value) {
  return bind(parameter, std::as_bytes(std::span(value)));
}

bool Statement::step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_.fail(code);
  return false;
}

void Statement::run() {
  while (step()) {
  }
}

std::int64_t Statement::integer(int column) {
  if (sqlite3_column_type(handle_, column) != SQLITE_INTEGER) wrong_type(column, "an integer");
  return sqlite3_column_int64(handle_, column);
}

double Statement::real(int column) {
  if (sqlite3_column_type(handle_, column) != SQLITE_FLOAT) wrong_type(column, "a real number");
  return sqlite3_column_double(handle_, column);
}

std::span<const std::byte> Statement::blob(int column) {
  if (sqlite3_column_type(handle_, column) != SQLITE_BLOB) wrong_type(column, "a blob");
  const void* data = sqlite3_column_blob(handle_, column);
  const int size = sqlite3_column_bytes(handle_, column);
  if (!data && size > 0) throw std::bad_alloc();
  return {static_cast<const std::byte*>(data), static_cast<std::size_t>(size)};
}

std::string Statement::bytes(int column) {
  const std::span<const std::byte> value = blob(column);
  if (value.size() > kMaxTextBytes)
    damaged(std::string(sqlite3_column_name(handle_, column)) + " is of " + std::to_string(value.size()) +
            " bytes, expected at most " + std::to_string(kMaxTextBytes));
  return {reinterpret_cast<const char*>(value.data()), value.size()};
}

std::string Statement::text(int column) {
  if (sqlite3_column_type(handle_, column) != SQLITE_TEXT) wrong_type(column, "text");
  const unsigned char* data = sqlite3_column_text(handle_, column);
  if (!data) throw std::bad_alloc();
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(handle_, column));
  if (size > kMaxTextBytes) damaged("a text is of " + std::to_string(size) + " bytes");
  return {reinterpret_cast<const char*>(data), size};
}

bool Statement::is_null(int column) {
  return sqlite3_column_type(handle_, column) == SQLITE_NULL;
}

void Statement::wrong_type(int column, const char* expected) {
  const char* const kTypes[] = {"an unknown type", "an integer", "a real number", "text", "a blob", "NULL"};
  damaged(std::string(sqlite3_column_name(handle_, column)) + " is " +
          kTypes[sqlite3_column_type(handle_, column)] + ", expected " + expected);
}

void Statement::damaged(const std::string& what) {
  std::string row(noun_);
  if (sqlite3_column_type(handle_, 0) == SQLITE_INTEGER)
    row += ' ' + std::to_string(sqlite3_column_int64(handle_, 0));
  if (name_column_ >= 0 && sqlite3_column_type(handle_, name_column_) == SQLITE_BLOB) {
    const std::span<const std::byte> name = blob(name_column_);
    row += " (" +
           io::printable(std::string(reinterpret_cast<const char*>(name.data()),
                                     std::min(name.size(), kMaxTextBytes))) +
           ')';
  }
  throw Error(ErrorCode::corrupt, database_.label() + ": " + row + ": " + what);
}

}  // namespace adaface::gallery
