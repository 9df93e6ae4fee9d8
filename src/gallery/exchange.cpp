// Galleries out to files that other programs read, and back.
#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "src/error.hpp"
#include "src/gallery/exchange_rows.h"
#include "src/gallery/records.h"

namespace adaface {
namespace gallery {
namespace {

// More than any photograph shows; what a hostile file can make us hold is some 130 MB.
constexpr std::size_t kMaxFacesOfPhotograph = 1 << 16;

ContentHash hash_of(const std::string& text) {
  return content_hash(std::as_bytes(std::span(text)));
}

// The column in which two rows of one photograph differ.
const char* difference(const ExchangeRow& a, const ExchangeRow& b) {
  if (a.identity != b.identity) return "identity";
  if (a.hash != b.hash) return "hash";
  if (a.bytes != b.bytes) return "bytes";
  if (a.modified_ns != b.modified_ns) return "modified_ns";
  if (a.rules != b.rules) return "rules";
  return nullptr;
}

Photograph photograph_of(const ExchangeRow& row) {
  return {row.file, row.identity, row.hash, row.bytes, row.modified_ns, row.rules, ""};
}

std::unique_ptr<RowWriter> write_rows(ExchangeFormat format, const std::filesystem::path& path) {
  switch (format) {
    case ExchangeFormat::npy: return write_npy(path);
    case ExchangeFormat::csv: return write_csv(path, true);
    case ExchangeFormat::jsonl: return write_jsonl(path);
  }
  throw Error(ErrorCode::invalid_argument, "format of an export: expected npy, csv or jsonl");
}

void require_other_file(const Gallery& gallery, const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::equivalent(path, gallery.path(), ignored))
    throw Error(ErrorCode::invalid_argument,
                io::printable(path) + ": is the gallery itself, expected another file to write");
}

}  // namespace

std::unique_ptr<RowReader> read_rows(const std::filesystem::path& path) {
  char start[6] = {};
  const io::InputFile file(path);
  file.read_at(0, std::as_writable_bytes(std::span(start).first(std::min<std::uint64_t>(file.size(), 6))));
  if (std::memcmp(start, "\x93NUMPY", 6) == 0) return read_npy(path);
  return start[0] == '{' ? read_jsonl(path) : read_csv(path, true);
}

ImportReport read_photographs(RowReader& rows, const AcceptModel& accept_model,
                              const AcceptPhotograph& accept) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorCode::corrupt, rows.where() + ": " + what);
  };
  ImportReport report;
  ExchangeRow first, row;  // of the photograph whose faces these are; the one just read
  std::vector<FaceRecord> faces;
  std::set<ContentHash> seen;
  const auto finish = [&] {
    if (faces.empty()) return;
    accept(photograph_of(first), faces);
    ++report.photographs;
    report.faces += faces.size();
    faces.clear();
  };
  for (std::optional<GalleryModel> model; rows.next(row);) {
    if (const auto what = fault(photograph_of(row))) fail(*what);
    if (const auto what = fault(row.face)) fail(*what);
    if (!model) {
      model = row.model;
      accept_model(*model);
    }
    if (row.model.weights_sha256 != model->weights_sha256 || row.model.architecture != model->architecture)
      fail("is of another model than the rows before it");
    if (faces.empty() || row.file != first.file) {
      finish();
      if (!seen.insert(hash_of(row.file)).second)
        fail(io::printable(row.file) + " has rows above that do not adjoin this one");
      first = row;
    } else if (const char* column = difference(first, row)) {
      fail(std::string(column) + " is not that of the row before it, of the same photograph");
    }
    if (faces.size() == kMaxFacesOfPhotograph)
      fail("expected at most " + std::to_string(kMaxFacesOfPhotograph) + " faces of one photograph");
    faces.push_back(row.face);
  }
  finish();
  return report;
}

}  // namespace gallery

void export_faces(const Gallery& gallery, ExchangeFormat format, const std::filesystem::path& path) {
  gallery::require_other_file(gallery, path);
  if (format == ExchangeFormat::npy) gallery::require_other_file(gallery, gallery::columns_of_npy(path));
  const auto writer = gallery::write_rows(format, path);
  gallery::ExchangeRow row;
  row.model = gallery.model();
  gallery.for_each_face([&](const GalleryFace& face, const Photograph& photograph) {
    row.identity = face.identity;
    row.file = face.photograph.native();
    row.hash = photograph.hash;
    row.bytes = photograph.bytes;
    row.modified_ns = photograph.modified_ns;
    row.rules = photograph.rules;
    row.face = {face.embedding, face.box, face.score};
    writer->write(row);
  });
  writer->commit();
}

GalleryModel exported_model(const std::filesystem::path& path) {
  gallery::ExchangeRow row;
  if (!gallery::read_rows(path)->next(row))
    throw Error(ErrorCode::corrupt, io::printable(path) + ": holds no face, and so names no model");
  return row.model;
}

ImportReport import_faces(Gallery& gallery, const std::filesystem::path& path) {
  const auto rows = gallery::read_rows(path);
  Gallery::Transaction transaction(gallery);
  const ImportReport report = gallery::read_photographs(
      *rows,
      [&](const GalleryModel& model) {
        try {
          gallery.require_model(model);
        } catch (const Error& error) {
          throw Error(error.code(), rows->where() + ": " + error.what());
        }
      },
      [&](const Photograph& photograph, std::span<const FaceRecord> faces) {
        transaction.put(photograph, faces);
      });
  transaction.commit();
  return report;
}

}  // namespace adaface
