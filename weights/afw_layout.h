// The records of FORMAT.md as they lie in the file; for the reader and the writer only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace adaface::weights {

inline constexpr std::array<std::uint8_t, 8> kMagic = {0x89, 'A', 'F', 'W', '\r', '\n', 0x1A, '\n'};
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint64_t kAlignment = 64;

struct Header {
  std::uint8_t magic[8];
  std::uint32_t version;
  std::uint32_t architecture;
  std::uint32_t color;
  std::uint32_t storage;
  std::uint32_t tensor_count;
  std::uint32_t reserved0;
  std::uint64_t file_bytes;
  std::uint64_t payload_offset;
  std::uint8_t source_sha256[32];
  std::uint8_t weights_sha256[32];
  std::uint8_t reserved[136];
  std::uint64_t checksum;
};
static_assert(sizeof(Header) == 256 && offsetof(Header, checksum) == 248);

struct TensorRecord {
  char name[64];
  std::uint32_t type;
  std::uint32_t rank;
  std::uint32_t shape[4];
  std::uint64_t offset;
  std::uint64_t bytes;
  std::uint64_t checksum;
  std::uint8_t reserved[16];
};
static_assert(sizeof(TensorRecord) == 128 && offsetof(TensorRecord, offset) == 88);

constexpr std::uint64_t align_up(std::uint64_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}
constexpr std::uint64_t payload_offset(std::size_t tensors) {
  return sizeof(Header) + tensors * sizeof(TensorRecord);
}

// XXH3-64 of header and directory with the checksum field taken as 0.
std::uint64_t header_checksum(std::span<const std::byte> header_and_directory);

}  // namespace adaface::weights
