// Binary PGM (P5) and PPM (P6).
#pragma once

#include <cstdint>

#include "src/runtime/memory.h"

namespace adaface {

class ByteReader;

struct PnmHeader {
  int width, height;
  int channels;   // 1 or 3
  int max_value;  // 1 to 65535; above 255 samples are two bytes, high byte first
};

// The reader stands at the start of the file, afterwards at the first sample. Throws corrupt or limit, also
// when samples are missing.
PnmHeader read_pnm_header(ByteReader& reader, int max_side);

// The samples scaled to 0..255, rounded; `channels` interleaved. Samples above max_value count as max_value.
Buffer<std::uint8_t> read_pnm_samples(ByteReader& reader, const PnmHeader& header);

}  // namespace adaface
