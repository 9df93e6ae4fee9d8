#include "kernels/cuda/squeeze_excite.h"

#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

namespace adaface::kernels::cuda {
namespace {

constexpr int kThreads = 256;
// Of the sums of all rows of threads, at least one, and what is squeezed.
constexpr std::size_t kMostGateShared =
    sizeof(float) * ((kThreads * 8 > kMostGateChannels ? kThreads * 8 : kMostGateChannels) + kMostSqueezed);

// A block an image: threads side by side take eight channels each, those behind one another share the pixels.
template <typename Element>
__global__ void __launch_bounds__(kThreads)
    gates_kernel(const typename Element::Storage* src, int pixels, int channels, const float* fc1,
                 const float* fc2, int squeezed, float* gates) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  auto* const sums = reinterpret_cast<float*>(ptx::dynamic_shared());  // {rows, channels}, then {squeezed}
  const int groups = channels / 8, rows = kThreads / groups < 1 ? 1 : kThreads / groups;
  const int thread = static_cast<int>(threadIdx.x);
  src += static_cast<long long>(blockIdx.x) * pixels * channels;
  for (int i = thread; i < rows * groups; i += kThreads) {
    const int group = i % groups, row = i / groups;
    Eight<Element> total{};
    for (int pixel = row; pixel < pixels; pixel += rows) {
      Eight<Element> one;
      one.load(src + static_cast<long long>(pixel) * channels + group * 8);
#pragma unroll
      for (int k = 0; k < 8; ++k) total.values[k] += one.values[k];
    }
    total.store_floats(sums + row * channels + group * 8);
  }
  __syncthreads();
  for (int c = thread; c < channels; c += kThreads) {
    float total = 0;
    for (int row = 0; row < rows; ++row) total += sums[row * channels + c];
    sums[c] = total / static_cast<float>(pixels);
  }
  __syncthreads();
  float* const hidden = sums + rows * channels;
  for (int s = thread / 32; s < squeezed; s += kThreads / 32) {
    float total = 0;
    for (int c = thread % 32; c < channels; c += 32) total += fc1[s * channels + c] * sums[c];
    for (int bits = 16; bits > 0; bits /= 2) total += __shfl_xor_sync(~0u, total, bits);
    if (thread % 32 == 0) hidden[s] = total > 0 ? total : 0;
  }
  __syncthreads();
  for (int c = thread; c < channels; c += kThreads) {
    float total = 0;
    for (int s = 0; s < squeezed; ++s) total += fc2[c * squeezed + s] * hidden[s];
    gates[static_cast<long long>(blockIdx.x) * channels + c] = 1 / (1 + expf(-total));
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
Status gates_of(const void* src, int images, int pixels, int channels, const float* fc1, const float* fc2,
                int squeezed, float* gates, cudaStream_t stream) {
  const int groups = channels / 8, rows = kThreads / groups < 1 ? 1 : kThreads / groups;
  return launch(gates_kernel<Element>, dim3(static_cast<unsigned>(images)), dim3(kThreads),
                static_cast<std::size_t>(rows * channels + squeezed) * sizeof(float), stream,
                static_cast<const typename Element::Storage*>(src), pixels, channels, fc1, fc2, squeezed,
                gates);
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
  const Status status = prepare_kernel(gates_kernel<Element>, kMostGateShared);
  return status == Status::ok ? prepare_kernel(gate_kernel<Element>) : status;
}

}  // namespace

Status prepare_squeeze_excite(Storage storage) {
  return with_element(storage, [&](auto element) { return prepare<decltype(element)>(); });
}

Status squeeze_gates(Storage storage, const void* src, int images, int pixels, int channels, const float* fc1,
                     const float* fc2, int squeezed, float* gates, cudaStream_t stream) {
  return with_element(storage, [&](auto element) {
    return gates_of<decltype(element)>(src, images, pixels, channels, fc1, fc2, squeezed, gates, stream);
  });
}

Status gate_and_add(Storage storage, const GateSum& sum, const void* src, const float* gates,
                    const void* residual, void* dst, cudaStream_t stream) {
  return with_element(storage, [&](auto element) {
    return gate_sum<decltype(element)>(sum, src, gates, residual, dst, stream);
  });
}

}  // namespace adaface::kernels::cuda
