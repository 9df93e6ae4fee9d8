// The pictures that a command line names, and the files that are written for them.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/adaface.hpp"

namespace adaface::cli {

struct Failure {
  ErrorCode code;
  std::string message;
};

struct Input {
  std::filesystem::path path;  // as opened and printed
  std::filesystem::path
      relative;  // below the directory that was given; the file name where the file itself was
  std::optional<Failure> failure = {};  // a directory without pictures, or one that cannot be read
};

// ASCII letters only.
std::string lower_case(const std::filesystem::path& extension);

// Files as they are; directories recursively for .jpg .jpeg .png .bmp in any case, in byte order of the path.
// Links to directories are followed once. A directory that cannot be read or holds no picture becomes an
// input that has failed: the others are done all the same.
std::vector<Input> find_inputs(const std::vector<std::string>& arguments);

// Whether the first elements of `path` are those of `root`. Neither is looked up.
bool is_below(const std::filesystem::path& path, const std::filesystem::path& root);

// With those above it; throws Error io.
void make_directory(const std::filesystem::path& path);

// Before the work, not after it: throws UsageError, naming `option`, for a file that could not be written.
void check_can_write(const char* option, const std::filesystem::path& path);

// Output paths that never collide: `relative` with another extension below a directory, numbered when it is
// taken already by this run or is one of its inputs. Creates the directories.
class OutputNames {
 public:
  // Throws UsageError, naming `option`, when results would lie beside the very pictures that they are made
  // of: names of pictures and results could not be told apart.
  OutputNames(const char* option, std::filesystem::path directory, const std::vector<Input>& inputs);
  // directory/relative-without-extension + suffix + extension
  std::filesystem::path next(const Input& input, const std::string& suffix, const std::string& extension);

 private:
  std::filesystem::path directory_;
  std::set<std::filesystem::path> taken_, inputs_;  // inputs_: canonical
};

}  // namespace adaface::cli
