// The ZIP archives that torch.save writes: stored entries under one top folder.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tools/convert/byte_source.h"

namespace adaface::checkpoint {

class ZipArchive {
 public:
  // Checks every entry: stored, not encrypted, inside the archive, with a unique name that does not climb.
  // Throws corrupt, unsupported, limit. The source must outlive the archive.
  explicit ZipArchive(const ByteSource& source);
  ~ZipArchive();
  ZipArchive(const ZipArchive&) = delete;
  ZipArchive& operator=(const ZipArchive&) = delete;

  struct Entry {
    std::uint64_t index = 0;
    std::uint64_t size = 0;
  };
  // "data.pkl" finds "archive/data.pkl"; nullptr: no such entry.
  const Entry* find(const std::string& name) const;

  // Bytes of an entry, inside its size. Reading an entry from its start to its end in order compares its
  // CRC; throws corrupt, naming the entry.
  void read(const Entry& entry, std::uint64_t offset, std::span<std::byte> dst);
  // Reads the whole entry for its CRC.
  void verify(const Entry& entry);

 private:
  struct Impl;
  std::string full_name(const Entry& entry) const;

  const ByteSource& source_;
  std::unordered_map<std::string, Entry> entries_;  // without the top folder
  std::unique_ptr<Impl> impl_;
};

}  // namespace adaface::checkpoint
