// Instructions that C++ has no name for, one function each: PTX ISA 8.x, section numbers of "Parallel Thread
// Execution ISA". For kernels only. What needs a newer device than the one compiled for does nothing there,
// or is not called.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace adaface::kernels::cuda::ptx {

// The shared memory that the launch asked for; aligned to 1024 bytes, as swizzled matrices want it.
__device__ __forceinline__ std::byte* dynamic_shared() {
  extern __shared__ __align__(1024) unsigned char shared[];
  return reinterpret_cast<std::byte*>(shared);
}

__device__ __forceinline__ std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// ---- Numbers ------------------------------------------------------------------------------------

__device__ __forceinline__ std::uint32_t pack_f16(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}
__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}
__device__ __forceinline__ float2 unpack_f16(std::uint32_t pair) {
  return __half22float2(*reinterpret_cast<const __half2*>(&pair));
}
__device__ __forceinline__ float2 unpack_bf16(std::uint32_t pair) {
  return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xFFFF0000u));
}
// To the nearest, ties away from zero.
__device__ __forceinline__ float round_to_tf32(float value) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return __uint_as_float(bits);
}

// ---- Asynchronous copies (9.7.9.25) ---------------------------------------------------------------

// 16 bytes to shared memory, of which the first `read` (16 or 0) come from `global` and the rest are zero.
// Through the first-level cache, for what the same multiprocessor reads again.
__device__ __forceinline__ void copy_async(void* shared, const void* global, int read) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(read)
               : "memory");
}
// Past it.
__device__ __forceinline__ void copy_async_streaming(void* shared, const void* global, int read) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(read)
               : "memory");
}
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until no more than the kGroups newest groups of this thread are under way.
template <int kGroups>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

// ---- Products of a warp (9.7.14) --------------------------------------------------------------------

// Four matrices of 8 rows of 16 bytes. Lane i's address is of row i % 8 of matrix i / 8; lane i gets the 4
// bytes at column i % 4 of row i / 4 of each.
__device__ __forceinline__ void load_matrices(std::uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

enum class Product { f16, bf16, tf32 };

// sums{16, 8} += a{16, 32 bytes} b{8, 32 bytes}^T: 16 factors of 16 bits, or 8 of 32.
template <Product kProduct>
__device__ __forceinline__ void multiply(float (&sums)[4], const std::uint32_t (&a)[4],
                                         const std::uint32_t (&b)[2]) {
  if constexpr (kProduct == Product::f16)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else if constexpr (kProduct == Product::bf16)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// ---- Products of a warpgroup (9.7.15), sm_90a alone ---------------------------------------------------

// What this thread has written to shared memory, copies included that it has waited for, before the barrier
// after which a warpgroup multiplies it.
__device__ __forceinline__ void fence_shared_for_products() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Before the first of a group, for registers that hold sums.
__device__ __forceinline__ void begin_products() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
template <int kGroups>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
}

// Matrix descriptor (9.7.15.5.1.2) of rows of 128 bytes, swizzled over 128 bytes: eight rows are 1024 bytes,
// the distance from one group of eight to the next; a step of 32 bytes along the rows moves its start by as
// much.
__device__ __forceinline__ std::uint64_t describe_matrix(const void* shared) {
  constexpr std::uint64_t kGroupStride = 1024 >> 4, kSwizzle128 = 1;
  return (static_cast<std::uint64_t>(shared_address(shared) & 0x3FFFF) >> 4) | std::uint64_t{1} << 16 |
         kGroupStride << 32 | kSwizzle128 << 62;
}

// The same rows, `bytes` further along, within their 128.
__device__ __forceinline__ std::uint64_t along(std::uint64_t matrix, int bytes) {
  return matrix + static_cast<std::uint64_t>(bytes >> 4);
}

// ---- Clusters of blocks (9.7.13.4, 9.7.9.22), 9.0 or newer ----------------------------------------------

// All threads of a cluster's blocks arrive and wait, in turn: who has waited sees what the others had written
// to shared memory before they arrived.
__device__ __forceinline__ void arrive_at_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void wait_for_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
// Arrives without showing anything: what was read from other blocks has been read.
__device__ __forceinline__ void arrive_at_cluster_for_leaving() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
#endif
}
// 16 bytes that lie in another block's shared memory where `shared` lies in this one's.
__device__ __forceinline__ float4 load_from_block(const void* shared, int rank_in_cluster) {
  float4 loaded{};
#if __CUDA_ARCH__ >= 900
  std::uint32_t address;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(address)
               : "r"(shared_address(shared)), "r"(rank_in_cluster));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(loaded.x), "=f"(loaded.y), "=f"(loaded.z), "=f"(loaded.w)
               : "r"(address)
               : "memory");
#endif
  return loaded;
}

// ---- Launches that overlap (9.7.13.13) ------------------------------------------------------------------

// Until the kernels that this one depends on are done and what they wrote can be seen. Every kernel waits
// before it touches what another may have written or may still read.
__device__ __forceinline__ void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The next kernel may begin, up to its own wait.
__device__ __forceinline__ void allow_next_kernel() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

}  // namespace adaface::kernels::cuda::ptx

#include "kernels/cuda/wgmma.h"
