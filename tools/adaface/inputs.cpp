#include "tools/adaface/inputs.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "tools/adaface/options.h"

namespace adaface::cli {
namespace {

namespace fs = std::filesystem;

bool is_picture(const fs::path& path) {
  constexpr std::array<std::string_view, 4> kExtensions = {".jpg", ".jpeg", ".png", ".bmp"};
  return std::ranges::find(kExtensions, lower_case(path.extension())) != kExtensions.end();
}

// `seen` holds the directories above and beside, canonical: a link that leads back ends there.
void walk(const fs::path& directory, std::set<fs::path>& seen, std::vector<Input>& found) {
  std::error_code error;
  const fs::path canonical = fs::canonical(directory, error);
  if (!error && !seen.insert(canonical).second) return;
  fs::directory_iterator entries;
  if (!error) entries = fs::directory_iterator(directory, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    std::error_code ignored;
    if (entries->is_directory(ignored))
      walk(entries->path(), seen, found);
    else if (is_picture(entries->path()))
      found.push_back({entries->path(), {}, {}});
  }
  if (error)
    found.push_back(
        {directory,
         {},
         Failure{ErrorCode::io, printable(directory) + ": cannot read the directory: " + error.message()}});
}

}  // namespace

std::string lower_case(const fs::path& extension) {
  std::string text = extension.native();
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::vector<Input> find_inputs(const std::vector<std::string>& arguments) {
  std::vector<Input> inputs;
  for (const std::string& argument : arguments) {
    const fs::path path(argument);
    std::error_code error;
    if (argument == "-" && !fs::exists(path, error)) {
      inputs.push_back(
          {path, path,
           Failure{ErrorCode::not_found, "-: standard input is not read, expected a file or a directory"}});
      continue;
    }
    if (!fs::is_directory(path, error)) {
      inputs.push_back({path, path.filename(), {}});
      continue;
    }
    std::vector<Input> found;
    std::set<fs::path> seen;
    walk(path, seen, found);
    std::ranges::sort(found, {}, [](const Input& input) { return input.path.native(); });
    if (found.empty())
      found.push_back(
          {path,
           {},
           Failure{ErrorCode::not_found, printable(path) + ": no .jpg .jpeg .png .bmp in this directory"}});
    for (Input& input : found) {
      input.relative = input.path.lexically_relative(path);
      inputs.push_back(std::move(input));
    }
  }
  return inputs;
}

bool is_below(const fs::path& path, const fs::path& root) {
  return std::ranges::mismatch(root, path).in1 == root.end();
}

void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error)
    throw Error(ErrorCode::io, printable(path) + ": cannot create the directory: " + error.message());
}

void check_can_write(const char* option, const fs::path& path) {
  const std::string where = std::string(option) + " " + printable(path) + ": ";
  const fs::path parent = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code ignored;
  if (!fs::is_directory(parent, ignored)) throw UsageError(where + "no such directory: " + printable(parent));
  if (fs::is_directory(path, ignored)) throw UsageError(where + "is a directory, expected a file to write");
  if (::access(parent.c_str(), W_OK) != 0) throw UsageError(where + "cannot write into " + printable(parent));
}

OutputNames::OutputNames(const char* option, fs::path directory, const std::vector<Input>& inputs)
    : directory_(std::move(directory)) {
  if (directory_.empty()) return;
  std::error_code error;
  for (const Input& input : inputs) {
    const fs::path source = fs::weakly_canonical(input.path, error);
    inputs_.insert(source);
    if (!input.failure && source == fs::weakly_canonical(directory_ / input.relative, error))
      throw UsageError(std::string(option) + " " + printable(directory_) + ": would write beside " +
                       printable(input.path) + ", which is read; expected another directory");
  }
}

fs::path OutputNames::next(const Input& input, const std::string& suffix, const std::string& extension) {
  fs::path stem = directory_ / input.relative;
  stem.replace_extension();
  fs::path path = stem.native() + suffix + extension;
  std::error_code error;
  for (int copy = 2; inputs_.contains(fs::weakly_canonical(path, error)) || !taken_.insert(path).second;
       ++copy)
    path = stem.native() + "~" + std::to_string(copy) + suffix + extension;
  make_directory(path.parent_path());
  return path;
}

}  // namespace adaface::cli
