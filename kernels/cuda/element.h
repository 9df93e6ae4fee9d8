// The three ways to store activations and weights on a device, and what the tensor cores multiply them as: 16
// bits with 11 or 8 significant ones, or float32 of which products read 11. Sums are float32 in all.
#pragma once

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/ptx.h"

namespace adaface::kernels::cuda {

struct F16 {
  using Storage = std::uint16_t;
  static constexpr ptx::Product kProduct = ptx::Product::f16;
  __device__ static std::uint32_t pack(float low, float high) { return ptx::pack_f16(low, high); }
  __device__ static float2 unpack(std::uint32_t pair) { return ptx::unpack_f16(pair); }
};

struct Bf16 {
  using Storage = std::uint16_t;
  static constexpr ptx::Product kProduct = ptx::Product::bf16;
  __device__ static std::uint32_t pack(float low, float high) { return ptx::pack_bf16(low, high); }
  __device__ static float2 unpack(std::uint32_t pair) { return ptx::unpack_bf16(pair); }
};

struct Tf32 {
  using Storage = float;
  static constexpr ptx::Product kProduct = ptx::Product::tf32;
};

// f(Element()) for the element that is stored so.
template <typename F>
Status with_element(Storage storage, F&& f) {
  switch (storage) {
    case Storage::f16: return f(F16());
    case Storage::bf16: return f(Bf16());
    case Storage::f32: break;
  }
  return f(Tf32());
}

// Eight channels that lie together: what a thread of an epilogue reads and writes at once.
template <typename Element>
struct Eight {
  float values[8];

  __device__ void load(const typename Element::Storage* from) {
    if constexpr (sizeof(*from) == 2) {
      const uint4 words = *reinterpret_cast<const uint4*>(from);
      const std::uint32_t pairs[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float2 two = Element::unpack(pairs[i]);
        values[2 * i] = two.x;
        values[2 * i + 1] = two.y;
      }
    } else {
      load_floats(from);
    }
  }

  __device__ void store(typename Element::Storage* to) const {
    if constexpr (sizeof(*to) == 2)
      *reinterpret_cast<uint4*>(to) =
          make_uint4(Element::pack(values[0], values[1]), Element::pack(values[2], values[3]),
                     Element::pack(values[4], values[5]), Element::pack(values[6], values[7]));
    else
      store_rounded(to);
  }

  __device__ void load_floats(const float* from) {
    set(reinterpret_cast<const float4*>(from)[0], reinterpret_cast<const float4*>(from)[1]);
  }
  // Past the first-level cache: what other blocks of the same kernel wrote.
  __device__ void load_floats_of_others(const float* from) {
    set(__ldcg(reinterpret_cast<const float4*>(from)), __ldcg(reinterpret_cast<const float4*>(from) + 1));
  }
  __device__ void load_floats_of_block(const float* shared, int rank_in_cluster) {
    set(ptx::load_from_block(shared, rank_in_cluster), ptx::load_from_block(shared + 4, rank_in_cluster));
  }
  __device__ void set(const float4& low, const float4& high) {
    values[0] = low.x, values[1] = low.y, values[2] = low.z, values[3] = low.w;
    values[4] = high.x, values[5] = high.y, values[6] = high.z, values[7] = high.w;
  }
  __device__ void store_rounded(float* to) const {
    Eight rounded;
#pragma unroll
    for (int i = 0; i < 8; ++i) rounded.values[i] = ptx::round_to_tf32(values[i]);
    rounded.store_floats(to);
  }
  __device__ void store_floats(float* to) const {
    reinterpret_cast<float4*>(to)[0] = make_float4(values[0], values[1], values[2], values[3]);
    reinterpret_cast<float4*>(to)[1] = make_float4(values[4], values[5], values[6], values[7]);
  }
};

}  // namespace adaface::kernels::cuda
