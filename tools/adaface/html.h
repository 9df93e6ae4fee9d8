// Text of any origin inside HTML and SVG.
#pragma once

#include <string>
#include <string_view>

#include "src/adaface.hpp"

namespace adaface::cli {

// One line of valid UTF-8 ('?' for control and invalid bytes), safe as text and in quoted attributes.
inline std::string html_text(std::string_view text) {
  std::string result;
  for (const char c : printable(std::string(text))) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      default: result += c;
    }
  }
  return result;
}

}  // namespace adaface::cli
