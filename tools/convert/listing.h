// What `adaface-convert --list` prints.
#pragma once

#include <string>

#include "tools/convert/checkpoint.h"

namespace adaface::checkpoint {

// An aligned table of every tensor (name, dtype, shape, bytes) and a line of totals.
std::string list_text(const Checkpoint& checkpoint);
// {"file","format","tensors":[{"name","dtype","shape":[...],"bytes"}],"bytes"}, one line.
std::string list_json(const Checkpoint& checkpoint);

// 1234567 -> "1,234,567"
std::string grouped(std::uint64_t number);

}  // namespace adaface::checkpoint
