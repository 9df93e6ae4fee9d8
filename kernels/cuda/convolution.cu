#include "kernels/cuda/convolution.h"

#include "kernels/cuda/convolution_kernel.h"

namespace adaface::kernels::cuda {

extern template Status with_warp_kernel<F16>(const ConvolutionTile&, const TileCall&);
extern template Status with_warp_kernel<Bf16>(const ConvolutionTile&, const TileCall&);
extern template Status with_warp_kernel<Tf32>(const ConvolutionTile&, const TileCall&);
extern template Status with_warpgroup_kernel<F16>(const ConvolutionTile&, const TileCall&);
extern template Status with_warpgroup_kernel<Bf16>(const ConvolutionTile&, const TileCall&);
extern template Status with_warpgroup_kernel<Tf32>(const ConvolutionTile&, const TileCall&);

namespace {

Status with_kernel_of(Storage storage, const ConvolutionTile& tile, const TileCall& call) {
  return with_element(storage, [&](auto element) {
    return tile.warpgroups ? with_warpgroup_kernel<decltype(element)>(tile, call)
                           : with_warp_kernel<decltype(element)>(tile, call);
  });
}

std::size_t tiles_of(const Convolution& c, const ConvolutionTile& tile, int images) {
  return static_cast<std::size_t>(blocks_for(c.out_channels, tile.columns)) *
         blocks_for(static_cast<long long>(images) * c.out_height * c.out_width, tile.rows);
}

// One element of a row of weights each.
template <typename Element>
__global__ void pack_kernel(Convolution c, const float* rows, int first, int count, int channels_in_file,
                            typename Element::Storage* weights) {
  ptx::wait_for_previous_kernel();
  const int taps = c.kernel * c.kernel, row_elements = c.row_bytes() / static_cast<int>(sizeof(*weights));
  const long long at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= static_cast<long long>(count) * row_elements) return;
  const int row = static_cast<int>(at / row_elements), i = static_cast<int>(at % row_elements);
  const int slice = kDepthBytes / static_cast<int>(sizeof(*weights));  // channels
  const int tap = c.is_sliced() ? i / slice % taps : i / c.channels;
  const int channel = c.is_sliced() ? i / slice / taps * slice + i % slice : i % c.channels;
  float value = 0;
  if (tap < taps && channel < channels_in_file)
    value = rows[(static_cast<long long>(row) * channels_in_file + channel) * taps + tap];
  weights += static_cast<long long>(first) * row_elements + at;
  if constexpr (sizeof(*weights) == 2)
    *weights = static_cast<std::uint16_t>(Element::pack(value, 0));
  else
    *weights = ptx::round_to_tf32(value);
}

template <typename Element>
Status pack(const Convolution& c, const float* rows, int first, int count, int channels_in_file,
            void* weights, cudaStream_t stream) {
  const long long elements = static_cast<long long>(count) * (c.row_bytes() / bytes_of(c.storage));
  return launch(pack_kernel<Element>, dim3(blocks_for(elements, 256)), dim3(256), 0, stream, c, rows, first,
                count, channels_in_file, static_cast<typename Element::Storage*>(weights));
}

}  // namespace

std::size_t shared_bytes(const ConvolutionTile& tile) {
  std::size_t bytes = 0;
  const auto take = [&](auto type) {
    bytes = shared_bytes<typename decltype(type)::type>();
    return Status::ok;
  };
  static_cast<void>(tile.warpgroups ? with_warpgroup_tile<F16>(tile, take) : with_warp_tile<F16>(tile, take));
  return bytes;
}

std::size_t partial_floats(const Convolution& c, const ConvolutionTile& tile, int images) {
  return counter_count(c, tile, images) * static_cast<std::size_t>(tile.rows) *
         static_cast<std::size_t>(tile.columns) * static_cast<std::size_t>(tile.splits);
}

std::size_t counter_count(const Convolution& c, const ConvolutionTile& tile, int images) {
  return tile.splits == 1 || tile.cluster ? 0 : tiles_of(c, tile, images);
}

bool has_clusters(int compute_major) {
  return kCompiledFor90 && compute_major >= 9;
}

Status prepare_convolutions(Storage storage) {
  const bool warpgroups = has_warpgroup_products(capability().major, capability().minor);
  for (const ConvolutionTile& tile : kTiles)
    if (!tile.warpgroups || warpgroups)
      if (const Status status = with_kernel_of(storage, tile, {}); status != Status::ok) return status;
  return Status::ok;
}

Status count_clusters(Storage storage, const ConvolutionTile& tile, int* clusters) {
  return with_kernel_of(storage, tile, {.splits = tile.splits, .clusters = clusters});
}

Status convolve(const Convolution& convolution, const ConvolutionTile& tile, const ConvolutionRun& run,
                cudaStream_t stream) {
  ConvolutionArguments a{};
  a.layer = convolution;
  a.run = run;
  a.rows = run.images * convolution.out_height * convolution.out_width;
  a.pieces_of_tap = convolution.channels * bytes_of(convolution.storage) / kPieceBytes;
  a.steps = convolution.row_bytes() / kDepthBytes;
  a.splits = tile.splits;
  a.cluster = tile.cluster;
  return with_kernel_of(convolution.storage, tile, {.arguments = &a, .stream = stream});
}

Status pack_weights(const Convolution& convolution, const float* rows, int first, int count,
                    int channels_in_file, void* weights, cudaStream_t stream) {
  return with_element(convolution.storage, [&](auto element) {
    return pack<decltype(element)>(convolution, rows, first, count, channels_in_file, weights, stream);
  });
}

}  // namespace adaface::kernels::cuda
