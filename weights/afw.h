// The flat weight file, .afw: layout in FORMAT.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/io/file.h"
#include "weights/tensor_table.h"

namespace adaface::weights {

enum class DataType : std::uint32_t { f32 = 0, f16 = 1, bf16 = 2 };
// Channel order of the pixels that the first convolution expects.
enum class ColorOrder : std::uint32_t { bgr = 0, rgb = 1 };

std::size_t size_of(DataType type) noexcept;
std::string_view to_string(DataType type) noexcept;
std::string_view to_string(ColorOrder order) noexcept;

using Sha256 = std::array<std::uint8_t, 32>;
std::string to_hex(const Sha256& digest);

struct AfwInfo {
  Architecture architecture;
  ColorOrder color;
  DataType storage;       // of convolution and linear weights; per-channel tensors are always f32
  Sha256 source_sha256;   // of the checkpoint file; MTCNN: of pnet, rnet and onet one after the other
  Sha256 weights_sha256;  // of the payload: the model's identity
};

struct TensorSpec {
  std::string name;
  DataType type;
  std::vector<std::uint32_t> shape;  // 1 to 4 dimensions, each >= 1
};

std::uint64_t element_count(std::span<const std::uint32_t> shape);

// The specs of a network's tensors when its large weights are stored as `storage`.
std::vector<TensorSpec> tensor_specs(Architecture architecture, DataType storage);

// A tensor inside a mapped file. Valid while the AfwFile lives.
struct TensorView {
  std::string_view name;
  DataType type;
  std::span<const std::uint32_t> shape;
  std::span<const std::byte> data;  // little-endian, row-major, 64-byte aligned
  std::uint64_t checksum;           // XXH3-64 of data
};

// A mapped weight file. Construction checks the header, the directory and that the tensors are exactly those
// of the architecture, in O(directory); a tensor's bytes are checked by verify(). Immutable: share it between
// threads.
class AfwFile {
 public:
  // Throws not_found, io, corrupt, unsupported (a newer format version).
  explicit AfwFile(const std::filesystem::path& path);
  ~AfwFile();

  const std::filesystem::path& path() const;
  std::uint64_t file_bytes() const;
  const AfwInfo& info() const;
  std::span<const TensorView> tensors() const;

  // Throws internal when there is none: the constructor has compared names with the tensor table.
  const TensorView& tensor(std::string_view name) const;
  // Compares the bytes with the checksum, and rejects NaN, infinity and negative variances; throws corrupt,
  // naming file and tensor.
  void verify(const TensorView& tensor) const;
  // The same unless it was done before: the map does not change behind a reader that keeps the rules above.
  void verify_once(const TensorView& tensor) const;
  // The pages of a tensor leave resident memory; call when it has been packed.
  void release(const TensorView& tensor) const noexcept;
  // Brings the whole file into resident memory.
  void prefetch() const noexcept;
  // Elements [first, first + dst.size()) as float32 (exact from every storage type).
  static void to_float(const TensorView& tensor, std::uint64_t first, std::span<float> dst);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Exact, infinities and NaNs included.
float half_to_float(std::uint16_t half) noexcept;

// Parses a weight file held in memory (a fuzzer's entry; AfwFile does the same on its map). Throws as AfwFile
// does.
struct ParsedAfw {
  AfwInfo info;
  std::vector<TensorSpec> specs;
  std::vector<TensorView> tensors;  // views into specs and bytes
};
ParsedAfw parse_afw(std::span<const std::byte> bytes, std::string_view file_name);

}  // namespace adaface::weights
