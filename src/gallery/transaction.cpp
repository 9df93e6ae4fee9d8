// Gallery::Transaction: changes that belong together.
#include <limits>
#include <optional>
#include <string_view>

#include "src/gallery/records.h"
#include "src/gallery/state.h"
#include "src/io/file.h"

namespace adaface {
namespace {

using gallery::Database;
using gallery::Statement;

struct StoredPhotograph {
  std::int64_t id, person;
};

std::optional<StoredPhotograph> find_photograph(Database& database, const std::string& path) {
  Statement row = database.query("SELECT id, person FROM photograph WHERE path = ?", "photograph");
  row.bind(1, std::string_view(path));
  if (!row.step()) return std::nullopt;
  return StoredPhotograph{row.integer(0), row.integer(1)};
}

std::int64_t find_or_add_person(Database& database, const std::string& name) {
  {
    Statement row = database.query("SELECT id FROM person WHERE name = ?", "person");
    row.bind(1, std::string_view(name));
    if (row.step()) return row.integer(0);
  }
  database.query("INSERT INTO person(name) VALUES (?)").bind(1, std::string_view(name)).run();
  if (database.last_id() > std::numeric_limits<std::uint32_t>::max())
    throw Error(ErrorCode::corrupt, database.label() + ": is damaged: the numbers of its people are used up");
  return database.last_id();
}

void remove_person_without_photographs(Database& database, std::int64_t person) {
  database
      .query("DELETE FROM person WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM photograph WHERE person = ?1)")
      .bind(1, person)
      .run();
}

bool remove(Database& database, const std::string& path) {
  const auto stored = find_photograph(database, path);
  if (!stored) return false;
  database.query("DELETE FROM photograph WHERE id = ?").bind(1, stored->id).run();
  remove_person_without_photographs(database, stored->person);
  return true;
}

void store(Database& database, const Photograph& photograph, std::span<const FaceRecord> faces) {
  const auto stored = find_photograph(database, photograph.path.native());
  const std::int64_t person = find_or_add_person(database, photograph.identity);
  if (stored) database.query("DELETE FROM face WHERE photograph = ?").bind(1, stored->id).run();
  Statement row = database.query(
      stored ? "UPDATE photograph SET path = ?1, person = ?2, hash = ?3, bytes = ?4, modified_ns = ?5, rules "
               "= ?6, "
               "rejection = ?7 WHERE id = ?8"
             : "INSERT INTO photograph(path, person, hash, bytes, modified_ns, rules, rejection) "
               "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
  row.bind(1, std::string_view(photograph.path.native()))
      .bind(2, person)
      .bind(3, std::as_bytes(std::span(photograph.hash)))
      .bind(4, static_cast<std::int64_t>(photograph.bytes))
      .bind(5, photograph.modified_ns)
      .bind(6, std::string_view(photograph.rules))
      .bind(7, std::string_view(photograph.rejection));
  if (stored) row.bind(8, stored->id);
  row.run();
  const std::int64_t id = stored ? stored->id : database.last_id();
  for (const FaceRecord& face : faces) {
    Statement insert = database.query(
        "INSERT INTO face(photograph, unit, norm, score, x1, y1, x2, y2) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    insert.bind(1, id);
    gallery::bind_face(insert, 2, face);
    insert.run();
  }
  if (stored && stored->person != person) remove_person_without_photographs(database, stored->person);
}

[[noreturn]] void refuse(const Database& database, const std::string& what) {
  throw Error(ErrorCode::invalid_argument, database.label() + ": " + what);
}

}  // namespace

// Runs one step of a transaction. After one that failed, whatever the reason, there is no commit.
template <typename F>
auto Gallery::State::change(bool open, F&& step) {
  if (!open) refuse(*database, "the transaction has ended");
  if (changes == Changes::failed)
    refuse(*database, "the transaction has failed before: nothing of it is stored");
  try {
    database->measure();
    return step(*database);
  } catch (...) {
    changes = Changes::failed;
    throw;
  }
}

void Gallery::State::undo() noexcept {
  // SQLite has undone it already after some errors.
  if (database && database->in_transaction())
    sqlite3_exec(database->handle(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Gallery::Transaction::Transaction(Gallery& gallery) : gallery_(gallery) {
  State& state = *gallery.state_;
  if (!state.for_writing) refuse(*state.database, "is open for reading only");
  if (state.changes != State::Changes::none) refuse(*state.database, "has a transaction open already");
  if (state.database->in_transaction()) refuse(*state.database, "is being read: change it after that");
  state.database->execute("BEGIN IMMEDIATE");
  state.changes = State::Changes::pending;
}

Gallery::Transaction::~Transaction() {
  if (!open_ || !gallery_.state_) return;
  gallery_.state_->undo();
  gallery_.state_->changes = State::Changes::none;
}

void Gallery::Transaction::put(const Photograph& photograph, std::span<const FaceRecord> faces) {
  gallery_.state_->change(open_, [&](Database& database) {
    const auto check = [&](const std::optional<std::string>& fault) {
      if (fault) refuse(database, "photograph " + io::printable(photograph.path) + ": " + *fault);
    };
    check(gallery::fault(photograph));
    for (const FaceRecord& face : faces) check(gallery::fault(face));
    if (faces.empty() && photograph.rejection.empty()) check("neither a face nor a reason why there is none");
    if (!faces.empty() && !photograph.rejection.empty()) check("faces and a reason why there are none");
    store(database, photograph, faces);
  });
}

void Gallery::Transaction::move(const std::filesystem::path& from, const std::filesystem::path& to,
                                const std::string& identity) {
  gallery_.state_->change(open_, [&](Database& database) {
    Photograph moved;
    moved.path = to;
    moved.identity = identity;
    if (const auto fault = gallery::fault(moved))
      refuse(database, "photograph " + io::printable(to) + ": " + *fault);
    const auto stored = find_photograph(database, from.native());
    if (!stored)
      throw Error(ErrorCode::not_found, database.label() + ": has no photograph " + io::printable(from));
    if (from.native() != to.native()) remove(database, to.native());
    const std::int64_t person = find_or_add_person(database, identity);
    database.query("UPDATE photograph SET path = ?, person = ? WHERE id = ?")
        .bind(1, std::string_view(to.native()))
        .bind(2, person)
        .bind(3, stored->id)
        .run();
    if (stored->person != person) remove_person_without_photographs(database, stored->person);
  });
}

bool Gallery::Transaction::remove_photograph(const std::filesystem::path& path) {
  return gallery_.state_->change(open_, [&](Database& database) { return remove(database, path.native()); });
}

bool Gallery::Transaction::remove_person(const std::string& identity) {
  return gallery_.state_->change(open_, [&](Database& database) {
    database.query("DELETE FROM person WHERE name = ?").bind(1, std::string_view(identity)).run();
    return database.changed_something();
  });
}

void Gallery::Transaction::commit() {
  State& state = *gallery_.state_;
  state.change(open_, [](Database& database) { database.execute("COMMIT"); });
  open_ = false;
  state.changes = State::Changes::none;
}

}  // namespace adaface
