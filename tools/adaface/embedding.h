// From a picture to embedded faces: what embed and compare share.
#pragma once

#include <cmath>
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

// Left and right exchanged, of RGB pixels.
inline Image mirrored(const ImageView& image) {
  Image out(image.width, image.height);
  for (int y = 0; y < image.height; ++y) {
    const std::uint8_t* from = image.data + y * image.stride;
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < image.width; ++x)
      for (int c = 0; c < 3; ++c) to[3 * x + c] = from[3 * (image.width - 1 - x) + c];
  }
  return out;
}

// The sum of two embeddings before normalisation, as AdaFace fuses a crop with its mirror image: the clearer
// one weighs more. The first alone where they cancel.
inline Embedding fused(const Embedding& a, const Embedding& b) {
  std::array<double, kEmbeddingSize> sum;
  double squares = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    sum[i] = static_cast<double>(a.unit[i]) * a.norm + static_cast<double>(b.unit[i]) * b.norm;
    squares += sum[i] * sum[i];
  }
  const double norm = std::sqrt(squares);
  if (!(norm > 0)) return a;
  Embedding out{{}, static_cast<float>(norm)};
  for (std::size_t i = 0; i < sum.size(); ++i) out.unit[i] = static_cast<float>(sum[i] / norm);
  return out;
}

// Detector and embedder of one thread.
class FaceEmbedder {
 public:
  // `detector` is null where pictures are aligned crops. `flip`: each crop is fused with its mirror image.
  FaceEmbedder(const Weights& model, const Weights* detector, const Options& options, int threads,
               bool flip = false)
      : options_(options), flip_(flip) {
    if (detector)
      engine_ = make_engine(model, *detector, options, threads);
    else
      embedder_ = make_embedder(model, options, threads);
  }

  Embedded embed(const Input& input, FaceSelection selection) {
    const Image image = read_picture(input, options_);
    if (engine_) return embed(image, selection);
    if (image.width() != kCropSize || image.height() != kCropSize)
      throw Error(ErrorCode::invalid_argument,
                  printable(input.path) + ": is " + std::to_string(image.width()) + "x" +
                      std::to_string(image.height()) + ", --aligned expects 112x112");
    const ImageView crop = image;
    return {image.width(), image.height(), {}, embed_crops(*embedder_, {&crop, 1})};
  }

  // Only with a detector.
  Embedded embed(const Image& image, FaceSelection selection) {
    Embedded result{image.width(), image.height(), {}, {}};
    const auto choose = [&](std::vector<Face> found) { return select_faces(std::move(found), selection); };
    if (flip_) {
      // The engine does not hand out the crops that would have to be mirrored.
      result.faces = choose(engine_->detector().detect(image));
      std::vector<Image> crops;
      for (const Face& face : result.faces)
        crops.push_back(align_face(image, face.landmarks, options_.detection_mode()));
      const std::vector<ImageView> views(crops.begin(), crops.end());
      result.embeddings = embed_crops(engine_->embedder(), views);
      return result;
    }
    for (const EmbeddedFace& face : engine_->analyze(image, choose)) {
      result.faces.push_back(face.face);
      result.embeddings.push_back(face.embedding);
    }
    return result;
  }

 private:
  std::vector<Embedding> embed_crops(Embedder& embedder, std::span<const ImageView> crops) const {
    std::vector<Embedding> embeddings = embedder.embed(crops);
    if (!flip_) return embeddings;
    std::vector<Image> images;
    for (const ImageView& crop : crops) images.push_back(mirrored(crop));
    const std::vector<ImageView> views(images.begin(), images.end());
    const std::vector<Embedding> flipped = embedder.embed(views);
    for (std::size_t i = 0; i < embeddings.size(); ++i) embeddings[i] = fused(embeddings[i], flipped[i]);
    return embeddings;
  }

  const Options& options_;
  std::optional<Engine> engine_;      // with a detector
  std::optional<Embedder> embedder_;  // without
  bool flip_;
};

}  // namespace adaface::cli
