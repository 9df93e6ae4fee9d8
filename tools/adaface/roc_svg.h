// The ROC curve of a verification as a picture.
#pragma once

#include <string>

#include "tools/adaface/verification.h"

namespace adaface::cli {

struct RocText {
  std::string title, subtitle;  // UTF-8; escaped here
};

// SVG 1.1 of 760x600 pixels without scripts, fonts or references outside: TAR over FAR, FAR logarithmic down
// to the decade of one false accept (to 1e-4 at least, 1e-6 at most), the operating points at FAR 1e-2 and
// 1e-3 marked.
std::string roc_svg(const Verification& verification, const RocText& text);

}  // namespace adaface::cli
