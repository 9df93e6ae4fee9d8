// The second half of Engine::analyze, which the C interface runs for as many faces as its caller has room
// for.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "src/adaface.hpp"

namespace adaface {

namespace mtcnn {
class CudaCascade;
}

// The weights of an engine's option `name`. Throws as Weights::load; invalid_argument, naming the option,
// where it was left empty.
Weights load_option(const std::filesystem::path& path, const char* name);

// Aligns and embeds: one embedding a face. Progress ends at 1 for none as well. Precondition: `faces` are
// some of those that the engine's detector found in `image`, which it has looked at last. On one CUDA device
// the crops are made of the image that lies there, and stay there.
std::vector<Embedding> embed_faces(Engine& engine, const ImageView& image, std::span<const Face> faces,
                                   Mode mode);

// What sessions have on a CUDA device.
struct OnDevice {
  static mtcnn::CudaCascade* cascade(Detector& detector);  // null: on the CPU
  static int index(const Detector& detector);              // of its CUDA device; -1: on the CPU
  static int index(const Embedder& embedder);
  // Embeds the crops that `transforms` cut out of the image that the cascade has looked at. Precondition: the
  // embedder is on a device, the cascade's.
  static std::vector<Embedding> embed(Embedder& embedder, mtcnn::CudaCascade& cascade,
                                      std::span<const Transform> transforms);
};

}  // namespace adaface
