#include "tools/adaface/representations.h"

#include <cmath>
#include <fstream>

#include "tools/adaface/gallery.h"
#include "tools/convert/representations.h"

namespace adaface::cli {
namespace {

// Every pickle since protocol 2 begins with this byte; exports begin with "\x93NUMPY", '{' or a column's
// name.
bool is_pickle(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  return stream.get() == 0x80;
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

ImportReport import_pickle(Gallery& gallery, const std::string& file, const std::string& identity) {
  const checkpoint::FileSource source(file);
  ImportReport report;
  Gallery::Transaction transaction(gallery);
  for (const checkpoint::Representation& representation : checkpoint::read_representations(source)) {
    const FaceRecord face = to_face(representation);
    Photograph photograph;
    photograph.path = stored_path(representation.path);
    photograph.identity = identity_of(photograph.path, representation.path, identity);
    photograph.rules = "imported";
    transaction.put(photograph, std::span(&face, 1));
    ++report.photographs;
    ++report.faces;
  }
  transaction.commit();
  return report;
}

}  // namespace

ImportReport import_file(const std::string& gallery_path, const std::string& file, const std::string& model,
                         const std::string& identity) {
  if (!is_pickle(file)) {
    const GalleryModel exported = exported_model(file);
    Gallery gallery = with_gallery([&] { return Gallery::open_or_create(gallery_path, exported); });
    return import_faces(gallery, file);
  }
  if (model.empty())
    throw UsageError(printable(file) +
                     ": a pickle does not say which network made its embeddings: expected --model FILE");
  Options options;
  options.model = model;
  Gallery gallery = open_gallery_to_write(gallery_path, load_model(options));
  return import_pickle(gallery, file, identity);
}

}  // namespace adaface::cli
