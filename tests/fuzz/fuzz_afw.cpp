// Any bytes as a weight file, with and without a right checksum of its header.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "src/error.hpp"
#include "weights/afw.h"
#include "weights/afw_layout.h"

namespace {

using namespace adaface;

void parse(std::span<const std::byte> bytes) {
  try {
    const weights::ParsedAfw parsed = weights::parse_afw(bytes, "input");
    for (const weights::TensorView& tensor : parsed.tensors) {
      std::vector<float> values(static_cast<std::size_t>(weights::element_count(tensor.shape)));
      weights::AfwFile::to_float(tensor, 0, values);
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt && error.code() != ErrorCode::unsupported) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  parse(bytes);
  weights::Header header;
  if (size < sizeof header) return 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  // A corpus of headers and directories is enough: the tensors are zeros, as many as the header says.
  constexpr std::uint64_t kMaxBytes = 1 << 22;
  if (header.file_bytes > size && header.file_bytes <= kMaxBytes)
    bytes.resize(static_cast<std::size_t>(header.file_bytes));
  if (header.payload_offset < sizeof header || header.payload_offset > bytes.size()) return 0;
  header.file_bytes = bytes.size();
  std::memcpy(bytes.data(), &header, sizeof header);
  header.checksum = weights::header_checksum(std::span(bytes).first(header.payload_offset));
  std::memcpy(bytes.data(), &header, sizeof header);
  parse(bytes);
  return 0;
}
