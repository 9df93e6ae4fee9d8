// Stands in for kernels/cuda/ptx.h: what each instruction does, in C++.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "tests/cuda_emulation/cuda_runtime.h"

namespace adaface::kernels::cuda::ptx {

EMULATION_UNSEEN inline std::byte* dynamic_shared() {
  return emulation::self->block->shared;
}

// ---- Numbers ------------------------------------------------------------------------------------

float f16_to_float(std::uint16_t bits);
std::uint16_t float_to_f16(float value);
std::uint16_t float_to_bf16(float value);
inline float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
inline float round_to_tf32(float value) {
  if (std::isnan(value)) return std::bit_cast<float>(0x7FFFE000u);
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x1000u) & ~0x1FFFu);
}
inline std::uint32_t pack_f16(float low, float high) {
  return float_to_f16(low) | static_cast<std::uint32_t>(float_to_f16(high)) << 16;
}
inline std::uint32_t pack_bf16(float low, float high) {
  return float_to_bf16(low) | static_cast<std::uint32_t>(float_to_bf16(high)) << 16;
}
inline float2 unpack_f16(std::uint32_t pair) {
  return {f16_to_float(static_cast<std::uint16_t>(pair)),
          f16_to_float(static_cast<std::uint16_t>(pair >> 16))};
}
inline float2 unpack_bf16(std::uint32_t pair) {
  return {bf16_to_float(static_cast<std::uint16_t>(pair)),
          bf16_to_float(static_cast<std::uint16_t>(pair >> 16))};
}

// ---- Asynchronous copies --------------------------------------------------------------------------
// They happen when they are waited for, and what they go to is lost when they are asked for: a read that does
// not wait, and a copy that does not wait for a read, find NaNs.

inline void copy_async(void* shared, const void* global, int read) {
  // Its accesses come between here and the wait; ThreadSanitizer sees them at both ends.
  emulation::sees_read(global, static_cast<std::size_t>(read));
  emulation::sees_write(shared, 16);
  const emulation::Unseen unseen;
  std::memset(shared, 0xFF, 16);
  emulation::self->copies.push_back({shared, global, 16, read});
}
inline void copy_async_streaming(void* shared, const void* global, int read) {
  copy_async(shared, global, read);
}
inline void commit_copies() {
  const emulation::Unseen unseen;
  emulation::self->groups.push_back(emulation::self->copies.size());
}
// All groups but the `left` newest.
void finish_copies(std::size_t left);
template <int kGroups>
void wait_for_copies() {
  finish_copies(kGroups);
}

// ---- Tensor cores ---------------------------------------------------------------------------------

// Lane i's address is of row i % 8 of matrix i / 8; lane i gets 4 bytes at column i % 4 of row i / 4 of each.
inline void load_matrices(std::uint32_t (&to)[4], const void* row) {
  emulation::sees_read(row, 16);
  struct Item {
    const std::byte* row;
    std::uint32_t* to;
  } item{static_cast<const std::byte*>(row), to};
  emulation::warp_together(&item, [](void** all) {
    for (int lane = 0; lane < 32; ++lane)
      for (int matrix = 0; matrix < 4; ++matrix)
        std::memcpy(static_cast<Item*>(all[lane])->to + matrix,
                    static_cast<Item*>(all[matrix * 8 + lane / 4])->row + lane % 4 * 4, 4);
  });
}

enum class Product { f16, bf16, tf32 };

// sums{rows, columns} += a{rows, 32 bytes} b{columns, 32 bytes}^T for one step; float sums in one order.
void multiply_step(Product product, int rows, int columns, const std::uint32_t* a, const std::uint32_t* b,
                   float* sums);

template <Product kProduct>
void multiply(float (&sums)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  struct Item {
    float* sums;
    const std::uint32_t *a, *b;
  } item{sums, a, b};
  emulation::warp_together(&item, [](void** all) {
    std::uint32_t rows[16 * 8], columns[8 * 8];
    float square[16 * 8];
    for (int lane = 0; lane < 32; ++lane) {
      const auto& mine = *static_cast<Item*>(all[lane]);
      const int g = lane / 4, t = lane % 4;
      rows[g * 8 + t] = mine.a[0];
      rows[(g + 8) * 8 + t] = mine.a[1];
      rows[g * 8 + 4 + t] = mine.a[2];
      rows[(g + 8) * 8 + 4 + t] = mine.a[3];
      columns[g * 8 + t] = mine.b[0];
      columns[g * 8 + 4 + t] = mine.b[1];
      for (int i = 0; i < 4; ++i) square[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = mine.sums[i];
    }
    multiply_step(kProduct, 16, 8, rows, columns, square);
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < 4; ++i)
        static_cast<Item*>(all[lane])->sums[i] = square[(lane / 4 + i / 2 * 8) * 8 + 2 * (lane % 4) + i % 2];
  });
}

// ---- Warpgroup products (compute capability 9.0) ----------------------------------------------------

// They happen when they are waited for, like copies: what they read must not change until then, and no copy
// of any thread of the block may be there that its thread has not fenced.

inline void fence_shared_for_products() {
  const emulation::Unseen unseen;
  if (std::exchange(emulation::self->is_unfenced, false)) --emulation::self->block->unfenced;
}
EMULATION_UNSEEN inline void begin_products() {
  emulation::self->may_multiply = true;
}
inline void commit_products() {
  const emulation::Unseen unseen;
  emulation::self->product_groups.push_back(emulation::self->products.size());
  emulation::self->may_multiply = false;
}

// The share of a thread in what its warpgroup reads for a product.
void see_product(int columns, std::uint64_t a, std::uint64_t b);

// All groups but the `left` newest, of the whole warpgroup.
void finish_products(std::size_t left);
template <int kGroups>
void wait_for_products() {
  finish_products(kGroups);
}

// A matrix in shared memory of rows of 128 bytes, swizzled; `shared` is where it, or a step of 32 bytes,
// begins.
inline std::uint64_t describe_matrix(const void* shared) {
  return reinterpret_cast<std::uint64_t>(shared);
}

inline std::uint64_t along(std::uint64_t matrix, int bytes) {
  return matrix + static_cast<std::uint64_t>(bytes);
}

template <Product kProduct, int kColumns>
void multiply_warpgroup(float (&sums)[kColumns / 2], std::uint64_t a, std::uint64_t b) {
  // Likewise.
  see_product(kColumns, a, b);
  const emulation::Unseen unseen;
  emulation::Thread& thread = *emulation::self;
  if (!thread.may_multiply) emulation::stop("a product before begin_products()");
  if (thread.block->unfenced > 0) emulation::stop("a product before fence_shared_for_products()");
  thread.products.push_back({sums, a, b, kColumns, static_cast<int>(kProduct)});
}

// ---- Clusters of blocks ---------------------------------------------------------------------------

// Whole warps come to both: a lane that stays away makes the others wait for ever.
EMULATION_UNSEEN inline void arrive_at_cluster() {
  emulation::warp_together(nullptr, [](void**) {});
  emulation::arrive(*emulation::self->block->cluster, true);
}
EMULATION_UNSEEN inline void arrive_at_cluster_for_leaving() {
  emulation::warp_together(nullptr, [](void**) {});
  emulation::arrive(*emulation::self->block->cluster, false);
}
EMULATION_UNSEEN inline void wait_for_cluster() {
  emulation::warp_together(nullptr, [](void**) {});
  emulation::wait_for_arrivals(*emulation::self->block->cluster);
}
inline float4 load_from_block(const void* shared, int rank_in_cluster) {
  float4 loaded;
  const std::byte* const there = emulation::in_block(shared, rank_in_cluster);
  emulation::sees_read(there, sizeof loaded);
  const emulation::Unseen unseen;
  std::memcpy(&loaded, there, sizeof loaded);
  return loaded;
}

// ---- Launches that overlap ----------------------------------------------------------------------------

inline void wait_for_previous_kernel() {
  emulation::wait_for_previous_grid();
}
inline void allow_next_kernel() {}

}  // namespace adaface::kernels::cuda::ptx
