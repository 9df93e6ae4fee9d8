// Text in and out in pieces, and numbers that read back to the same bits.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/error.hpp"
#include "src/io/file.h"

namespace adaface::gallery {

// The bytes of a file one after the other; holds one buffer, however large the file.
class TextInput {
 public:
  static constexpr int kEnd = -1;

  explicit TextInput(const std::filesystem::path& path);

  // The next byte, 0 to 255, or kEnd.
  int get() {
    const int byte = peek();
    if (byte == kEnd) return kEnd;
    ++next_;
    line_ += byte == '\n';
    return byte;
  }
  int peek() { return next_ < buffer_.size() || fill() ? static_cast<int>(buffer_[next_]) : kEnd; }

  // Of the next byte, from 1.
  std::uint64_t line() const { return line_; }
  const std::string& label() const { return label_; }  // the path as messages show it

 private:
  bool fill();

  std::string label_;
  io::InputFile file_;
  std::uint64_t offset_ = 0;
  std::uint64_t line_ = 1;
  std::size_t next_ = 0;
  std::vector<std::byte> buffer_;
};

// "people.csv: line 12"
std::string place(const std::string& label, std::uint64_t line);

class TextOutput {
 public:
  explicit TextOutput(const std::filesystem::path& path) : file_(path) {}
  void append(std::string_view text);
  void overwrite_start(std::string_view text);  // of what has been appended
  void commit();

 private:
  void flush();
  io::AtomicFile file_;
  std::string buffer_;
};

// After the key of a JSON object whose string holds, in hexadecimal, bytes that are not UTF-8.
inline constexpr const char* kHexSuffix = "_hex";

// The shortest text that reads back to the same bits; independent of the locale.
template <typename T>
void append_number(std::string& text, T value) {
  char digits[64];
  const auto result = std::to_chars(digits, digits + sizeof digits, value);
  text.append(digits, result.ptr);
}

// False unless all of `text` is a number in T's range; a float may still be infinite or not a number.
template <typename T>
bool read_number(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end;
}

// Either case. Nothing unless it is an even number of digits.
std::optional<std::string> from_hex(std::string_view digits);

// "xyz" for messages: printable, with its quotes, cut when it is long.
std::string excerpt(std::string_view text);

}  // namespace adaface::gallery
