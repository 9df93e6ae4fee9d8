#include "kernels/cuda/pixels.h"

#include "kernels/cuda/element.h"
#include "kernels/cuda/launch.h"

namespace adaface::kernels::cuda {
namespace {

constexpr int kThreads = 256;

__device__ float pixel_value(std::uint8_t v) {
  return __fdiv_rn(static_cast<float>(2 * v - 255), 255.0f);
}

template <typename Element>
__global__ void __launch_bounds__(kThreads) normalise_kernel(const std::uint8_t* src, long long pixels,
                                                             bool swapped, typename Element::Storage* dst) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const long long i = static_cast<long long>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= pixels) return;
  src += i * 3;
  const float first = pixel_value(src[swapped ? 2 : 0]), second = pixel_value(src[1]),
              third = pixel_value(src[swapped ? 0 : 2]);
  if constexpr (sizeof(*dst) == 2)
    reinterpret_cast<uint4*>(dst)[i] =
        make_uint4(Element::pack(first, second), Element::pack(third, 0), 0, 0);
  else
    reinterpret_cast<float4*>(dst)[i] =
        make_float4(ptx::round_to_tf32(first), ptx::round_to_tf32(second), ptx::round_to_tf32(third), 0);
}

template <typename Element>
__global__ void __launch_bounds__(kThreads)
    interleave_kernel(const float* src, int planes, int pixels, int channels, long long count,
                      typename Element::Storage* dst) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const long long i = static_cast<long long>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const int channel = static_cast<int>(i % channels);
  const long long pixel = i / channels, image = pixel / pixels;
  const float value = channel < planes ? src[(image * planes + channel) * pixels + pixel % pixels] : 0;
  if constexpr (sizeof(*dst) == 2)
    dst[i] = static_cast<std::uint16_t>(Element::pack(value, 0));
  else
    dst[i] = ptx::round_to_tf32(value);
}

template <typename Element>
Status interleave(const float* src, int images, int planes, int pixels, int channels, void* dst,
                  cudaStream_t stream) {
  const long long count = static_cast<long long>(images) * pixels * channels;
  return launch(interleave_kernel<Element>, dim3(blocks_for(count, kThreads)), dim3(kThreads), 0, stream, src,
                planes, pixels, channels, count, static_cast<typename Element::Storage*>(dst));
}

template <typename Element>
Status normalise(const std::uint8_t* src, long long pixels, bool swapped, void* dst, cudaStream_t stream) {
  return launch(normalise_kernel<Element>, dim3(blocks_for(pixels, kThreads)), dim3(kThreads), 0, stream, src,
                pixels, swapped, static_cast<typename Element::Storage*>(dst));
}

}  // namespace

Status prepare_pixels(Storage storage) {
  return with_element(storage, [](auto element) {
    const Status status = prepare_kernel(normalise_kernel<decltype(element)>);
    return status == Status::ok ? prepare_kernel(interleave_kernel<decltype(element)>) : status;
  });
}

Status normalise_pixels(const std::uint8_t* src, long long pixels_of_all, bool swapped, Storage storage,
                        void* dst, cudaStream_t stream) {
  return with_element(storage, [&](auto element) {
    return normalise<decltype(element)>(src, pixels_of_all, swapped, dst, stream);
  });
}

Status interleave_planes(const float* src, int images, int planes, int pixels, int channels, Storage storage,
                         void* dst, cudaStream_t stream) {
  return with_element(storage, [&](auto element) {
    return interleave<decltype(element)>(src, images, planes, pixels, channels, dst, stream);
  });
}

}  // namespace adaface::kernels::cuda
