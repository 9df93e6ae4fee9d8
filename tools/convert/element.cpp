#include "tools/convert/element.h"

#include <bit>
#include <cstring>

#include "src/error.hpp"
#include "src/io/file.h"
#include "weights/afw.h"

namespace adaface::checkpoint {
namespace {

template <class T, class Convert>
void convert_all(std::span<const std::byte> src, std::span<float> dst, Convert convert) {
  for (std::size_t i = 0; i < dst.size(); ++i) {
    T value;
    std::memcpy(&value, src.data() + i * sizeof(T), sizeof(T));
    dst[i] = convert(value);
  }
}

}  // namespace

std::size_t size_of(ElementType type) noexcept {
  switch (type) {
    case ElementType::f64:
    case ElementType::i64: return 8;
    case ElementType::f32:
    case ElementType::i32: return 4;
    case ElementType::f16:
    case ElementType::bf16:
    case ElementType::i16: return 2;
    case ElementType::i8:
    case ElementType::u8:
    case ElementType::boolean: return 1;
    case ElementType::other: break;
  }
  return 0;
}

std::string_view to_string(ElementType type) noexcept {
  constexpr std::string_view kNames[] = {"float64", "float32", "float16", "bfloat16", "int64", "int32",
                                         "int16",   "int8",    "uint8",   "bool",     "other"};
  return kNames[static_cast<std::size_t>(type)];
}

bool is_floating(ElementType type) noexcept {
  return type <= ElementType::bf16;
}

void to_float(ElementType type, std::span<const std::byte> src, std::span<float> dst) {
  if (!is_floating(type) || src.size() != dst.size() * size_of(type))
    throw Error(ErrorCode::internal, "to_float: " + std::to_string(src.size()) + " bytes for " +
                                         std::to_string(dst.size()) + " elements");
  if (dst.empty()) return;
  switch (type) {
    case ElementType::f32: std::memcpy(dst.data(), src.data(), src.size()); break;
    case ElementType::f64:
      // Beyond the range of float, IEEE 754 conversion gives infinity, which the finiteness check then
      // reports.
      convert_all<double>(src, dst, [](double v) {
        constexpr double kOverflow = 0x1.ffffffp127;  // halfway between the largest float and 2^128
        if (v >= kOverflow || v <= -kOverflow)
          return v > 0 ? std::bit_cast<float>(0x7f800000u) : std::bit_cast<float>(0xff800000u);
        return static_cast<float>(v);
      });
      break;
    case ElementType::f16: convert_all<std::uint16_t>(src, dst, weights::half_to_float); break;
    default:
      convert_all<std::uint16_t>(src, dst, [](std::uint16_t v) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16);
      });
  }
}

std::uint64_t element_count(std::span<const std::uint64_t> shape, std::string_view what) {
  constexpr std::uint64_t kMax = std::uint64_t{1} << 63;
  for (const std::uint64_t dimension : shape)
    if (dimension == 0) return 0;
  std::uint64_t count = 1;
  for (const std::uint64_t dimension : shape) {
    if (dimension > kMax / count)
      throw Error(ErrorCode::corrupt,
                  std::string(what) + ": shape " + shape_text(shape) + " has more than 2^63 elements");
    count *= dimension;
  }
  return count;
}

std::string shape_text(std::span<const std::uint64_t> shape) {
  if (shape.empty()) return "scalar";
  std::string text;
  for (const std::uint64_t dimension : shape) {
    if (!text.empty()) text += 'x';
    text += std::to_string(dimension);
  }
  return text;
}

std::string shown(std::string_view text) {
  constexpr std::size_t kLongest = 120;
  const bool cut = text.size() > kLongest;
  std::string clean = io::printable(std::filesystem::path(std::string(text.substr(0, kLongest))));
  return cut ? clean + "..." : clean;
}

}  // namespace adaface::checkpoint
