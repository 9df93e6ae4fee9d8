// From a picture to embedded faces: what embed and compare share.
#pragma once

#include <optional>
#include <vector>

#include "src/adaface.hpp"
#include "tools/adaface/inputs.h"
#include "tools/adaface/options.h"
#include "tools/adaface/pictures.h"

namespace adaface::cli {

struct Embedded {
  int width, height;
  std::vector<Face> faces;  // empty where the picture was an aligned crop already
  std::vector<Embedding> embeddings;
};

// Detector and embedder of one thread.
class FaceEmbedder {
 public:
  // `detector` is null where pictures are aligned crops.
  FaceEmbedder(const Weights& model, const Weights* detector, const Options& options, int threads)
      : options_(options), embedder_(make_embedder(model, threads)) {
    if (detector) detector_ = make_detector(*detector, options, threads);
  }

  Embedded embed(const Input& input, FaceSelection selection) {
    const Image image = read_picture(input, options_);
    Embedded result{image.width(), image.height(), {}, {}};
    if (!detector_) {
      if (image.width() != kCropSize || image.height() != kCropSize)
        throw Error(ErrorCode::invalid_argument,
                    printable(input.path) + ": is " + std::to_string(image.width()) + "x" +
                        std::to_string(image.height()) + ", --aligned expects 112x112");
      result.embeddings.push_back(embedder_.embed(image));
      return result;
    }
    result.faces = select_faces(detector_->detect(image), selection);
    std::vector<Image> crops;
    for (const Face& face : result.faces)
      crops.push_back(align_face(image, face.landmarks, options_.detection_mode()));
    const std::vector<ImageView> views(crops.begin(), crops.end());
    result.embeddings = embedder_.embed(views);
    return result;
  }

 private:
  const Options& options_;
  std::optional<Detector> detector_;
  Embedder embedder_;
};

}  // namespace adaface::cli
