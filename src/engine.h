// The second half of Engine::analyze, which the C interface runs for as many faces as its caller has room
// for.
#pragma once

#include <span>
#include <vector>

#include "src/adaface.hpp"

namespace adaface {

// Aligns and embeds: one embedding a face. Progress ends at 1 for none as well.
std::vector<Embedding> embed_faces(Embedder& embedder, const ImageView& image, std::span<const Face> faces,
                                   Mode mode);

}  // namespace adaface
