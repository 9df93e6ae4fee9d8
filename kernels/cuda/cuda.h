// What the operations of this folder have in common. Each is a pair of files: a header without CUDA's, whose
// function enqueues kernels on a stream and returns at once, and a .cu with the kernels. Activations are
// NHWC. Pointers are of device memory unless a name says host. Nothing here allocates, synchronises or
// throws.
#pragma once

#include <cstddef>

// As CUDA's runtime declares it.
using cudaStream_t = struct CUstream_st*;

namespace adaface::kernels::cuda {

// A cudaError_t: what the launch returned. What goes wrong in a kernel shows when its stream is waited for.
enum class [[nodiscard]] Status : int{ok = 0};

// How activations and weights are stored; see element.h.
enum class Storage { f16, bf16, f32 };

constexpr int bytes_of(Storage storage) {
  return storage == Storage::f32 ? 4 : 2;
}

// Element i of what was copied to the host.
float host_value(Storage storage, const void* host, std::size_t i);

}  // namespace adaface::kernels::cuda
