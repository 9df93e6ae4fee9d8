#include "src/gallery/exchange_text.h"

#include <algorithm>

namespace adaface::gallery {
namespace {

constexpr std::size_t kPieceBytes = 1 << 18;
constexpr std::size_t kQuotedBytes = 40;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

TextInput::TextInput(const std::filesystem::path& path) : label_(io::printable(path)), file_(path) {}

bool TextInput::fill() {
  const std::uint64_t left = file_.size() - offset_;
  if (left == 0) return false;
  buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(left, kPieceBytes)));
  next_ = buffer_.size();
  file_.read_at(offset_, buffer_);
  next_ = 0;
  offset_ += buffer_.size();
  return true;
}

std::string place(const std::string& label, std::uint64_t line) {
  return label + ": line " + std::to_string(line);
}

void TextOutput::append(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= kPieceBytes) flush();
}

void TextOutput::flush() {
  file_.append(std::as_bytes(std::span(buffer_)));
  buffer_.clear();
}

void TextOutput::overwrite_start(std::string_view text) {
  flush();
  file_.write_at(0, std::as_bytes(std::span(text)));
}

void TextOutput::commit() {
  flush();
  file_.commit();
}

std::optional<std::string> from_hex(std::string_view digits) {
  if (digits.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(digits.size() / 2);
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const int high = digit(digits[i]), low = digit(digits[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

std::string excerpt(std::string_view text) {
  const bool cut = text.size() > kQuotedBytes;
  return '"' + io::printable(std::string(text.substr(0, kQuotedBytes))) + (cut ? "...\"" : "\"");
}

}  // namespace adaface::gallery
