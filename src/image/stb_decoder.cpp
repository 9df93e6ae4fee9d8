#include "src/image/stb_decoder.h"

#include <algorithm>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>

#include "src/error.hpp"
#include "src/image/stb_memory.h"

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
#define STBI_MALLOC(size) adaface::stb::take(size)
#define STBI_REALLOC(block, size) adaface::stb::grow(block, 0, size)
#define STBI_REALLOC_SIZED(block, old_size, size) adaface::stb::grow(block, old_size, size)
#define STBI_FREE(block) adaface::stb::drop(block)
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
  const stb::Memory memory(kFixedBytes + 4 * file.size() +
                           kBytesPerPixel * static_cast<std::size_t>(container.width) *
                               static_cast<std::size_t>(container.height));

  // PIC is always decoded to four channels: asking for fewer makes the decoder convert a picture that it may
  // have failed to read.
  const int wanted = container.format == ImageFormat::pic ? 4 : 0;
  int width = 0, height = 0, channels = 0;
  stbi__g_failure_reason = nullptr;  // some failures give no reason: they must not show an earlier one
  stbi_uc* samples = nullptr;
  try {
    samples = stbi_load_from_memory(bytes, static_cast<int>(file.size()), &width, &height, &channels, wanted);
  } catch (const Error&) {
    throw Error(ErrorCode::corrupt, prefix + ": corrupt picture: its data contradict themselves");
  }
  StbPixels pixels{stb::keep(samples), width, height, wanted != 0 ? wanted : channels};
  if (samples == nullptr) {
    if (memory.starved()) throw std::bad_alloc();
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
