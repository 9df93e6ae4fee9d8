// A file for what only reads or maps files: in memory where there is such a place, and gone with the process.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace adaface::fuzz {

class ScratchFile {
 public:
  explicit ScratchFile(const std::string& name) {
    const std::filesystem::path memory = "/dev/shm";
    path_ = (std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path()) /
            ("adaface-fuzz-" + name + "." + std::to_string(::getpid()));
  }
  ~ScratchFile() { ::unlink(path_.c_str()); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace adaface::fuzz
