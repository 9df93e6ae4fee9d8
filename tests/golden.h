// Where the tests' data lies, and scratch space.
#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

namespace adaface::testing {

inline std::filesystem::path source_root() {
  return ADAFACE_SOURCE_ROOT;
}

// Photographs, weights and goldens that are not part of the repository: $ADAFACE_SHARED, else ../shared.
inline std::filesystem::path shared_directory() {
  const char* path = std::getenv("ADAFACE_SHARED");
  return path ? std::filesystem::path(path) : source_root() / ".." / "shared";
}

// False, after saying so, when `path` (inside shared_directory()) is not there.
inline bool have(const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) return true;
  std::printf("skipped: no ../shared (%s)\n", path.filename().c_str());
  return false;
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  REQUIRE_MESSAGE(file.good(), path.string());
  return nlohmann::json::parse(file);
}

// A directory of this process, removed with it; its children leave it alone.
struct Scratch {
  std::filesystem::path path;
  const pid_t process = ::getpid();
  explicit Scratch(const std::string& name)
      : path(std::filesystem::temp_directory_path() /
             ("adaface-" + name + "." + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path);
  }
  ~Scratch() {
    if (::getpid() == process) std::filesystem::remove_all(path);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

// Files and directories in it, without what lies below those.
inline std::size_t files_in(const std::filesystem::path& directory) {
  using Entries = std::filesystem::directory_iterator;
  return static_cast<std::size_t>(std::distance(Entries(directory), Entries()));
}

}  // namespace adaface::testing
