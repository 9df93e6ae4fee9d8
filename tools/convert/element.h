// The element types of checkpoint tensors, their conversion to float32, and how tensors are named in
// messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace adaface::checkpoint {

enum class ElementType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean, other };

std::size_t size_of(ElementType type) noexcept;         // 0 for other
std::string_view to_string(ElementType type) noexcept;  // "float32"
bool is_floating(ElementType type) noexcept;            // f64, f32, f16, bf16

// src holds dst.size() little-endian elements of a floating type. Exact, except that f64 is rounded to
// nearest.
void to_float(ElementType type, std::span<const std::byte> src, std::span<float> dst);

// The product of the dimensions; throws corrupt, beginning with `what`, when it passes 2^63.
std::uint64_t element_count(std::span<const std::uint64_t> shape, std::string_view what);

std::string shape_text(std::span<const std::uint64_t> shape);  // "64x3x3x3"; "scalar" without dimensions
// Text from a hostile file as it may be shown: no control bytes, at most 120 bytes.
std::string shown(std::string_view text);

}  // namespace adaface::checkpoint
