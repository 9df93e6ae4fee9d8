// The row that every exchange format holds, and what reads and writes files of them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "src/gallery.hpp"
#include "src/io/file.h"

namespace adaface::gallery {

// One face; the columns of its photograph are repeated in each of that photograph's rows.
struct ExchangeRow {
  std::string identity;
  std::string file;  // Photograph::path
  ContentHash hash{};
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;
  std::string rules;
  FaceRecord face;
  GalleryModel model;
};

class RowWriter {
 public:
  virtual ~RowWriter() = default;
  virtual void write(const ExchangeRow& row) = 0;
  // Until then no file is there.
  virtual void commit() = 0;
};

class RowReader {
 public:
  virtual ~RowReader() = default;
  // False at the end. Sets every member of `row` or throws corrupt, naming file and line. Numbers are finite;
  // what else a row must satisfy is read_photographs' concern.
  virtual bool next(ExchangeRow& row) = 0;
  // Where the last row stands: "people.csv: line 12".
  virtual std::string where() const = 0;
};

// Hold one row and a buffer each. `with_embedding`: the columns e0 to e511 follow the others.
std::unique_ptr<RowWriter> write_csv(const std::filesystem::path& path, bool with_embedding);
std::unique_ptr<RowWriter> write_jsonl(const std::filesystem::path& path);
std::unique_ptr<RowWriter> write_npy(const std::filesystem::path& path);

std::unique_ptr<RowReader> read_csv(const std::filesystem::path& path, bool with_embedding);
std::unique_ptr<RowReader> read_jsonl(const std::filesystem::path& path);
std::unique_ptr<RowReader> read_npy(const std::filesystem::path& path);
// Whichever of the three the first bytes say; csv when they say neither of the others.
std::unique_ptr<RowReader> read_rows(const std::filesystem::path& path);

// Where the columns of an .npy lie: its name with .csv in place of .npy, after a name that has none.
inline std::filesystem::path columns_of_npy(const std::filesystem::path& path) {
  std::filesystem::path columns = path;
  if (path.extension() == ".npy")
    columns.replace_extension(".csv");
  else
    columns += ".csv";
  return columns;
}

// Throws the error unless the model is the wanted one; called before any photograph.
using AcceptModel = std::function<void(const GalleryModel& model)>;
using AcceptPhotograph = std::function<void(const Photograph& photograph, std::span<const FaceRecord> faces)>;

// All rows, checked, those of one photograph together; holds one photograph, and some 60 bytes of each before
// it. Throws corrupt for what a gallery could not hold, rows of one photograph that disagree or stand apart,
// and rows of several models.
ImportReport read_photographs(RowReader& rows, const AcceptModel& accept_model,
                              const AcceptPhotograph& accept);

}  // namespace adaface::gallery
