#include "tools/adaface/gallery.h"

#include <sys/stat.h>

namespace adaface::cli {
Gallery open_gallery(const std::string& path) {
  return usable([&] { return Gallery::open(path); });
}

Gallery open_gallery_to_change(const std::string& path) {
  return usable([&] { return Gallery::open_writable(path); });
}

Gallery open_gallery_to_write(const std::string& path, const Weights& model) {
  return usable([&] { return Gallery::open_or_create(path, gallery_model(model.info())); });
}

void require_gallery_model(const Gallery& gallery, const Weights& model) {
  usable([&] { gallery.require_model(gallery_model(model.info())); });
}

std::filesystem::path stored_path(const std::filesystem::path& path) {
  std::filesystem::path whole = std::filesystem::absolute(path).lexically_normal();
  // "people/" and "people" are the same directory.
  return whole.has_filename() || !whole.has_relative_path() ? whole : whole.parent_path();
}

std::string identity_of(const std::filesystem::path& stored, const std::filesystem::path& given,
                        const std::string& rule) {
  if (rule == "path") return given.native();
  return rule == "stem" ? stored.stem().native() : stored.parent_path().filename().native();
}

std::int64_t modified_ns(const std::filesystem::path& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) return 0;
  return static_cast<std::int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace adaface::cli
