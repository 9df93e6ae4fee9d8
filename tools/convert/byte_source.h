// Where a reader's bytes come from: a file that is never mapped or held whole, or memory (fuzzers, tests, the
// pickle inside an archive).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "src/io/file.h"

namespace adaface::checkpoint {

class ByteSource {
 public:
  explicit ByteSource(std::string name) : name_(std::move(name)) {}
  virtual ~ByteSource() = default;
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  // As error messages begin: "x.ckpt".
  const std::string& name() const { return name_; }
  virtual std::uint64_t size() const = 0;
  // Exactly dst.size() bytes from offset; throws corrupt when the source ends before that.
  virtual void read_at(std::uint64_t offset, std::span<std::byte> dst) const = 0;

 private:
  std::string name_;
};

class FileSource final : public ByteSource {
 public:
  // Throws not_found, io (a directory, no permission).
  explicit FileSource(const std::filesystem::path& path) : ByteSource(io::printable(path)), file_(path) {}
  std::uint64_t size() const override { return file_.size(); }
  void read_at(std::uint64_t offset, std::span<std::byte> dst) const override { file_.read_at(offset, dst); }

 private:
  io::InputFile file_;
};

// Does not own its bytes.
class MemorySource final : public ByteSource {
 public:
  MemorySource(std::string name, std::span<const std::byte> bytes)
      : ByteSource(std::move(name)), bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }
  void read_at(std::uint64_t offset, std::span<std::byte> dst) const override;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace adaface::checkpoint
