#include "kernels/cuda/squeeze_excite.h"

#include "kernels/cuda/element.h"
#include "kernels/cuda/last_block.h"
#include "kernels/cuda/launch.h"

namespace adaface::kernels::cuda {
namespace {

constexpr int kThreads = 256;
// Threads side by side take eight channels each, those behind one another share the pixels.
constexpr int rows_of(int channels) {
  return kThreads * 8 / channels < 1 ? 1 : kThreads * 8 / channels;
}
// Sums of all rows, what is squeezed, and whether the block is the last of its image.
constexpr std::size_t shared_bytes(int channels, int squeezed) {
  return static_cast<std::size_t>(rows_of(channels) * channels + squeezed) * sizeof(float) + sizeof(bool);
}

// Blocks of one x share an image's pixels; the last of them has the sums of all.
template <typename Element>
__global__ void __launch_bounds__(kThreads) gates_kernel(Squeeze s, const typename Element::Storage* src,
                                                         float* partials, unsigned* counters, float* gates) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  auto* const sums = reinterpret_cast<float*>(ptx::dynamic_shared());  // {rows, channels}, then {squeezed}
  const int channels = s.channels, groups = channels / 8, rows = rows_of(channels);
  const int thread = static_cast<int>(threadIdx.x), image = static_cast<int>(blockIdx.x);
  const int parts = static_cast<int>(gridDim.y), part = static_cast<int>(blockIdx.y);
  float* const hidden = sums + rows * channels;
  src += static_cast<long long>(image) * s.pixels * channels;
  const int end = s.pixels * (part + 1) / parts;
  for (int i = thread; i < rows * groups; i += kThreads) {
    const int group = i % groups, row = i / groups;
    Eight<Element> total{};
#pragma unroll 4
    for (int pixel = s.pixels * part / parts + row; pixel < end; pixel += rows) {
      Eight<Element> one;
      one.load(src + static_cast<long long>(pixel) * channels + group * 8);
#pragma unroll
      for (int k = 0; k < 8; ++k) total.values[k] += one.values[k];
    }
    total.store_floats(sums + row * channels + group * 8);
  }
  __syncthreads();
  partials += static_cast<long long>(image) * parts * channels;
  for (int c = thread; c < channels; c += kThreads) {
    float total = 0;
    for (int row = 0; row < rows; ++row) total += sums[row * channels + c];
    if (parts > 1)
      partials[part * channels + c] = total;
    else
      sums[c] = total / static_cast<float>(s.pixels);
  }
  if (parts > 1) {
    if (!is_last_block(counters + image, gridDim.y, reinterpret_cast<bool*>(hidden + s.squeezed))) return;
    for (int c = thread; c < channels; c += kThreads) {
      float total = 0;
      for (int i = 0; i < parts; ++i) total += __ldcg(partials + i * channels + c);
      sums[c] = total / static_cast<float>(s.pixels);
    }
  }
  __syncthreads();
  for (int h = thread / 32; h < s.squeezed; h += kThreads / 32) {
    float total = 0;
    for (int c = thread % 32; c < channels; c += 32) total += s.fc1[h * channels + c] * sums[c];
    for (int bits = 16; bits > 0; bits /= 2) total += __shfl_xor_sync(~0u, total, bits);
    if (thread % 32 == 0) hidden[h] = total > 0 ? total : 0;
  }
  __syncthreads();
  for (int c = thread; c < channels; c += kThreads) {
    float total = 0;
    for (int h = 0; h < s.squeezed; ++h) total += s.fc2[c * s.squeezed + h] * hidden[h];
    gates[static_cast<long long>(image) * channels + c] = 1 / (1 + expf(-total));
  }
}

// Eight channels of a pixel each.
template <typename Element>
__global__ void __launch_bounds__(kThreads)
    gate_kernel(GateSum s, const typename Element::Storage* src, const float* gates,
                const typename Element::Storage* residual, typename Element::Storage* dst) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const int groups = s.channels / 8, pixels = s.height * s.width;
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= s.images * pixels * groups) return;
  const int channel = i % groups * 8, image = i / groups / pixels;
  const int pixel = i / groups % pixels, y = pixel / s.width, x = pixel % s.width;
  const long long row = i / groups;
  Eight<Element> value, gate, other;
  value.load(src + row * s.channels + channel);
  gate.load_floats(gates + image * s.channels + channel);
  other.load(
      residual +
      ((image * s.residual_height + y * s.residual_stride) * s.residual_width + x * s.residual_stride) *
          s.channels +
      channel);
#pragma unroll
  for (int k = 0; k < 8; ++k) value.values[k] = value.values[k] * gate.values[k] + other.values[k];
  value.store(dst + row * s.channels + channel);
}

template <typename Element>
Status gate_sum(const GateSum& sum, const void* src, const float* gates, const void* residual, void* dst,
                cudaStream_t stream) {
  using Stored = typename Element::Storage;
  const long long count = static_cast<long long>(sum.images) * sum.height * sum.width * (sum.channels / 8);
  return launch(gate_kernel<Element>, dim3(blocks_for(count, kThreads)), dim3(kThreads), 0, stream, sum,
                static_cast<const Stored*>(src), gates, static_cast<const Stored*>(residual),
                static_cast<Stored*>(dst));
}

template <typename Element>
Status prepare() {
  const Status status = prepare_kernel(gates_kernel<Element>);
  return status == Status::ok ? prepare_kernel(gate_kernel<Element>) : status;
}

}  // namespace

Status prepare_squeeze_excite(Storage storage) {
  return with_element(storage, [&](auto element) { return prepare<decltype(element)>(); });
}

Status squeeze_gates(Storage storage, const Squeeze& squeeze, const void* src, float* partials,
                     unsigned* counters, float* gates, cudaStream_t stream) {
  static_assert(shared_bytes(kMostGateChannels, kMostSqueezed) <= 48 << 10 &&
                shared_bytes(8, kMostSqueezed) <= 48 << 10);
  const dim3 grid(static_cast<unsigned>(squeeze.images), static_cast<unsigned>(squeeze.parts()));
  return with_element(storage, [&](auto element) {
    using Element = decltype(element);
    return launch(gates_kernel<Element>, grid, dim3(kThreads),
                  shared_bytes(squeeze.channels, squeeze.squeezed), stream, squeeze,
                  static_cast<const typename Element::Storage*>(src), partials, counters, gates);
  });
}

Status gate_and_add(Storage storage, const GateSum& sum, const void* src, const float* gates,
                    const void* residual, void* dst, cudaStream_t stream) {
  return with_element(storage, [&](auto element) {
    return gate_sum<decltype(element)>(sum, src, gates, residual, dst, stream);
  });
}

}  // namespace adaface::kernels::cuda
