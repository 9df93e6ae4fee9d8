// Galleries as the verbs open them, and photographs as they are stored.
#pragma once

#include <filesystem>
#include <string>

#include "src/gallery.hpp"
#include "tools/adaface/options.h"

namespace adaface::cli {

// A gallery that cannot be used is exit code 3: these throw ModelError.
Gallery open_gallery(const std::string& path);                                 // to read
Gallery open_gallery_to_change(const std::string& path);                       // it must be there
Gallery open_gallery_to_write(const std::string& path, const Weights& model);  // made where there is none
void require_gallery_model(const Gallery& gallery, const Weights& model);

// Absolute, without "." and "..", symbolic links as they are: how a gallery names a photograph.
std::filesystem::path stored_path(const std::filesystem::path& path);

// Whose photograph it is, by a rule: "folder", "path" (as given, below the directory that was named) or
// "stem".
std::string identity_of(const std::filesystem::path& stored, const std::filesystem::path& given,
                        const std::string& rule);

// When the file was last changed, since 1970; 0 where that cannot be read.
std::int64_t modified_ns(const std::filesystem::path& path);

}  // namespace adaface::cli
