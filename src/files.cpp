#include "src/adaface.hpp"
#include "src/io/file.h"

namespace adaface {

std::string printable(const std::filesystem::path& path) {
  return io::printable(path);
}

std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  return io::read_file(path, max_bytes);
}

void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  io::AtomicFile file(path);
  file.append(bytes);
  file.commit();
}

}  // namespace adaface
