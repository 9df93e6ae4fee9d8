// Invented people for a gallery: the same for the same seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "src/gallery.hpp"

namespace adaface::testing {

inline const GalleryModel kModel{std::string(64, 'a'), "ir_18"};

inline FaceRecord synthetic_face(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  FaceRecord face;
  double square = 0;
  for (float& value : face.embedding.unit) {
    value = normal(random);
    square += static_cast<double>(value) * static_cast<double>(value);
  }
  for (float& value : face.embedding.unit) value = static_cast<float>(value / std::sqrt(square));
  face.embedding.norm = 20.5f + static_cast<float>(seed % 7);
  face.box = {-1.25f, 2.5f, 100.125f, 120.75f};
  face.score = 0.99999f;
  return face;
}

inline Photograph photograph_of(const std::string& identity, const std::filesystem::path& path) {
  Photograph photograph;
  photograph.path = path;
  photograph.identity = identity;
  photograph.hash = content_hash(std::as_bytes(std::span(path.native())));
  photograph.bytes = 12345678901;
  photograph.modified_ns = -5;
  photograph.rules = "largest min_face=20";
  return photograph;
}

// One photograph with one face, committed.
inline void add(Gallery& gallery, const std::string& identity, const std::filesystem::path& path,
                std::uint64_t seed) {
  Gallery::Transaction transaction(gallery);
  transaction.put(photograph_of(identity, path), std::vector{synthetic_face(seed)});
  transaction.commit();
}

}  // namespace adaface::testing
