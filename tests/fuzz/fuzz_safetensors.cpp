#include "tests/fuzz/checkpoint_input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return adaface::checkpoint::read_as_checkpoint(data, size, adaface::checkpoint::open_safetensors);
}
