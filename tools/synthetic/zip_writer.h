// Writes ZIP archives of stored entries, in one pass and with the same bytes each time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/io/file.h"

namespace adaface::synthetic {

// Entries follow one another: begin(), append() until `size` bytes are there, begin() again, ..., finish().
// Archives of 4 GiB and more and names of 64 KiB and more are not supported (throws limit).
class ZipWriter {
 public:
  // The file must outlive the writer; the caller commits it.
  explicit ZipWriter(io::AtomicFile& file) : file_(file) {}

  // The data starts at a multiple of 64 bytes, as torch.save arranges it.
  void begin(const std::string& name, std::uint64_t size);
  void append(std::span<const std::byte> bytes);
  // Writes the directory.
  void finish();

 private:
  struct Entry {
    std::string name;
    std::uint64_t size = 0, header = 0, written = 0;
    std::uint32_t crc = 0;
  };
  void end_entry();
  void write(const std::string& bytes);

  io::AtomicFile& file_;
  std::vector<Entry> entries_;
  std::uint64_t position_ = 0;
};

}  // namespace adaface::synthetic
