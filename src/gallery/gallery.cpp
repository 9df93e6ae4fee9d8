#include "src/gallery.hpp"

#include <sys/stat.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "src/gallery/records.h"
#include "src/gallery/schema.h"
#include "src/gallery/state.h"
#include "src/io/file.h"

namespace adaface {
namespace {

constexpr const char* kPhotographByPath =
    "SELECT photograph.id, path, name, hash, bytes, modified_ns, rules, rejection "
    "FROM photograph CROSS JOIN person ON person.id = photograph.person WHERE path = ?";

bool is_there(const std::filesystem::path& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

void check_model(const GalleryModel& model) {
  for (const std::string& text : {model.weights_sha256, model.architecture})
    if (text.empty() || text.size() > gallery::kMaxTextBytes)
      throw Error(ErrorCode::invalid_argument,
                  "model of a gallery: the sha256 of its weights and the name of its "
                  "architecture are expected");
}

std::string describe(const GalleryModel& model) {
  return io::printable(model.architecture) + " (" + io::printable(model.weights_sha256) + ")";
}

template <typename F>
void visit_faces(gallery::Database& database, F&& visit) {
  gallery::Statement row = database.query(gallery::kFaces, "face", 1);
  while (row.step()) {
    database.take(gallery::kUnitBytes);
    visit(gallery::read_face(row));
  }
}

// visit(database, face), each face once: what has been visited cannot be taken back when the file proves to
// have changed.
template <typename State, typename F>
void visit_faces_once(State& state, F&& visit) {
  bool begun = false;
  state.read([&](gallery::Database& database) {
    if (begun)
      throw Error(ErrorCode::io, state.label + ": was written while it was read, and may not be locked here");
    visit_faces(database, [&](const GalleryFace& face) {
      begun = true;
      visit(database, face);
    });
    return true;
  });
}

}  // namespace

ContentHash content_hash(std::span<const std::byte> file) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(file.data(), file.size()));
  ContentHash hash;
  static_assert(sizeof canonical == sizeof hash);
  std::memcpy(hash.data(), &canonical, sizeof hash);
  return hash;
}

Gallery::Gallery(std::unique_ptr<State> state) : state_(std::move(state)) {}
Gallery::~Gallery() = default;
Gallery::Gallery(Gallery&&) noexcept = default;
Gallery& Gallery::operator=(Gallery&&) noexcept = default;

Gallery Gallery::open(const std::filesystem::path& path) {
  return Gallery(std::make_unique<State>(path, false));
}

Gallery Gallery::open_writable(const std::filesystem::path& path) {
  return Gallery(std::make_unique<State>(path, true));
}

Gallery Gallery::open_or_create(const std::filesystem::path& path, const GalleryModel& model) {
  check_model(model);
  if (path.filename().empty())
    throw Error(ErrorCode::io, io::printable(path) + ": is not a file name to write to");
  // In this order: whoever makes the gallery at this moment makes it before its log.
  const bool has_log = is_there(path.native() + "-wal");
  if (!is_there(path)) {
    // SQLite would replay it into any gallery of this name.
    if (has_log)
      throw Error(ErrorCode::io, io::printable(path) +
                                     ": is not there, but the log of an earlier one is: put "
                                     "the gallery back beside it or remove the -wal file");
    gallery::create_file(path, io::printable(path), model);
  }
  Gallery gallery = open_writable(path);
  gallery.require_model(model);
  return gallery;
}

const std::filesystem::path& Gallery::path() const {
  return state_->path;
}

const GalleryModel& Gallery::model() const {
  return state_->model;
}

void Gallery::require_model(const GalleryModel& model) const {
  if (model.weights_sha256 != state_->model.weights_sha256)
    throw Error(ErrorCode::invalid_argument, state_->label + ": holds embeddings of " +
                                                 describe(state_->model) + ", not of " + describe(model));
}

std::vector<Person> Gallery::people() const {
  return state_->read([](gallery::Database& database) {
    std::vector<Person> people;
    gallery::Statement row = database.query(gallery::kPeople, "person", 1);
    while (row.step()) {
      people.push_back(gallery::read_person(row));
      database.take(people.back().identity.size());
    }
    return people;
  });
}

std::vector<Photograph> Gallery::photographs() const {
  return state_->read([](gallery::Database& database) {
    std::vector<Photograph> photographs;
    gallery::Statement row = database.query(gallery::kPhotographs, "photograph", 1);
    while (row.step()) {
      const Photograph& last = photographs.emplace_back(gallery::read_photograph(row));
      database.take(last.path.native().size() + last.hash.size() + last.rules.size() + last.rejection.size());
    }
    return photographs;
  });
}

std::vector<GalleryFace> Gallery::faces() const {
  return state_->read([](gallery::Database& database) {
    std::vector<GalleryFace> faces;
    visit_faces(database, [&](GalleryFace&& face) { faces.push_back(std::move(face)); });
    return faces;
  });
}

void Gallery::for_each_face(const std::function<void(const GalleryFace&)>& visit) const {
  visit_faces_once(*state_, [&](gallery::Database&, const GalleryFace& face) { visit(face); });
}

void Gallery::for_each_face(const std::function<void(const GalleryFace&, const Photograph&)>& visit) const {
  Photograph photograph;
  visit_faces_once(*state_, [&](gallery::Database& database, const GalleryFace& face) {
    if (face.photograph.native() != photograph.path.native()) {
      gallery::Statement row = database.query(kPhotographByPath, "photograph", 1);
      row.bind(1, std::string_view(face.photograph.native()));
      if (!row.step())
        throw Error(ErrorCode::corrupt, database.label() + ": is damaged: its index of paths lacks " +
                                            io::printable(face.photograph));
      photograph = gallery::read_photograph(row);
    }
    visit(face, photograph);
  });
}

}  // namespace adaface
