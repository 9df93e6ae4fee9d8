#include "weights/afw_writer.h"

#include <openssl/evp.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "src/error.hpp"
#include "weights/afw_layout.h"

namespace adaface::weights {
namespace {

// Round to nearest even; the result is infinite when the value is too large for the type.
std::uint16_t to_half(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  if (magnitude >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // >= 65536
  if (magnitude <
      0x38800000u) {  // < 2^-14: adding 0.5 leaves the value in units of 2^-24 in the low mantissa bits
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000u));
  }
  const std::uint32_t rebased = magnitude - (112u << 23);
  return static_cast<std::uint16_t>(sign | ((rebased + 0xFFFu + ((rebased >> 13) & 1)) >> 13));
}

std::uint16_t to_bfloat(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16);
}

bool is_infinite(std::uint16_t bits, DataType type) {
  const std::uint16_t exponent = type == DataType::f16 ? 0x7C00 : 0x7F80;
  return (bits & exponent) == exponent;
}

}  // namespace

struct Sha256Stream::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~Impl() { EVP_MD_CTX_free(context); }
};

Sha256Stream::Sha256Stream() : impl_(std::make_unique<Impl>()) {
  if (!impl_->context || EVP_DigestInit_ex(impl_->context, EVP_sha256(), nullptr) != 1)
    throw std::bad_alloc();
}
Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::update(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()) != 1)
    throw Error(ErrorCode::internal, "SHA-256 failed");
}

Sha256 Sha256Stream::finish() {
  Sha256 digest;
  if (EVP_DigestFinal_ex(impl_->context, digest.data(), nullptr) != 1)
    throw Error(ErrorCode::internal, "SHA-256 failed");
  return digest;
}

struct AfwWriter::Impl {
  Impl(const std::filesystem::path& path, Architecture a, ColorOrder c, DataType s)
      : architecture(a),
        color(c),
        storage(s),
        specs(tensor_specs(a, s)),
        records(specs.size()),
        file(path),
        position(payload_offset(specs.size())) {
    XXH3_64bits_reset(checksum.get());
    begin_tensor();
  }

  void begin_tensor() {
    if (current == specs.size()) return;
    const TensorSpec& spec = specs[current];
    TensorRecord& record = records[current];
    const std::uint64_t aligned = align_up(position);
    constexpr std::array<std::byte, kAlignment> kZeros{};
    write(std::span(kZeros).first(aligned - position));
    std::memcpy(record.name, spec.name.data(), std::min(spec.name.size(), sizeof record.name - 1));
    record.type = static_cast<std::uint32_t>(spec.type);
    record.rank = static_cast<std::uint32_t>(spec.shape.size());
    std::ranges::copy(spec.shape, record.shape);
    record.offset = position;
    record.bytes = element_count(spec.shape) * size_of(spec.type);
    XXH3_64bits_reset(checksum.get());
  }

  void end_tensor() {
    records[current++].checksum = XXH3_64bits_digest(checksum.get());
    begin_tensor();
  }

  void write(std::span<const std::byte> bytes) {
    file.write_at(position, bytes);
    sha256.update(bytes);
    position += bytes.size();
  }

  void append_piece(std::span<const float> values, std::string_view source) {
    const TensorSpec& spec = specs[current];
    narrow.resize(values.size() * size_of(spec.type));
    if (spec.type == DataType::f32) std::memcpy(narrow.data(), values.data(), narrow.size());
    for (std::size_t i = 0; spec.type != DataType::f32 && i < values.size(); ++i) {
      const std::uint16_t bits = spec.type == DataType::f16 ? to_half(values[i]) : to_bfloat(values[i]);
      if (std::isfinite(values[i]) && is_infinite(bits, spec.type)) refuse(values[i], source);
      std::memcpy(narrow.data() + 2 * i, &bits, 2);
    }
    write(narrow);
    XXH3_64bits_update(checksum.get(), narrow.data(), narrow.size());
  }

  [[noreturn]] void refuse(float value, std::string_view source) const {
    const TensorSpec& spec = specs[current];
    char text[32];
    std::snprintf(text, sizeof text, "%g", static_cast<double>(value));
    const bool fits_bfloat = !is_infinite(to_bfloat(value), DataType::bf16);
    throw Error(ErrorCode::invalid_argument,
                (source.empty() ? "tensor \"" + spec.name + '"' : std::string(source)) + ": " + text +
                    " is too large for " + std::string(to_string(spec.type)) + ", store as " +
                    (fits_bfloat ? "bf16 or f32" : "f32"));
  }

  struct FreeState {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };

  Architecture architecture;
  ColorOrder color;
  DataType storage;
  std::vector<TensorSpec> specs;
  std::vector<TensorRecord> records;
  io::AtomicFile file;
  Sha256Stream sha256;
  std::unique_ptr<XXH3_state_t, FreeState> checksum{XXH3_createState()};
  std::vector<std::byte> narrow;
  std::uint64_t position;
  std::size_t current = 0;
};

AfwWriter::AfwWriter(const std::filesystem::path& path, Architecture architecture, ColorOrder color,
                     DataType storage)
    : impl_(std::make_unique<Impl>(path, architecture, color, storage)) {}
AfwWriter::~AfwWriter() = default;

std::span<const TensorSpec> AfwWriter::specs() const {
  return impl_->specs;
}

void AfwWriter::append(std::span<const float> values, std::string_view source) {
  Impl& w = *impl_;
  if (values.empty()) return;
  if (w.current == w.specs.size())
    throw Error(ErrorCode::internal, "AfwWriter: values after the last tensor");
  const TensorRecord& record = w.records[w.current];
  const std::uint64_t left = (record.offset + record.bytes - w.position) / size_of(w.specs[w.current].type);
  if (values.size() > left)
    throw Error(ErrorCode::internal, "AfwWriter: tensor \"" + w.specs[w.current].name + "\" takes " +
                                         std::to_string(left) + " more values, got " +
                                         std::to_string(values.size()));
  constexpr std::size_t kPiece = 1 << 16;  // bounds the narrowing buffer
  for (std::size_t i = 0; i < values.size(); i += kPiece)
    w.append_piece(values.subspan(i, std::min(kPiece, values.size() - i)), source);
  if (values.size() == left) w.end_tensor();
}

void AfwWriter::commit(const Sha256& source_sha256) {
  Impl& w = *impl_;
  if (w.current != w.specs.size())
    throw Error(ErrorCode::internal, "AfwWriter: tensor \"" + w.specs[w.current].name + "\" is not complete");
  Header header{};
  std::memcpy(header.magic, kMagic.data(), kMagic.size());
  header.version = kVersion;
  header.architecture = static_cast<std::uint32_t>(w.architecture);
  header.color = static_cast<std::uint32_t>(w.color);
  header.storage = static_cast<std::uint32_t>(w.storage);
  header.tensor_count = static_cast<std::uint32_t>(w.specs.size());
  header.file_bytes = w.position;
  header.payload_offset = payload_offset(w.specs.size());
  std::memcpy(header.source_sha256, source_sha256.data(), 32);
  const Sha256 weights = w.sha256.finish();
  std::memcpy(header.weights_sha256, weights.data(), 32);

  std::vector<std::byte> front(header.payload_offset);
  std::memcpy(front.data(), &header, sizeof header);
  std::memcpy(front.data() + sizeof header, w.records.data(), w.records.size() * sizeof(TensorRecord));
  header.checksum = header_checksum(front);
  std::memcpy(front.data(), &header, sizeof header);
  w.file.write_at(0, front);
  w.file.commit();
}

}  // namespace adaface::weights
