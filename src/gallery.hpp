// adaface-gallery: known people, their photographs and embeddings in one SQLite file, and exact search among
// embeddings.
//
//   adaface::Gallery gallery = adaface::Gallery::open("people.gallery");
//   gallery.require_model(adaface::gallery_model(weights.info()));
//   adaface::SearchIndex index;
//   std::vector<adaface::GalleryFace> faces = gallery.faces();
//   for (const auto& face : faces) index.add(face.embedding.unit, face.person);
//   for (const adaface::Match& match : index.nearest(query.unit, 3))
//     std::printf("%s %.4f\n", faces[match.row].identity.c_str(), match.similarity);
//
// Errors: adaface::Error, naming the file. not_found; io (permissions, full disk, another process that holds
// the file for too long); corrupt (no SQLite file, damaged pages, values outside their range); unsupported (a
// schema newer or older than this library's); invalid_argument (embeddings of another model, names that are
// empty).
//
// Threads and processes: a Gallery belongs to one thread at a time; any number of threads and processes may
// each have one open on the same file, one of them writing. Readers see whole transactions and never wait.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "adaface.hpp"
#include "export.h"

namespace adaface {

// ---- The gallery file ---------------------------------------------------------------------------

// The network that embeddings were made with: only embeddings of one network can be compared.
struct GalleryModel {
  std::string weights_sha256;  // WeightsInfo::weights_sha256, the identity of the model
  std::string architecture;    // "ir_101"
};
inline GalleryModel gallery_model(const WeightsInfo& info) {
  return {info.weights_sha256, info.architecture};
}

using ContentHash = std::array<std::uint8_t, 16>;
// XXH3 of 128 bits: recognises a file again; no defence against somebody who forges collisions.
ADAFACE_API ContentHash content_hash(std::span<const std::byte> file);

// A photograph that was examined. Names and paths are bytes: any but NUL, no encoding assumed.
struct Photograph {
  std::filesystem::path path;  // absolute; unique in a gallery
  std::string identity;        // the person it was filed under; not empty
  ContentHash hash{};          // all zero: not known (imported)
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;  // since 1970
  std::string rules{};  // how it was examined, in the words of the program: other rules ask for another look
  std::string rejection{};  // why it gave no face; empty when it did
};

// A face of a photograph, as it is stored.
struct FaceRecord {
  Embedding embedding;
  Box box{};
  float score = 0;
};

// The same with its person, as it is read. `person` is a small number that stays
// while the person does; that of a removed person may be given again.
struct GalleryFace {
  std::uint32_t person = 0;
  std::string identity;
  std::filesystem::path photograph;
  Embedding embedding;
  Box box{};
  float score = 0;
};

struct Person {
  std::string identity;
  std::size_t photographs = 0;  // with a face
  std::size_t faces = 0;
};

// What Gallery::verify finds; empty lists: all is well.
struct GalleryReport {
  std::vector<std::string> damage;  // of the file, the schema, single values: one line each
  struct Pair {
    GalleryFace a, b;  // of different people; embeddings included
    double similarity;
  };
  std::vector<Pair> duplicates;       // in descending similarity, the first thousand
  std::uint64_t duplicate_pairs = 0;  // all of them
};

class ADAFACE_API Gallery {
 public:
  // For reading. Falls back to a read-only view where the directory cannot be written.
  static Gallery open(const std::filesystem::path& path);
  // For writing: makes the file, of this model, where there is none; else requires this model.
  static Gallery open_or_create(const std::filesystem::path& path, const GalleryModel& model);
  // For writing, without creating: removal, import into what is there.
  static Gallery open_writable(const std::filesystem::path& path);
  ~Gallery();
  Gallery(Gallery&&) noexcept;
  Gallery& operator=(Gallery&&) noexcept;

  const std::filesystem::path& path() const;
  const GalleryModel& model() const;
  // Throws invalid_argument, naming both models, when they differ.
  void require_model(const GalleryModel& model) const;

  // Each sees one committed state. Order: people by the bytes of their name, photographs by the bytes of
  // their path, faces by person name, then path.
  std::vector<Person> people() const;
  std::vector<Photograph> photographs() const;
  std::vector<GalleryFace> faces() const;
  // The same one by one, for galleries that are larger than memory should be.
  void for_each_face(const std::function<void(const GalleryFace&)>& visit) const;
  // And with their photographs, of the same committed state. `visit` must not use this gallery.
  void for_each_face(const std::function<void(const GalleryFace&, const Photograph&)>& visit) const;

  // Changes belong together until commit(), which returns once they are on the disk; without it they are
  // undone. One at a time. After an error of any member nothing but its destruction is left: commit() throws.
  class Transaction {
   public:
    explicit Transaction(Gallery& gallery);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;

    // Adds the photograph, or replaces the one with its path together with its faces. `faces` is empty
    // exactly when photograph.rejection is not. Throws invalid_argument for an empty name, a NUL byte, an
    // embedding that is not finite or whose unit vector is not of norm 1 within 1e-3.
    void put(const Photograph& photograph, std::span<const FaceRecord> faces);
    // The photograph is the same under another path and name; what else is stored of it stays. Takes the
    // place of one that is at `to`. Throws not_found when there is none at `from`.
    void move(const std::filesystem::path& from, const std::filesystem::path& to,
              const std::string& identity);
    // False when there is none.
    bool remove_photograph(const std::filesystem::path& path);
    bool remove_person(const std::string& identity);  // with all its photographs
    void commit();

   private:
    Gallery& gallery_;
    bool open_ = true;
  };

  // SQLite's own integrity check, then every stored value: sizes, finite numbers, unit norms, references;
  // then faces of different people whose similarity is at least `duplicates_above`. Never throws for what
  // it finds in a file that can be opened.
  GalleryReport verify(double duplicates_above, int threads = 0) const;

 private:
  struct ADAFACE_HIDDEN State;
  explicit Gallery(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// ---- Exchange -----------------------------------------------------------------------------------

// csv: RFC 4180, one row a face, bytes of names as they are. jsonl: one object a line; names that are not
// UTF-8 stand in hexadecimal under another key. npy: the embeddings alone, float32 {faces, 512}, and beside
// it the other columns, as the same path with .csv in place of .npy. All carry the model; numbers read back
// to the same bits.
enum class ExchangeFormat { npy, csv, jsonl };

// The faces, in the order of Gallery::faces(), with what is known of their photographs. Complete or absent.
ADAFACE_API void export_faces(const Gallery& gallery, ExchangeFormat format,
                              const std::filesystem::path& path);

// The model that an exported file was made of; recognised by content. Throws corrupt for what is no export.
ADAFACE_API GalleryModel exported_model(const std::filesystem::path& path);

struct ImportReport {
  std::size_t photographs = 0, faces = 0;
};
// Adds what export_faces wrote; photographs that the gallery has already are replaced. All or nothing. Throws
// invalid_argument for another model, corrupt naming file and line.
ADAFACE_API ImportReport import_faces(Gallery& gallery, const std::filesystem::path& path);

// ---- Search -------------------------------------------------------------------------------------

struct Match {
  std::size_t row;    // the number of embeddings added before it
  double similarity;  // as adaface::similarity computes it
};

// All embeddings in memory: rounded to 8 bits for the first pass, as float32 for the second. The first pass
// bounds how far each similarity can be off, the second computes those that may be among the best: results
// are those of comparing with every embedding in double. 2.6 KB an embedding.
class ADAFACE_API SearchIndex {
 public:
  // threads: 0 to 1024, 0: available_cpus(). Throws invalid_argument.
  explicit SearchIndex(int threads = 1);
  ~SearchIndex();
  SearchIndex(SearchIndex&&) noexcept;
  SearchIndex& operator=(SearchIndex&&) noexcept;

  using Vector = std::span<const float, kEmbeddingSize>;

  std::size_t size() const;
  void reserve(std::size_t rows);
  // Throws invalid_argument for a value that is not finite or a norm above 1.001. Rows of one group are one
  // answer: the best of them. Strong guarantee.
  void add(Vector unit, std::uint32_t group);
  void add(Vector unit);  // a group of its own; not to be mixed with the other form: invalid_argument

  // The best row of each of the k best groups, in descending similarity, the earlier row where equal. Fewer
  // when there are fewer groups; none for k = 0. Throws invalid_argument for a query as for add().
  std::vector<Match> nearest(Vector query, std::size_t k) const;
  std::vector<Match> nearest(const std::array<float, kEmbeddingSize>& query, std::size_t k) const {
    return nearest(Vector(query), k);  // an array would fit the next one as well
  }
  // For each query of {n, 512} packed floats what nearest() of it alone gives; several share each pass over
  // memory.
  std::vector<std::vector<Match>> nearest(std::span<const float> queries, std::size_t k) const;

  // Every row with at least this similarity, whatever its group, in the same order. Exact as nearest() is.
  // Throws invalid_argument for NaN.
  std::vector<std::vector<Match>> at_least(std::span<const float> queries, double similarity) const;

  // What one query reads from memory in the first pass.
  std::uint64_t scan_bytes() const;

 private:
  struct ADAFACE_HIDDEN State;
  std::unique_ptr<State> state_;
};

}  // namespace adaface
