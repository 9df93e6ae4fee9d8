#include "tools/adaface/inputs.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "tools/adaface/options.h"

namespace adaface::cli {
namespace {

namespace fs = std::filesystem;

bool is_picture(const fs::path& path) {
  constexpr std::array<std::string_view, 4> kExtensions = {".jpg", ".jpeg", ".png", ".bmp"};
  std::string extension = path.extension().native();
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return std::ranges::find(kExtensions, extension) != kExtensions.end();
}

// `seen` holds the directories above and beside, canonical: a link that leads back ends there.
void walk(const fs::path& directory, std::set<fs::path>& seen, std::vector<fs::path>& found) {
  std::error_code error;
  const fs::path canonical = fs::canonical(directory, error);
  if (error || !seen.insert(canonical).second) return;
  fs::directory_iterator entries(directory, error);
  if (error) throw UsageError(printable(directory) + ": cannot read the directory: " + error.message());
  for (const fs::directory_entry& entry : entries) {
    if (entry.is_directory(error))
      walk(entry.path(), seen, found);
    else if (is_picture(entry.path()))
      found.push_back(entry.path());
  }
}

}  // namespace

std::vector<Input> find_inputs(const std::vector<std::string>& arguments) {
  std::vector<Input> inputs;
  for (const std::string& argument : arguments) {
    const fs::path path(argument);
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      inputs.push_back({path, path.filename()});
      continue;
    }
    std::vector<fs::path> found;
    std::set<fs::path> seen;
    walk(path, seen, found);
    std::ranges::sort(found, {}, &fs::path::native);
    if (found.empty()) throw UsageError(printable(path) + ": no .jpg .jpeg .png .bmp in this directory");
    for (const fs::path& file : found) inputs.push_back({file, file.lexically_relative(path)});
  }
  return inputs;
}

fs::path OutputNames::next(const Input& input, const std::string& suffix, const std::string& extension) {
  fs::path stem = directory_ / input.relative;
  stem.replace_extension();
  fs::path path = stem.native() + suffix + extension;
  for (int copy = 2; !taken_.insert(path).second; ++copy)
    path = stem.native() + "~" + std::to_string(copy) + suffix + extension;
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error)
    throw Error(ErrorCode::io,
                printable(path.parent_path()) + ": cannot create the directory: " + error.message());
  return path;
}

}  // namespace adaface::cli
