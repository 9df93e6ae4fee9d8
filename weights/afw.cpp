#include "weights/afw.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <unordered_map>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/error.hpp"
#include "src/io/hex.h"
#include "weights/afw_layout.h"

static_assert(std::endian::native == std::endian::little, "weight files are read in place");

namespace adaface::weights {
namespace {

[[noreturn]] void corrupt(std::string_view file, const std::string& message) {
  throw Error(ErrorCode::corrupt, std::string(file) + ": " + message);
}

std::string shape_text(std::span<const std::uint32_t> shape) {
  std::string text;
  for (std::uint32_t dim : shape) {
    if (!text.empty()) text += 'x';
    text += std::to_string(dim);
  }
  return text;
}

}  // namespace

float half_to_float(std::uint16_t half) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1F, mantissa = half & 0x3FFu;
  if (exponent == 0)  // subnormal: mantissa * 2^-24, exact in float
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(static_cast<float>(mantissa) * 0x1p-24f));
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

namespace {

void check_record(const TensorRecord& record, const TensorSpec& expected, std::uint64_t offset,
                  std::uint64_t file_bytes, std::string_view file) {
  const std::string name(record.name, strnlen(record.name, sizeof record.name));
  if (name != expected.name) corrupt(file, "tensor \"" + name + "\", expected \"" + expected.name + "\"");
  const auto rank = std::min<std::uint32_t>(record.rank, 4);
  const std::span<const std::uint32_t> shape(record.shape, rank);
  if (record.rank != rank || !std::ranges::equal(shape, expected.shape))
    corrupt(file,
            "tensor \"" + name + "\" is " + shape_text(shape) + ", expected " + shape_text(expected.shape));
  if (record.type != static_cast<std::uint32_t>(expected.type))
    corrupt(file, "tensor \"" + name + "\" has type " + std::to_string(record.type) + ", expected " +
                      std::string(to_string(expected.type)));
  const std::uint64_t bytes = element_count(expected.shape) * size_of(expected.type);
  if (record.offset != offset || record.bytes != bytes || bytes > file_bytes || offset > file_bytes - bytes)
    corrupt(file, "tensor \"" + name + "\" lies at " + std::to_string(record.offset) + " with " +
                      std::to_string(record.bytes) + " bytes, expected " + std::to_string(bytes) +
                      " bytes at " + std::to_string(offset));
}

}  // namespace

std::size_t size_of(DataType type) noexcept {
  return type == DataType::f32 ? 4 : 2;
}

std::string_view to_string(DataType type) noexcept {
  return type == DataType::f32 ? "f32" : type == DataType::f16 ? "f16" : "bf16";
}

std::string_view to_string(ColorOrder order) noexcept {
  return order == ColorOrder::bgr ? "bgr" : "rgb";
}

std::string to_hex(const Sha256& digest) {
  std::string text;
  io::append_hex(text, std::as_bytes(std::span(digest)));
  return text;
}

std::uint64_t element_count(std::span<const std::uint32_t> shape) {
  std::uint64_t count = 1;
  for (std::uint32_t dim : shape) count *= dim;
  return count;
}

std::vector<TensorSpec> tensor_specs(Architecture architecture, DataType storage) {
  std::vector<TensorSpec> specs;
  for (TensorRow& row : tensor_table(architecture)) {
    const DataType type = row.shape.size() > 1 ? storage : DataType::f32;
    specs.push_back({std::move(row.name), type, std::move(row.shape)});
  }
  return specs;
}

ParsedAfw parse_afw(std::span<const std::byte> bytes, std::string_view file) {
  Header header;
  if (bytes.size() < sizeof header)
    corrupt(file, "is " + std::to_string(bytes.size()) + " bytes, expected an .afw weight file of at least " +
                      std::to_string(sizeof header));
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic.data(), kMagic.size()) != 0)
    corrupt(file, "is not an .afw weight file (make one with adaface-convert)");
  if (header.version != kVersion)
    throw Error(ErrorCode::unsupported, std::string(file) + ": has format version " +
                                            std::to_string(header.version) + ", this build reads version " +
                                            std::to_string(kVersion));
  const auto architecture = static_cast<Architecture>(header.architecture);
  if (to_string(architecture) == "unknown" || header.color > 1 || header.storage > 2)
    corrupt(file, "names architecture " + std::to_string(header.architecture) + ", color " +
                      std::to_string(header.color) + ", storage " + std::to_string(header.storage) +
                      ", which are not all known");
  ParsedAfw parsed;
  parsed.info = {
      architecture, static_cast<ColorOrder>(header.color), static_cast<DataType>(header.storage), {}, {}};
  std::memcpy(parsed.info.source_sha256.data(), header.source_sha256, 32);
  std::memcpy(parsed.info.weights_sha256.data(), header.weights_sha256, 32);
  parsed.specs = tensor_specs(architecture, parsed.info.storage);
  if (header.tensor_count != parsed.specs.size())
    corrupt(file, "has " + std::to_string(header.tensor_count) + " tensors, " +
                      std::string(to_string(architecture)) + " has " + std::to_string(parsed.specs.size()));
  if (header.file_bytes != bytes.size())
    corrupt(file, "is " + std::to_string(bytes.size()) + " bytes, its header says " +
                      std::to_string(header.file_bytes) + ": truncated or not copied whole");
  const std::uint64_t payload = payload_offset(parsed.specs.size());
  if (header.payload_offset != payload || bytes.size() < payload)
    corrupt(file, "has its payload at " + std::to_string(header.payload_offset) + ", expected " +
                      std::to_string(payload));
  if (header_checksum(bytes.first(payload)) != header.checksum)
    corrupt(file, "the checksum of header and directory does not match");

  std::uint64_t offset = payload;
  for (std::size_t i = 0; i < parsed.specs.size(); ++i) {
    TensorRecord record;
    std::memcpy(&record, bytes.data() + sizeof header + i * sizeof record, sizeof record);
    const TensorSpec& spec = parsed.specs[i];
    offset = align_up(offset);
    check_record(record, spec, offset, bytes.size(), file);
    parsed.tensors.push_back({spec.name, spec.type, spec.shape,
                              bytes.subspan(offset, static_cast<std::size_t>(record.bytes)),
                              record.checksum});
    offset += record.bytes;
  }
  if (offset != bytes.size())
    corrupt(file, "goes on for " + std::to_string(bytes.size() - offset) + " bytes after its last tensor");
  return parsed;
}

std::uint64_t header_checksum(std::span<const std::byte> header_and_directory) {
  std::vector<std::byte> copy(header_and_directory.begin(), header_and_directory.end());
  if (copy.size() < sizeof(Header))
    throw Error(ErrorCode::internal, "header_checksum: shorter than the header");
  std::memset(copy.data() + offsetof(Header, checksum), 0, sizeof(Header::checksum));
  return XXH3_64bits(copy.data(), copy.size());
}

struct AfwFile::Impl {
  explicit Impl(const std::filesystem::path& file)
      : path(file), name(io::printable(file)), map(file), parsed(parse_afw(map.bytes(), name)) {
    for (const TensorView& tensor : parsed.tensors) by_name.emplace(tensor.name, &tensor);
    verified = std::make_unique<std::atomic<bool>[]>(parsed.tensors.size());
  }
  std::filesystem::path path;
  std::string name;
  io::MappedFile map;
  ParsedAfw parsed;
  std::unordered_map<std::string_view, const TensorView*> by_name;
  std::unique_ptr<std::atomic<bool>[]> verified;  // of each tensor
};

AfwFile::AfwFile(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}
AfwFile::~AfwFile() = default;

const std::filesystem::path& AfwFile::path() const {
  return impl_->path;
}
std::uint64_t AfwFile::file_bytes() const {
  return impl_->map.bytes().size();
}
const AfwInfo& AfwFile::info() const {
  return impl_->parsed.info;
}
std::span<const TensorView> AfwFile::tensors() const {
  return impl_->parsed.tensors;
}

const TensorView& AfwFile::tensor(std::string_view name) const {
  const auto found = impl_->by_name.find(name);
  if (found == impl_->by_name.end())
    throw Error(ErrorCode::internal, impl_->name + ": no tensor \"" + std::string(name) + "\"");
  return *found->second;
}

namespace {

bool all_finite(std::span<const float> values) {
  // x - x is 0 for finite x and NaN otherwise: sums find any of them without a branch per element. Several,
  // as one alone would wait for each addition.
  std::array<float, 16> probes{};
  std::size_t i = 0;
  for (; i + probes.size() <= values.size(); i += probes.size())
    for (std::size_t k = 0; k < probes.size(); ++k) probes[k] += values[i + k] - values[i + k];
  for (; i < values.size(); ++i) probes[0] += values[i] - values[i];
  return std::ranges::all_of(probes, [](float probe) { return probe == 0; });
}

}  // namespace

void AfwFile::verify_once(const TensorView& tensor) const {
  std::atomic<bool>& verified =
      impl_->verified[static_cast<std::size_t>(&tensor - impl_->parsed.tensors.data())];
  if (verified.load(std::memory_order_relaxed)) return;
  verify(tensor);
  verified.store(true, std::memory_order_relaxed);
}

void AfwFile::verify(const TensorView& tensor) const {
  const std::string quoted = "tensor \"" + std::string(tensor.name) + "\"";
  // In pieces: a value is examined while the checksum has it in cache.
  constexpr std::size_t kPiece = std::size_t{1} << 16;
  XXH3_state_t checksum;
  XXH3_64bits_reset(&checksum);
  const bool variance = tensor.name.ends_with(".variance");
  bool finite = true, negative = false;
  std::vector<float> buffer;
  for (std::size_t first = 0; first < tensor.data.size(); first += kPiece) {
    const std::span<const std::byte> piece =
        tensor.data.subspan(first, std::min(kPiece, tensor.data.size() - first));
    XXH3_64bits_update(&checksum, piece.data(), piece.size());
    std::span<const float> values{reinterpret_cast<const float*>(piece.data()), piece.size() / sizeof(float)};
    if (tensor.type != DataType::f32) {
      buffer.resize(piece.size() / size_of(tensor.type));
      to_float(tensor, first / size_of(tensor.type), buffer);
      values = buffer;
    }
    finite = finite && all_finite(values);
    negative = negative || (variance && std::ranges::any_of(values, [](float value) { return value < 0; }));
  }
  if (XXH3_64bits_digest(&checksum) != tensor.checksum)
    corrupt(impl_->name, quoted + ": checksum does not match, its bytes have changed");
  if (!finite) corrupt(impl_->name, quoted + " holds a value that is not finite");
  if (negative) corrupt(impl_->name, quoted + " holds a negative variance");
}

void AfwFile::prefetch() const noexcept {
  impl_->map.prefetch();
}

void AfwFile::release(const TensorView& tensor) const noexcept {
  impl_->map.release(tensor.data.data(), tensor.data.size());
}

void AfwFile::to_float(const TensorView& tensor, std::uint64_t first, std::span<float> dst) {
  const std::byte* src = tensor.data.data() + first * size_of(tensor.type);
  if (tensor.type == DataType::f32) {
    std::memcpy(dst.data(), src, dst.size_bytes());
    return;
  }
  for (std::size_t i = 0; i < dst.size(); ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, src + 2 * i, 2);
    dst[i] = tensor.type == DataType::f16 ? half_to_float(bits)
                                          : std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
}

}  // namespace adaface::weights
