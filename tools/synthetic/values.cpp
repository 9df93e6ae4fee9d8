#include "tools/synthetic/values.h"

#include <cmath>
#include <cstddef>

namespace adaface::synthetic {
namespace {

constexpr std::uint64_t kGoldenRatio = 0x9E3779B97F4A7C15;

// Fowler, Noll, Vo: FNV-1a, 64 bits.
std::uint64_t fnv1a64(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

// The output function of SplitMix64 (Steele, Lea, Flood 2014).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

class Uniform {
 public:
  Uniform(std::uint64_t seed, std::string_view name) : start_(fnv1a64(name) ^ (seed * kGoldenRatio)) {}
  double operator()(std::uint64_t index) const {
    const std::uint64_t x = mix(start_ + (index + 1) * kGoldenRatio);
    return 2.0 * static_cast<double>(x >> 40) / 16777216.0 - 1.0;
  }

 private:
  std::uint64_t start_;
};

// value = offset + scale * r
struct Line {
  double offset, scale;
};

Line line_of(std::string_view source, std::span<const std::uint32_t> shape) {
  const auto ends = [&](std::string_view tail) { return source.ends_with(tail); };
  if (shape.size() >= 2) {
    double fan_in = 1;
    for (const std::uint32_t size : shape.subspan(1)) fan_in *= size;
    return {0, std::sqrt(3.0 / fan_in)};
  }
  if (ends("running_var")) return {1, 0.25};
  if (!ends(".weight")) return {0, 0.1};
  if (source == "input_layer.2.weight" || ends("res_layer.3.weight")) return {0.25, 0.1};  // PReLU
  return {ends("res_layer.5.weight") ? 0.3 : 1.0, 0.1};
}

}  // namespace

void fill_uniform(std::uint64_t seed, std::string_view name, std::uint64_t first, std::span<float> dst) {
  const Uniform uniform(seed, name);
  for (std::size_t i = 0; i < dst.size(); ++i) dst[i] = static_cast<float>(uniform(first + i));
}

void fill_values(std::uint64_t seed, std::string_view source, std::span<const std::uint32_t> shape,
                 std::uint64_t first, std::span<float> dst) {
  const Uniform uniform(seed, source);
  const auto [offset, scale] = line_of(source, shape);
  for (std::size_t i = 0; i < dst.size(); ++i) {
    // Two roundings, as the formula says: volatile keeps a compiler from fusing them.
    const volatile double product = scale * uniform(first + i);
    dst[i] = static_cast<float>(offset + product);
  }
}

}  // namespace adaface::synthetic
