// The values of an untrained network: a function of seed, tensor name and flat index alone, so that programs
// in any language make the same tensors. Good for tests of speed and agreement; the embeddings mean nothing.
//
//   h = fnv1a64(name) xor (seed * g)          g = 0x9E3779B97F4A7C15, all modulo 2^64
//   x = splitmix64_mix(h + (index + 1) * g)
//   r = 2 * (x >> 40) / 2^24 - 1              in [-1, 1), exact in float32
//
//   convolution, linear weight   r * sqrt(3 / fan_in), in double, then rounded to float32
//   batch norm    weight         1 + 0.1 r (the last one of a residual branch: 0.3 + 0.1 r)
//                 bias, mean     0.1 r
//                 variance       1 + 0.25 r
//   PReLU slope                  0.25 + 0.1 r
//   linear bias                  0.1 r
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace adaface::synthetic {

// r for elements first, first + 1, ... of the tensor with this name.
void fill_uniform(std::uint64_t seed, std::string_view name, std::uint64_t first, std::span<float> dst);

// Elements first, first + 1, ... of a network's tensor: `source` is its name in the checkpoint without prefix
// ("body.0.res_layer.1.weight"), `shape` as in the tensor table.
void fill_values(std::uint64_t seed, std::string_view source, std::span<const std::uint32_t> shape,
                 std::uint64_t first, std::span<float> dst);

}  // namespace adaface::synthetic
