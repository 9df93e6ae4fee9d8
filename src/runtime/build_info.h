// What build_info() and the log say alike.
#pragma once

#include <string>

namespace adaface {

// Of an ADAFACE_MAX_ISA that names no instruction set; else empty.
std::string unknown_cap_message();

}  // namespace adaface
