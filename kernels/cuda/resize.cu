#include "kernels/cuda/resize.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/table.h"
#include "kernels/resize.h"

namespace adaface::kernels::cuda {
namespace {

constexpr int kThreads = 256, kLogThreads = 8, kTableThreads = 64;
// Taps that one thread should sum before others share them.
constexpr int kTapsEach = 4;

int max_taps(int source, int size) {
  const double support = std::max(static_cast<double>(source) / size, 1.0);
  return static_cast<int>(std::ceil(support)) * 2 + 1;
}

int log_up(std::int64_t value) {
  return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value) - 1));
}

// The published operations, each rounded by itself: a fused one would move weights by a unit.
__device__ double tap_at(int position, double center, double inverse_support) {
  const double distance = fabs(__dmul_rn(position - center + 0.5, inverse_support));
  return distance < 1.0 ? 1.0 - distance : 0.0;
}

// One output of one axis each: columns, then rows.
__global__ void __launch_bounds__(kTableThreads)
    tables_kernel(Picture picture, const ResizeJob* jobs, int count, ResizeMemory memory) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const ResizeJob& job =
      entry_of(jobs, count, blockIdx.x, [](const ResizeJob& j) { return j.first_block[0]; });
  int i = static_cast<int>((blockIdx.x - job.first_block[0]) * kTableThreads + threadIdx.x);
  if (i >= job.out_width + job.out_height) return;
  ResizeSpan& span = memory.spans[job.spans + i];
  std::int32_t* weights = memory.weights + job.weights;
  const bool is_row = i >= job.out_width;
  if (is_row) {
    i -= job.out_width;
    weights += static_cast<std::int64_t>(job.out_width) * job.column_taps +
               static_cast<std::int64_t>(i) * job.row_taps;
  } else {
    weights += static_cast<std::int64_t>(i) * job.column_taps;
  }
  const int origin = is_row ? job.top : job.left, source = is_row ? job.height : job.width,
            extent = is_row ? picture.height : picture.width, size = is_row ? job.out_height : job.out_width;
  const double scale = static_cast<double>(source) / size, support = fmax(scale, 1.0),
               inverse_support = 1.0 / support, center = __dmul_rn(i + 0.5, scale);
  const int first = max(static_cast<int>(center - support + 0.5), 0),
            taps = min(static_cast<int>(center + support + 0.5), source) - first;
  double sum = 0;
  for (int k = 0; k < taps; ++k) sum = __dadd_rn(sum, tap_at(k + first, center, inverse_support));
  // Taps on the zeros outside add nothing.
  const int begin = max(-origin - first, 0), end = min(taps, extent - origin - first);
  span = begin < end ? ResizeSpan{origin + first + begin, end - begin} : ResizeSpan{0, 0};
  for (int k = begin; k < end; ++k) {
    const double tap = tap_at(k + first, center, inverse_support), share = sum != 0 ? tap / sum : tap;
    weights[k - begin] =
        static_cast<std::int32_t>(__dadd_rn(0.5, __dmul_rn(share, 1 << kResizeFractionBits)));
  }
}

// Sums may wrap around in between: the whole is below 2^31.
struct Sums {
  std::uint32_t red = 0, green = 0, blue = 0;

  __device__ void add(std::uint32_t pixel, std::int32_t weight) {
    const auto w = static_cast<std::uint32_t>(weight);
    red += w * (pixel & 0xFF);
    green += w * (pixel >> 8 & 0xFF);
    blue += w * (pixel >> 16 & 0xFF);
  }
  __device__ std::uint32_t pixel() const { return clip(red) | clip(green) << 8 | clip(blue) << 16; }

 private:
  __device__ static std::uint32_t clip(std::uint32_t sum) {
    constexpr std::uint32_t kHalf = 1u << (kResizeFractionBits - 1);
    return min((sum + kHalf) >> kResizeFractionBits, 255u);
  }
};

__global__ void __launch_bounds__(kThreads)
    across_kernel(Picture picture, const ResizeJob* jobs, int count, ResizeMemory memory) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const ResizeJob& job =
      entry_of(jobs, count, blockIdx.x, [](const ResizeJob& j) { return j.first_block[1]; });
  const int block = static_cast<int>(blockIdx.x - job.first_block[1]), thread = static_cast<int>(threadIdx.x);
  const int y = (block / job.wide_across << (kLogThreads - job.log_across)) + (thread >> job.log_across),
            at = (block % job.wide_across << job.log_across) + (thread & ((1 << job.log_across) - 1)),
            x = at >> job.log_lanes, lanes = 1 << job.log_lanes, lane = at & (lanes - 1);
  const bool inside = x < job.out_width && y < job.rows;
  Sums sums;
  if (inside) {
    const ResizeSpan span = memory.spans[job.spans + x];
    const std::int32_t* weights =
        memory.weights + job.weights + static_cast<std::int64_t>(x) * job.column_taps;
    const std::uint32_t* from = picture.pixels + (job.first_row + y) * picture.pitch() + span.first;
    for (int k = lane; k < span.count; k += lanes) sums.add(from[k], weights[k]);
  }
  for (int distance = lanes / 2; distance > 0; distance /= 2) {
    sums.red += __shfl_xor_sync(~0u, sums.red, distance);
    sums.green += __shfl_xor_sync(~0u, sums.green, distance);
    sums.blue += __shfl_xor_sync(~0u, sums.blue, distance);
  }
  if (inside && lane == 0)
    memory.between[job.between + static_cast<std::int64_t>(y) * job.out_width + x] = sums.pixel();
}

__global__ void __launch_bounds__(kThreads)
    down_kernel(const ResizeJob* jobs, int count, ResizeMemory memory) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const ResizeJob& job =
      entry_of(jobs, count, blockIdx.x, [](const ResizeJob& j) { return j.first_block[2]; });
  const int block = static_cast<int>(blockIdx.x - job.first_block[2]), thread = static_cast<int>(threadIdx.x);
  const int y = (block / job.wide_down << (kLogThreads - job.log_down)) + (thread >> job.log_down),
            x = (block % job.wide_down << job.log_down) + (thread & ((1 << job.log_down) - 1));
  if (x >= job.out_width || y >= job.out_height) return;
  const ResizeSpan span = memory.spans[job.spans + job.out_width + y];
  const std::int32_t* weights = memory.weights + job.weights +
                                static_cast<std::int64_t>(job.out_width) * job.column_taps +
                                static_cast<std::int64_t>(y) * job.row_taps;
  const std::uint32_t* from = memory.between + job.between +
                              static_cast<std::int64_t>(span.first - job.first_row) * job.out_width + x;
  Sums sums;
#pragma unroll 4
  for (int k = 0; k < span.count; ++k)
    sums.add(from[static_cast<std::int64_t>(k) * job.out_width], weights[k]);
  memory.results[job.result + static_cast<std::int64_t>(y) * job.out_width + x] = sums.pixel();
}

}  // namespace

void lay_out(ResizeJob& job, int picture_width, int picture_height, ResizeRoom& room) {
  job.first_row = std::max(job.top, 0);
  job.rows = std::min(job.top + job.height, picture_height) - job.first_row;
  job.column_taps = std::min(max_taps(job.width, job.out_width), picture_width);
  job.row_taps = std::min(max_taps(job.height, job.out_height), picture_height);
  job.log_lanes = std::min(log_up((job.column_taps + kTapsEach - 1) / kTapsEach), 5);
  const std::int64_t across = std::int64_t{job.out_width} << job.log_lanes;
  job.log_across = std::min(log_up(across), kLogThreads);
  job.log_down = std::min(log_up(job.out_width), kLogThreads);
  const auto blocks = [](std::int64_t threads, int log) {
    return static_cast<int>((threads + (std::int64_t{1} << log) - 1) >> log);
  };
  job.wide_across = blocks(across, job.log_across);
  job.wide_down = blocks(job.out_width, job.log_down);
  job.spans = static_cast<std::int64_t>(room.spans);
  job.weights = static_cast<std::int64_t>(room.weights);
  job.between = static_cast<std::int64_t>(room.between);
  job.result = static_cast<std::int64_t>(room.result);
  std::copy_n(room.blocks, 3, job.first_block);

  const auto size = [](std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); };
  room.spans += size(job.out_width + job.out_height, 1);
  room.weights += size(job.out_width, job.column_taps) + size(job.out_height, job.row_taps);
  room.between += size(job.out_width, job.rows);
  room.result += size(job.out_width, job.out_height);
  room.blocks[0] += blocks_for(job.out_width + job.out_height, kTableThreads);
  room.blocks[1] += static_cast<unsigned>(job.wide_across * blocks(job.rows, kLogThreads - job.log_across));
  room.blocks[2] += static_cast<unsigned>(job.wide_down * blocks(job.out_height, kLogThreads - job.log_down));
}

Status resize(const Picture& picture, const ResizeJob* jobs, int count, const ResizeRoom& room,
              const ResizeMemory& memory, cudaStream_t stream) {
  if (const Status status = launch(tables_kernel, dim3(room.blocks[0]), dim3(kTableThreads), 0, stream,
                                   picture, jobs, count, memory);
      status != Status::ok)
    return status;
  if (const Status status = launch(across_kernel, dim3(room.blocks[1]), dim3(kThreads), 0, stream, picture,
                                   jobs, count, memory);
      status != Status::ok)
    return status;
  return launch(down_kernel, dim3(room.blocks[2]), dim3(kThreads), 0, stream, jobs, count, memory);
}

}  // namespace adaface::kernels::cuda
