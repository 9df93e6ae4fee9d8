// The pictures that a command line names, and the files that are written for them.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "src/adaface.hpp"

namespace adaface::cli {

struct Input {
  std::filesystem::path path;  // as opened and printed
  std::filesystem::path
      relative;  // below the directory that was given; the file name where the file itself was
};

// Files as they are; directories recursively for .jpg .jpeg .png .bmp in any case, in byte order of the path.
// Links to directories are followed once. Throws UsageError for a directory that cannot be read or holds no
// picture.
std::vector<Input> find_inputs(const std::vector<std::string>& arguments);

// Output paths that never collide: `relative` with another extension below a directory, numbered when it is
// taken already by this run. Creates the directories.
class OutputNames {
 public:
  explicit OutputNames(std::filesystem::path directory) : directory_(std::move(directory)) {}
  // directory/relative-without-extension + suffix + extension
  std::filesystem::path next(const Input& input, const std::string& suffix, const std::string& extension);

 private:
  std::filesystem::path directory_;
  std::set<std::filesystem::path> taken_;
};

}  // namespace adaface::cli
