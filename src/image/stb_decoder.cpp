#include "src/image/stb_decoder.h"

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>

#include "src/error.hpp"
#include "src/runtime/memory.h"

namespace adaface {

namespace {

// Bytes that the decoder may still take for the file at hand: a few bytes of compressed data can ask for
// gigabytes. stb_image's hooks carry no context, so the budget belongs to the thread that decodes.
thread_local std::size_t budget = 0;
// Whether there was no memory for what the budget allowed: the decoder reports that as it reports damage.
thread_local bool starved = false;

bool spend(std::size_t bytes) {
  if (bytes > budget) return false;
  budget -= bytes;
  return true;
}

// The decoder frees without saying how much: a block's size stands before it.
constexpr std::size_t kHeader = alignof(std::max_align_t);
void* header(void* block) {
  return static_cast<char*>(block) - kHeader;
}
std::size_t size_of(void* block) {
  std::size_t bytes;
  std::memcpy(&bytes, header(block), sizeof bytes);
  return bytes;
}
void* after_header(void* memory, std::size_t bytes) {
  if (memory == nullptr) {
    starved = true;
    return nullptr;
  }
  std::memcpy(memory, &bytes, sizeof bytes);
  return static_cast<char*>(memory) + kHeader;
}

// All memory starts as zeros: what a damaged file leaves unwritten is black on every run.
void* take(std::size_t bytes) {
  if (!spend(bytes) || bytes > SIZE_MAX - kHeader) return nullptr;
  return after_header(memory::try_allocate_zeroed(kHeader + bytes), bytes);
}

void give_back(void* block) noexcept {
  if (block != nullptr) memory::release(header(block), kHeader + size_of(block));
}

void* grow(void* block, std::size_t old_bytes, std::size_t bytes) {
  if (bytes > old_bytes && !spend(bytes - old_bytes)) return nullptr;
  if (bytes > SIZE_MAX - kHeader) return nullptr;
  void* grown = after_header(memory::try_allocate_zeroed(kHeader + bytes), bytes);
  if (grown != nullptr && block != nullptr) {
    std::memcpy(grown, block, std::min(size_of(block), bytes));
    give_back(block);
  }
  return grown;
}

}  // namespace

}  // namespace adaface

// A damaged picture may overflow sums in the decoder: defined to wrap, as its vector code does anyway.
#pragma GCC diagnostic push
#if defined(__clang__)
#pragma clang attribute push(__attribute__((no_sanitize("signed-integer-overflow", "shift"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC optimize("wrapv")
#endif
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_PNM
#define STBI_NO_LINEAR
#define STBI_MAX_DIMENSIONS 65535
#define STBI_MALLOC(size) adaface::take(size)
#define STBI_REALLOC(block, size) adaface::grow(block, 0, size)
#define STBI_REALLOC_SIZED(block, old_size, size) adaface::grow(block, old_size, size)
#define STBI_FREE(block) adaface::give_back(block)
#define STBI_ASSERT(condition) \
  ((condition) ? void() : throw adaface::Error(adaface::ErrorCode::corrupt, "the picture is damaged"))
#include <stb/stb_image.h>
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#pragma GCC diagnostic pop

namespace adaface {

StbPixels decode_with_stb(std::span<const std::byte> file, const Container& container,
                          std::string_view name) {
  const std::string prefix(name);
  const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
  if (file.size() > INT_MAX / 2) {
    throw Error(ErrorCode::limit, prefix + ": the file has " + std::to_string(file.size()) +
                                      " bytes, expected at most " + std::to_string(INT_MAX / 2));
  }
  // The greediest format, an interlaced 16-bit PNG, takes about 36 bytes a pixel and its file twice.
  constexpr std::size_t kBytesPerPixel = 40, kFixedBytes = 16u << 20;
  budget =
      kFixedBytes + 4 * file.size() +
      kBytesPerPixel * static_cast<std::size_t>(container.width) * static_cast<std::size_t>(container.height);

  // PIC is always decoded to four channels: asking for fewer makes the decoder convert a picture that it may
  // have failed to read.
  const int wanted = container.format == ImageFormat::pic ? 4 : 0;
  int width = 0, height = 0, channels = 0;
  stbi__g_failure_reason = nullptr;  // some failures give no reason: they must not show an earlier one
  starved = false;
  stbi_uc* samples = nullptr;
  try {
    samples = stbi_load_from_memory(bytes, static_cast<int>(file.size()), &width, &height, &channels, wanted);
  } catch (const Error&) {
    throw Error(ErrorCode::corrupt, prefix + ": corrupt picture: its data contradict themselves");
  }
  StbPixels pixels{{samples, give_back}, width, height, wanted != 0 ? wanted : channels};
  if (samples == nullptr) {
    if (starved) throw std::bad_alloc();
    const char* found = stbi_failure_reason();
    const std::string reason = found != nullptr && *found != '\0' ? found : "damaged data";
    if (reason == "outofmem") {
      throw Error(ErrorCode::limit, prefix + ": the picture of " + std::to_string(container.width) + "x" +
                                        std::to_string(container.height) +
                                        " unpacks to more data than its size needs");
    }
    if (reason == "too large") {
      throw Error(ErrorCode::limit, prefix + ": the picture of " + std::to_string(container.width) + "x" +
                                        std::to_string(container.height) + " is too large to decode");
    }
    throw Error(ErrorCode::corrupt, prefix + ": corrupt picture: " + reason);
  }
  if (width != container.width || height != container.height || pixels.channels < 1 || pixels.channels > 4) {
    throw Error(ErrorCode::corrupt, prefix + ": corrupt picture: decoded to " + std::to_string(width) + "x" +
                                        std::to_string(height) + ", expected " +
                                        std::to_string(container.width) + "x" +
                                        std::to_string(container.height));
  }
  return pixels;
}

}  // namespace adaface
