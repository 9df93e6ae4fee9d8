// Bounds-checked reads from a hostile image file; every failure names the file and its format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "src/error.hpp"

namespace adaface {

class ByteReader {
 public:
  // `name` and `format` ("JPEG") stand in messages and must outlive the reader.
  ByteReader(std::span<const std::byte> bytes, std::string_view format, std::string_view name)
      : bytes_(bytes), format_(format), name_(name) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }
  std::span<const std::byte> rest() const { return bytes_.subspan(position_); }

  void skip(std::uint64_t count) {
    if (count > remaining()) fail("truncated: " + std::to_string(count - remaining()) + " bytes are missing");
    position_ += static_cast<std::size_t>(count);
  }
  std::span<const std::byte> take(std::uint64_t count) {
    const std::size_t start = position_;
    skip(count);
    return bytes_.subspan(start, static_cast<std::size_t>(count));
  }
  std::uint8_t u8() { return std::to_integer<std::uint8_t>(take(1)[0]); }
  std::uint16_t u16be() {
    const auto b = take(2);
    return static_cast<std::uint16_t>(value(b[0]) << 8 | value(b[1]));
  }
  std::uint16_t u16le() {
    const auto b = take(2);
    return static_cast<std::uint16_t>(value(b[1]) << 8 | value(b[0]));
  }
  std::uint32_t u32be() {
    const auto b = take(4);
    return value(b[0]) << 24 | value(b[1]) << 16 | value(b[2]) << 8 | value(b[3]);
  }
  std::uint32_t u32le() {
    const auto b = take(4);
    return value(b[3]) << 24 | value(b[2]) << 16 | value(b[1]) << 8 | value(b[0]);
  }

  [[noreturn]] void fail(const std::string& what) const { raise(ErrorCode::corrupt, "corrupt", what); }
  [[noreturn]] void refuse(const std::string& what) const {
    raise(ErrorCode::unsupported, "unsupported", what);
  }

  [[noreturn]] void exceed(const std::string& what) const { raise(ErrorCode::limit, "too large", what); }
  // Throws corrupt for an empty picture and limit for one wider or higher than max_side.
  void check_size(std::uint64_t width, std::uint64_t height, int max_side) const {
    const std::string size = std::to_string(width) + "x" + std::to_string(height);
    if (width == 0 || height == 0) fail("the picture is " + size + ", expected at least 1x1");
    const auto limit = static_cast<std::uint64_t>(max_side);
    if (width > limit || height > limit) {
      throw Error(ErrorCode::limit, std::string(name_) + ": the picture is " + size + ", expected at most " +
                                        std::to_string(max_side) + "x" + std::to_string(max_side));
    }
  }

 private:
  static std::uint32_t value(std::byte b) { return std::to_integer<std::uint32_t>(b); }
  [[noreturn]] void raise(ErrorCode code, const char* word, const std::string& what) const {
    throw Error(code, std::string(name_) + ": " + word + " " + std::string(format_) + ": " + what);
  }

  std::span<const std::byte> bytes_;
  std::string_view format_, name_;
  std::size_t position_ = 0;
};

}  // namespace adaface
