// Bytes as text.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace adaface::io {

// Two digits a byte, in lower case.
inline void append_hex(std::string& text, std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
}

}  // namespace adaface::io
