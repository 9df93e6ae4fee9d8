#include "tools/synthetic/zip_writer.h"

#include <array>
#include <limits>

#include "src/error.hpp"

namespace adaface::synthetic {
namespace {

constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kDirectoryRecord = 0x02014b50;
constexpr std::uint32_t kDirectoryEnd = 0x06054b50;
constexpr std::uint64_t kLocalHeaderBytes = 30;
constexpr std::uint64_t kCrcAt = 14;  // in the local header
constexpr std::uint64_t kAlignment = 64;
constexpr std::uint32_t kDate = 0x21;  // 1 January 1980, the earliest that the format knows

// CRC-32 as ZIP uses it: polynomial 0xEDB88320, reflected.
constexpr std::array<std::uint32_t, 256> crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<std::uint32_t, 256> kCrcTable = crc_table();

std::uint32_t crc32(std::uint32_t crc, std::span<const std::byte> bytes) {
  crc = ~crc;
  for (const std::byte b : bytes) crc = kCrcTable[(crc ^ static_cast<std::uint32_t>(b)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

// What the local header and the directory record share, from "version needed" to "extra length".
void put_shared(std::string& out, std::uint32_t crc, std::uint64_t size, std::size_t name,
                std::size_t extra) {
  put(out, 20, 2);  // version needed
  put(out, 0, 2);   // flags
  put(out, 0, 2);   // stored
  put(out, 0, 2);   // time
  put(out, kDate, 2);
  put(out, crc, 4);
  put(out, size, 4);
  put(out, size, 4);
  put(out, name, 2);
  put(out, extra, 2);
}

}  // namespace

void ZipWriter::write(const std::string& bytes) {
  file_.write_at(position_, std::as_bytes(std::span(bytes)));
  position_ += bytes.size();
}

void ZipWriter::begin(const std::string& name, std::uint64_t size) {
  end_entry();
  if (position_ + size > std::numeric_limits<std::uint32_t>::max() - (1u << 20) || name.size() > 0xFFFF)
    throw Error(ErrorCode::limit, "ZIP entry \"" + name + "\" does not fit an archive of 4 GiB");
  // An extra field of type "FB" pads the header so that the data is aligned.
  const std::uint64_t start = position_ + kLocalHeaderBytes + name.size() + 4;
  const std::uint64_t padding = (kAlignment - start % kAlignment) % kAlignment;
  std::string header;
  put(header, kLocalHeader, 4);
  put_shared(header, 0, size, name.size(), 4 + padding);
  header += name;
  header += "FB";
  put(header, padding, 2);
  header.append(padding, 'Z');
  entries_.push_back({name, size, position_, 0, 0});
  write(header);
}

void ZipWriter::append(std::span<const std::byte> bytes) {
  Entry& entry = entries_.back();
  file_.write_at(position_, bytes);
  position_ += bytes.size();
  entry.written += bytes.size();
  entry.crc = crc32(entry.crc, bytes);
}

void ZipWriter::end_entry() {
  if (entries_.empty()) return;
  const Entry& entry = entries_.back();
  if (entry.written != entry.size)
    throw Error(ErrorCode::internal, "ZIP entry \"" + entry.name + "\" has " + std::to_string(entry.written) +
                                         " bytes, expected " + std::to_string(entry.size));
  std::string crc;
  put(crc, entry.crc, 4);
  file_.write_at(entry.header + kCrcAt, std::as_bytes(std::span(crc)));
}

void ZipWriter::finish() {
  end_entry();
  const std::uint64_t start = position_;
  std::string directory;
  for (const Entry& entry : entries_) {
    put(directory, kDirectoryRecord, 4);
    put(directory, 20, 2);  // made by
    put_shared(directory, entry.crc, entry.size, entry.name.size(), 0);
    put(directory, 0, 2);  // comment
    put(directory, 0, 2);  // disk
    put(directory, 0, 2);  // internal attributes
    put(directory, 0, 4);  // external attributes
    put(directory, entry.header, 4);
    directory += entry.name;
  }
  const std::uint64_t size = directory.size();
  put(directory, kDirectoryEnd, 4);
  put(directory, 0, 2);  // disk
  put(directory, 0, 2);  // disk of the directory
  put(directory, entries_.size(), 2);
  put(directory, entries_.size(), 2);
  put(directory, size, 4);
  put(directory, start, 4);
  put(directory, 0, 2);  // comment
  write(directory);
}

}  // namespace adaface::synthetic
