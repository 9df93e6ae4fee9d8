// Import into a gallery, whatever the file is.
#pragma once

#include <string>

#include "src/gallery.hpp"

namespace adaface::cli {

// An exported file, or the pickle of the Python pipeline: told apart by content. A gallery that is not there
// is made. `model` names the weight file of a pickle's embeddings; `identity` the rule that files its
// photographs. All or nothing. Throws Error; ModelError for a gallery or a model that cannot be used.
ImportReport import_file(const std::string& gallery, const std::string& file, const std::string& model,
                         const std::string& identity);

}  // namespace adaface::cli
