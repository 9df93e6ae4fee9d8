#include "tools/adaface/representations.h"

#include <cmath>
#include <filesystem>
#include <set>

#include "tools/adaface/gallery.h"
#include "tools/convert/representations.h"

namespace adaface::cli {
namespace {

// Exports begin with "\x93NUMPY", '{' or a column's name; a pickle with its protocol (0x80), of protocol 0
// with '(' or
// ']', and a ZIP, which torch.save writes instead, with "PK".
bool is_export(const checkpoint::ByteSource& source) {
  std::byte first{};
  if (source.size() > 0) source.read_at(0, std::span(&first, 1));
  const char c = static_cast<char>(first);
  return c != '\x80' && c != '(' && c != ']' && c != 'P';
}

// Embeddings that the pipeline normalised already keep no trace of their norm: it is stored as it comes.
FaceRecord to_face(const checkpoint::Representation& representation) {
  FaceRecord face;
  double square = 0;
  for (const float value : representation.values) square += static_cast<double>(value) * value;
  const double norm = std::sqrt(square);
  face.embedding.norm = static_cast<float>(norm);
  for (std::size_t i = 0; i < representation.values.size(); ++i)
    face.embedding.unit[i] = static_cast<float>(representation.values[i] / (norm > 0 ? norm : 1));
  return face;
}

ImportReport import_pickle(Gallery& gallery, const std::string& file,
                           const std::vector<checkpoint::Representation>& representations,
                           const std::string& identity) {
  ImportReport report;
  Gallery::Transaction transaction(gallery);
  std::set<std::string> paths;
  for (const checkpoint::Representation& representation : representations) {
    const std::string entry = printable(file) + ": entry " + std::to_string(++report.photographs);
    if (!paths.insert(representation.path).second)
      throw Error(ErrorCode::corrupt, entry + " is of " + printable(representation.path) + " again");
    const FaceRecord face = to_face(representation);
    if (!(face.embedding.norm > 0)) throw Error(ErrorCode::corrupt, entry + " is a vector of zeros");
    Photograph photograph;
    photograph.path = stored_path(representation.path);
    photograph.identity = identity_of(photograph.path, representation.path, identity);
    photograph.rules = "imported";
    if (photograph.identity.empty())
      throw Error(ErrorCode::invalid_argument,
                  entry + ": " + printable(representation.path) +
                      " lies in no folder that could name a person; expected --identity path");
    transaction.put(photograph, std::span(&face, 1));
    ++report.faces;
  }
  transaction.commit();
  return report;
}

bool is_empty(const std::string& gallery) {
  try {
    return Gallery::open(gallery).photographs().empty();
  } catch (const Error&) {
    return false;
  }
}

// Runs `import` on the gallery; one that was made for it and into which nothing came is taken away again.
template <typename Import>
ImportReport import_into(const std::string& path, const GalleryModel& model, Import import) {
  std::error_code error;
  const bool there = std::filesystem::exists(std::filesystem::symlink_status(path, error));
  try {
    Gallery gallery =
        usable([&] { return there ? Gallery::open_writable(path) : Gallery::open_or_create(path, model); });
    gallery.require_model(model);
    return import(gallery);
  } catch (...) {
    if (!there && is_empty(path)) std::filesystem::remove(path, error);
    throw;
  }
}

}  // namespace

ImportReport import_file(const std::string& gallery, const std::string& file, const std::string& model,
                         const std::string& identity) {
  const checkpoint::FileSource source(file);
  if (is_export(source))
    return import_into(gallery, exported_model(file),
                       [&](Gallery& into) { return import_faces(into, file); });
  if (model.empty())
    throw UsageError(printable(file) +
                     ": a pickle does not say which network made its embeddings: expected --model FILE");
  Options options;
  options.model = model;
  const GalleryModel made_by = gallery_model(load_model(options).info());
  const std::vector<checkpoint::Representation> representations = checkpoint::read_representations(source);
  return import_into(gallery, made_by,
                     [&](Gallery& into) { return import_pickle(into, file, representations, identity); });
}

}  // namespace adaface::cli
