// Crops that a caller may get wrong, up to two at once: each with its size, stride and channel order, then
// the pixels. They are refused with invalid_argument, or give sound embeddings: the same alone as in a batch.
#include <cmath>
#include <cstdlib>
#include <vector>

#include "src/adaface.hpp"
#include "tests/fuzz/input.h"
#include "tests/fuzz/scratch_file.h"
#include "tools/synthetic/weight_file.h"

namespace {

using namespace adaface;

Embedder made_up() {
  const fuzz::ScratchFile file("embedder");
  synthetic::write_weights(weights::Architecture::ir_18, file.path());
  Embedder embedder(Weights::load(file.path()), {.threads = 1});
  embedder.prepare();  // weights are transformed once, not in each run
  return embedder;
}

void check(const Embedding& embedding) {
  if (!std::isfinite(embedding.norm) || embedding.norm < 0) std::abort();
  if (std::abs(similarity(embedding, embedding) - 1) > 1e-5) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Embedder embedder = made_up();
  fuzz::Input input(data, size);
  constexpr std::size_t kMaxCrops = 2;
  static constexpr int kSides[] = {kCropSize, kCropSize, kCropSize, kCropSize, 0, -1, 1, 65535, INT32_MAX};
  static constexpr std::ptrdiff_t kStrides[] = {0, 0, 0, 1, 64, -1, -3 * kCropSize, PTRDIFF_MIN / 2};
  std::vector<ImageView> crops(input.take<std::uint8_t>() % (kMaxCrops + 1));
  std::vector<std::vector<std::uint8_t>> pixels;
  for (ImageView& crop : crops) {
    crop.width = input.one_of(kSides);
    crop.height = input.one_of(kSides);
    crop.stride = 3 * kCropSize + input.one_of(kStrides);
    crop.order = (input.take<std::uint8_t>() & 1) != 0 ? ChannelOrder::bgr : ChannelOrder::rgb;
    const bool valid = crop.width == kCropSize && crop.height == kCropSize && crop.stride >= 3 * kCropSize;
    // To the last byte of the last row, and not one where the crop must be refused.
    pixels.emplace_back(valid ? static_cast<std::size_t>((kCropSize - 1) * crop.stride + 3 * kCropSize) : 1);
    crop.data = pixels.back().data();
  }
  const std::span<const std::uint8_t> given = input.rest();
  for (std::vector<std::uint8_t>& crop : pixels)
    for (std::size_t i = 0; i < crop.size() && !given.empty(); ++i) crop[i] = given[i % given.size()];
  try {
    const std::vector<Embedding> embeddings = embedder.embed(crops);
    if (embeddings.size() != crops.size()) std::abort();
    for (const Embedding& embedding : embeddings) check(embedding);
    if (crops.size() > 1 && embedder.embed(crops.back()).unit != embeddings.back().unit) std::abort();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_argument) std::abort();
  }
  return 0;
}
