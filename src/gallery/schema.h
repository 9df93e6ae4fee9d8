// The tables of a gallery file (docs/gallery.md), and how a file comes to have them.
#pragma once

#include <filesystem>
#include <string>

#include "src/gallery.hpp"
#include "src/gallery/database.h"

namespace adaface::gallery {

inline constexpr int kApplicationId = 0x41644663;  // "AdFc"
inline constexpr int kSchemaVersion = 1;

// Throws corrupt unless the file is a gallery with exactly our tables and indices and nothing besides: what
// SQLite would run of its own accord (triggers, views, generated columns) is never there. unsupported when
// its version is another, naming both. Inside a transaction.
void check_schema(Database& database);

// The row that says what the gallery is for.
GalleryModel read_model(Database& database);

// A new, empty gallery: whole or not at all, and never in the place of a file that is there, whoever made
// it. Throws io, not_found (no such directory).
void create_file(const std::filesystem::path& path, const std::string& label, const GalleryModel& model);

}  // namespace adaface::gallery
