// Gallery::verify: what is wrong with a file, all of it where possible, and who is in it twice.
#include <algorithm>
#include <cmath>

#include "src/gallery/records.h"
#include "src/gallery/schema.h"
#include "src/gallery/state.h"
#include "src/io/file.h"

namespace adaface {
namespace {

using gallery::Database;
using gallery::Statement;

// So many lines say that the file is lost; more would not help.
constexpr std::size_t kMaxLines = 1000;
constexpr std::size_t kMaxDuplicates = 1000;
// Queries that share a pass over the index.
constexpr std::size_t kBatch = 64;

class Damage {
 public:
  Damage(const Database& database, std::vector<std::string>& lines)
      : prefix_(database.label() + ": "), lines_(lines) {}

  void add(std::string line) {
    if (lines_.size() < kMaxLines) lines_.push_back(std::move(line));
    if (lines_.size() == kMaxLines) lines_.push_back("further damage is not listed");
  }

  // False when what it finds is not as it should be. What the system refuses is no finding.
  template <typename F>
  bool check(F&& f) {
    try {
      f();
      return true;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::io || error.code() == ErrorCode::out_of_memory) throw;
      const std::string what = error.what();
      add(what.starts_with(prefix_) ? what.substr(prefix_.size()) : what);
      return false;
    }
  }

  // Every row: one that is unsound does not end it, pages that cannot be read do.
  template <typename F>
  void each(Database& database, const char* sql, const char* noun, int name_column, F&& f) {
    check([&] {
      Statement row = database.query(sql, noun, name_column);
      while (row.step()) check([&] { f(row); });
    });
  }

 private:
  std::string prefix_;
  std::vector<std::string>& lines_;
};

void check_file(Database& database, Damage& damage) {
  damage.check([&] {
    Statement line = database.query("PRAGMA integrity_check(100)");
    while (line.step()) {
      const std::string text = line.text(0);
      if (text != "ok") damage.add(io::printable(text));
    }
  });
  damage.check([&] {
    Statement row = database.query("PRAGMA foreign_key_check");
    while (row.step())
      damage.add(io::printable(row.text(0)) + (row.is_null(1) ? "" : ' ' + std::to_string(row.integer(1))) +
                 ": refers to a " + io::printable(row.text(2)) + " that is not there");
  });
  damage.check([&] { gallery::check_schema(database); });
  damage.check([&] { gallery::read_model(database); });
}

void check_people_and_photographs(Database& database, Damage& damage) {
  damage.each(database, gallery::kPeople, "person", 1, [](Statement& row) { gallery::read_person(row); });
  damage.each(
      database,
      "SELECT id, name FROM person WHERE NOT EXISTS (SELECT 1 FROM photograph WHERE person = person.id)",
      "person", 1, [](Statement& row) { row.damaged("has no photograph"); });
  damage.each(database, gallery::kPhotographs, "photograph", 1,
              [](Statement& row) { gallery::read_photograph(row); });
  damage.each(database,
              "SELECT id, path, EXISTS (SELECT 1 FROM face WHERE photograph = photograph.id) AS has_face "
              "FROM photograph WHERE (length(rejection) = 0) <> has_face",
              "photograph", 1, [](Statement& row) {
                row.damaged(row.integer(2) != 0 ? "has both a face and a reason why there is none"
                                                : "has neither a face nor a reason why there is none");
              });
}

// A sound face: all that has to stay in memory besides the index.
struct Sound {
  std::int64_t id;
  std::uint32_t person;
};

std::vector<Sound> check_faces(Database& database, Damage& damage, SearchIndex& index) {
  std::vector<Sound> sound;
  damage.each(database, gallery::kFaces, "face", 1, [&](Statement& row) {
    database.take(gallery::kUnitBytes);
    const GalleryFace face = gallery::read_face(row);
    sound.push_back({row.integer(0), face.person});
    try {
      index.add(face.embedding.unit, face.person);
    } catch (...) {
      sound.pop_back();
      throw;
    }
  });
  return sound;
}

struct Twice {
  std::size_t a, b;  // rows of the index
  double similarity;
};

// In descending similarity, at most kMaxDuplicates: n alike faces make n^2 / 2 pairs.
void keep_most_similar(std::vector<Twice>& pairs) {
  std::sort(pairs.begin(), pairs.end(), [](const Twice& x, const Twice& y) {
    if (x.similarity != y.similarity) return x.similarity > y.similarity;
    return x.a != y.a ? x.a < y.a : x.b < y.b;
  });
  if (pairs.size() > kMaxDuplicates) pairs.resize(kMaxDuplicates);
}

std::vector<Twice> find_duplicates(Database& database, Damage& damage, const SearchIndex& index,
                                   const std::vector<Sound>& sound, double at_least, std::uint64_t& count) {
  std::vector<Twice> found;
  std::vector<float> queries;
  std::size_t row_of_query = 0, next = 0;
  const auto search = [&] {
    const auto matches = index.at_least(queries, at_least);
    for (std::size_t query = 0; query < matches.size(); ++query, ++row_of_query)
      for (const Match& match : matches[query])
        if (match.row > row_of_query && sound[match.row].person != sound[row_of_query].person) {
          ++count;
          found.push_back({row_of_query, match.row, match.similarity});
          if (found.size() == 4 * kMaxDuplicates) keep_most_similar(found);
        }
    queries.clear();
  };
  // The same rows in the same order as before: it is the same transaction.
  damage.check([&] {
    Statement row = database.query(gallery::kFaces, "face", 1);
    while (next < sound.size() && row.step()) {
      if (row.integer(0) != sound[next].id) continue;
      const GalleryFace face = gallery::read_face(row);
      queries.insert(queries.end(), face.embedding.unit.begin(), face.embedding.unit.end());
      if (++next == sound.size() || queries.size() == kBatch * kEmbeddingSize) search();
    }
  });
  keep_most_similar(found);
  return found;
}

GalleryFace face_of(Database& database, const Sound& sound) {
  Statement row = database.query(gallery::kFaceById, "face", 1);
  row.bind(1, sound.id);
  if (!row.step()) throw Error(ErrorCode::corrupt, "face " + std::to_string(sound.id) + ": is in no index");
  return gallery::read_face(row);
}

}  // namespace

GalleryReport Gallery::verify(double duplicates_above, int threads) const {
  if (std::isnan(duplicates_above))
    throw Error(ErrorCode::invalid_argument, "similarity of duplicates is not a number");
  return state_->read([&](Database& database) {
    GalleryReport report;
    Damage damage(database, report.damage);
    check_file(database, damage);
    check_people_and_photographs(database, damage);
    SearchIndex index(threads);
    const std::vector<Sound> sound = check_faces(database, damage, index);
    for (const Twice& twice :
         find_duplicates(database, damage, index, sound, duplicates_above, report.duplicate_pairs))
      damage.check([&] {
        report.duplicates.push_back(
            {face_of(database, sound[twice.a]), face_of(database, sound[twice.b]), twice.similarity});
      });
    return report;
  });
}

}  // namespace adaface
