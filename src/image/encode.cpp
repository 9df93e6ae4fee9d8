#include <cstring>
#include <new>
#include <string>

#include "src/adaface.hpp"
#include "src/image/stb_memory.h"
#include "src/image/view.h"
#include "src/io/file.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#define STBIW_MALLOC(size) adaface::stb::take(size)
#define STBIW_REALLOC(block, size) adaface::stb::grow(block, 0, size)
#define STBIW_REALLOC_SIZED(block, old_size, size) adaface::stb::grow(block, old_size, size)
#define STBIW_FREE(block) adaface::stb::drop(block)
// Of an array that could not grow; the others cannot fail.
#define STBIW_ASSERT(condition) ((condition) ? void() : throw std::bad_alloc())
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace adaface {

namespace {

// Called through C frames, which no exception may cross.
struct Sink {
  std::vector<std::byte> bytes;
  bool failed = false;

  static void append(void* context, void* data, int size) noexcept {
    auto& sink = *static_cast<Sink*>(context);
    try {
      const auto* begin = static_cast<const std::byte*>(data);
      if (!sink.failed) sink.bytes.insert(sink.bytes.end(), begin, begin + size);
    } catch (const std::bad_alloc&) {
      sink.failed = true;
    }
  }

  std::vector<std::byte> finish(int written) {
    if (failed || written == 0) throw std::bad_alloc();
    return std::move(bytes);
  }
};

Image packed_rgb(const ImageView& view) {
  image::check_view(view);
  Image image(view.width, view.height);
  // The encoder counts bytes in int, and up to twice the picture's.
  constexpr std::size_t kMaxBytes = std::size_t{1} << 29;
  const std::size_t bytes = image.stride() * static_cast<std::size_t>(view.height);
  if (bytes > kMaxBytes) {
    throw Error(ErrorCode::limit, "image to encode: " + std::to_string(view.width) + "x" +
                                      std::to_string(view.height) + " is " + std::to_string(bytes) +
                                      " bytes, expected at most " + std::to_string(kMaxBytes));
  }
  for (int y = 0; y < view.height; ++y) {
    std::uint8_t* row = image.row(y);
    std::memcpy(row, view.data + y * view.stride, image.stride());
    if (view.order == ChannelOrder::bgr) {
      for (int x = 0; x < view.width; ++x) std::swap(row[3 * x], row[3 * x + 2]);
    }
  }
  return image;
}

enum class Encoding { none, png, jpeg };

Encoding encoding_of(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (extension == ".png") return Encoding::png;
  return extension == ".jpg" || extension == ".jpeg" ? Encoding::jpeg : Encoding::none;
}

}  // namespace

std::vector<std::byte> encode_png(const ImageView& view) {
  const Image image = packed_rgb(view);
  Sink sink;
  const stb::Memory memory;
  const int written = stbi_write_png_to_func(Sink::append, &sink, image.width(), image.height(), 3,
                                             image.row(0), static_cast<int>(image.stride()));
  return sink.finish(written);
}

std::vector<std::byte> encode_jpeg(const ImageView& view, int quality) {
  if (quality < 1 || quality > 100) {
    throw Error(ErrorCode::invalid_argument,
                "JPEG quality is " + std::to_string(quality) + ", expected 1 to 100");
  }
  const Image image = packed_rgb(view);
  Sink sink;
  const stb::Memory memory;
  const int written =
      stbi_write_jpg_to_func(Sink::append, &sink, image.width(), image.height(), 3, image.row(0), quality);
  return sink.finish(written);
}

void write_image(const std::filesystem::path& path, const ImageView& image, int jpeg_quality) {
  switch (encoding_of(path)) {
    case Encoding::png: return write_file(path, encode_png(image));
    case Encoding::jpeg: return write_file(path, encode_jpeg(image, jpeg_quality));
    case Encoding::none: break;
  }
  throw Error(ErrorCode::invalid_argument,
              io::printable(path) + ": cannot tell the image format, expected a name in .png, .jpg or .jpeg");
}

}  // namespace adaface
