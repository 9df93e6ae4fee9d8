// Files in and out, for every part of the library: whole reads, read-only maps, and writes that either
// complete or leave nothing behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace adaface::io {

// A path as it may be shown to a person: control characters and invalid UTF-8 become '?'.
std::string printable(const std::filesystem::path& path);

// The whole file. Throws not_found, io (a directory, no permission), limit when it is larger than max_bytes.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

// Sequential and positioned reads of a regular file; never maps it, so the file's size is not our memory.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::uint64_t size() const { return size_; }
  // Exactly dst.size() bytes from offset; throws corrupt when the file ends before that.
  void read_at(std::uint64_t offset, std::span<std::byte> dst) const;

 private:
  std::filesystem::path path_;
  int fd_;
  std::uint64_t size_;
};

// A read-only map of a whole file. A file that is truncated by somebody else while mapped raises SIGBUS, as
// with any map: replace weight files by rename, as AtomicFile does.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Tells the system that [data, data + size) will not be read soon: its pages leave our resident memory
  // (and come back from the page cache when read again).
  void release(const std::byte* data, std::size_t size) const noexcept;
  // Brings all of it into memory, in one call instead of a fault every few pages; returns when it is there.
  void prefetch() const noexcept;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Writes to a file without a name in the directory of `path`; commit() syncs it and renames it over `path`.
// Without commit() nothing is left and `path` is untouched. (A file system that knows no nameless files gets
// a hidden one, which only a process that is killed leaves behind.) `path` may be absent or a regular file;
// a symbolic link keeps pointing, and what it points to is written or replaced. Failures throw io or
// not_found and name the path.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void append(std::span<const std::byte> bytes);
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  void commit();

 private:
  std::filesystem::path directory() const;
  std::string own_link() const;  // under which the open file can be linked
  // Calls `make` with new names beside path_ until one is free; remembers it in temporary_.
  void for_free_name(const std::function<bool(const char*)>& make);

  std::filesystem::path path_, temporary_;  // temporary_: empty while the file has no name
  int fd_ = -1;
};

}  // namespace adaface::io
