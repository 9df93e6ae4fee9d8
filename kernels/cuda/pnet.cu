#include "kernels/cuda/pnet.h"

#include <cmath>

#include "kernels/cuda/detector.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/table.h"

namespace adaface::kernels::cuda {
namespace {

using L = PnetLayout;

constexpr int kThreads = 256, kRowThreads = 128;
constexpr int kRows = kPnetTileRows, kColumns = kPnetTileColumns;
// What a tile of cells needs of each layer. Pitches keep groups of four neighbours aligned.
constexpr int kPooledRows = kRows + 4, kPooledPitch = kColumns + 4;
constexpr int kSecondRows = kRows + 2, kSecondPitch = kColumns + 4;
constexpr int kPixelRows = 2 * kPooledRows + 2, kPixelColumns = 2 * kPooledPitch + 2,
              kPixelPitch = kPixelColumns + 2;
constexpr int kFirst = 10, kSecond = 16, kThird = 32, kOutputs = 6;

// Pixels are gone when the second convolution writes.
constexpr int kPixelFloats = 3 * kPixelRows * kPixelPitch,
              kSecondFloats = kSecond * kSecondRows * kSecondPitch,
              kPooledFloats = kFirst * kPooledRows * kPooledPitch;
static_assert(kPixelFloats <= kSecondFloats && L::kFloats % 4 == 0 && kSecondFloats % 4 == 0);
// The last group of four of the second convolution reads two floats beyond its row, for results that nothing
// reads.
constexpr std::size_t kSharedBytes = sizeof(float) * (L::kFloats + kSecondFloats + kPooledFloats + 4);

struct Arguments {
  const float* weights;
  const PnetLevel* levels;
  int count;
  const std::uint32_t* pixels;
  float least;
  PnetPlanes planes;
  ProposalList list;
};

// A square of the level as planes of numbers in [-1, 1], zero where there is no pixel.
__device__ void load_pixels(const PnetLevel& level, const std::uint32_t* pixels, int top, int left,
                            float* dst) {
  pixels += level.pixels;
  for (int i = static_cast<int>(threadIdx.x); i < kPixelRows * kPixelColumns; i += kThreads) {
    const int row = i / kPixelColumns, column = i % kPixelColumns, y = top + row, x = left + column;
    const bool inside = y < level.height && x < level.width;
    const std::uint32_t pixel = inside ? pixels[static_cast<std::int64_t>(y) * level.width + x] : 0;
#pragma unroll
    for (int c = 0; c < 3; ++c)
      dst[(c * kPixelRows + row) * kPixelPitch + column] = inside ? pixel_value(pixel, c) : 0.0f;
  }
}

// First convolution, PReLU and pool: all channels of one pooled pixel at a time. A window that reaches past
// the level uses what is inside.
__device__ void first_layer(const PnetLevel& level, const float* weights, int top, int left,
                            const float* pixels, float* pooled) {
  for (int i = static_cast<int>(threadIdx.x); i < kPooledRows * kPooledPitch; i += kThreads) {
    const int y = i / kPooledPitch, x = i % kPooledPitch;
    float sums[4][12] = {};
#pragma unroll 1
    for (int c = 0; c < 3; ++c) {
      float patch[4][4];
      const float* from = pixels + (c * kPixelRows + 2 * y) * kPixelPitch + 2 * x;
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        const float2 low = reinterpret_cast<const float2*>(from + v * kPixelPitch)[0],
                     high = reinterpret_cast<const float2*>(from + v * kPixelPitch)[1];
        patch[v][0] = low.x, patch[v][1] = low.y, patch[v][2] = high.x, patch[v][3] = high.y;
      }
#pragma unroll
      for (int tap = 0; tap < 9; ++tap)
#pragma unroll
        for (int k = 0; k < 12; k += 4) {
          const float4 w = *reinterpret_cast<const float4*>(weights + L::kConv1 + (c * 9 + tap) * 12 + k);
#pragma unroll
          for (int at = 0; at < 4; ++at) {
            const float pixel = patch[at / 2 + tap / 3][at % 2 + tap % 3];
            sums[at][k] += w.x * pixel;
            sums[at][k + 1] += w.y * pixel;
            if (k + 2 < kFirst) sums[at][k + 2] += w.z * pixel, sums[at][k + 3] += w.w * pixel;
          }
        }
    }
    const int last_y = level.height - 2 - (top + 2 * y), last_x = level.width - 2 - (left + 2 * x);
#pragma unroll
    for (int k = 0; k < kFirst; ++k) {
      const float bias = weights[L::kBias1 + k], slope = weights[L::kSlope1 + k];
      float most = -INFINITY;
#pragma unroll
      for (int at = 0; at < 4; ++at)
        if (at / 2 < last_y && at % 2 < last_x) most = fmaxf(most, prelu(sums[at][k] + bias, slope));
      pooled[(k * kPooledRows + y) * kPooledPitch + x] = last_y > 0 && last_x > 0 ? most : 0.0f;
    }
  }
}

// 3 x 3 from planes of kPitch x kPlaneRows: kEach channels from `weights` on, of four neighbours, whose first
// tap is at `src`; without bias. Four, so that a weight that is loaded is multiplied four times.
template <int kIn, int kOut, int kEach, int kPlaneRows, int kPitch>
__device__ void convolve_four(const float* weights, const float* src, float (&sums)[4][kEach]) {
#pragma unroll 1
  for (int c = 0; c < kIn; ++c, src += kPlaneRows * kPitch)
#pragma unroll
    for (int v = 0; v < 3; ++v, weights += 3 * kOut) {
      const float4 four = *reinterpret_cast<const float4*>(src + v * kPitch);
      const float2 two = *reinterpret_cast<const float2*>(src + v * kPitch + 4);
      const float row[6] = {four.x, four.y, four.z, four.w, two.x, two.y};
#pragma unroll
      for (int u = 0; u < 3; ++u)
#pragma unroll
        for (int k = 0; k < kEach; k += 4) {
          const float4 w = *reinterpret_cast<const float4*>(weights + u * kOut + k);
#pragma unroll
          for (int at = 0; at < 4; ++at) {
            sums[at][k] += w.x * row[u + at];
            sums[at][k + 1] += w.y * row[u + at];
            sums[at][k + 2] += w.z * row[u + at];
            sums[at][k + 3] += w.w * row[u + at];
          }
        }
    }
}

__device__ void second_layer(const float* weights, const float* pooled, float* second) {
  constexpr int kEach = 4, kFours = kSecondPitch / 4, kPlaces = kSecondRows * kFours;
  for (int i = static_cast<int>(threadIdx.x); i < kPlaces * (kSecond / kEach); i += kThreads) {
    const int first = i / kPlaces * kEach, place = i % kPlaces, y = place / kFours, x = place % kFours * 4;
    float sums[4][kEach] = {};
    convolve_four<kFirst, kSecond, kEach, kPooledRows, kPooledPitch>(weights + L::kConv2 + first,
                                                                     pooled + y * kPooledPitch + x, sums);
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const float bias = weights[L::kBias2 + first + k], slope = weights[L::kSlope2 + first + k];
      *reinterpret_cast<float4*>(second + ((first + k) * kSecondRows + y) * kSecondPitch + x) =
          make_float4(prelu(sums[0][k] + bias, slope), prelu(sums[1][k] + bias, slope),
                      prelu(sums[2][k] + bias, slope), prelu(sums[3][k] + bias, slope));
    }
  }
}

__device__ void add(const ProposalList& list, const PnetLevel& level, int row, int column, float first,
                    float second, float4 offsets) {
  const std::uint64_t at = atomicAdd(reinterpret_cast<unsigned long long*>(list.count), 1ull);
  if (at >= list.capacity) return;
  Proposal& proposal = list.proposals[at];
  proposal.key = static_cast<std::uint64_t>(level.number) << 48 | static_cast<std::uint64_t>(row) << 24 |
                 static_cast<std::uint64_t>(column);
  proposal.values[0] = first, proposal.values[1] = second;
  proposal.offsets[0] = offsets.x, proposal.offsets[1] = offsets.y;
  proposal.offsets[2] = offsets.z, proposal.offsets[3] = offsets.w;
}

template <bool kByRows>
__global__ void __launch_bounds__(kThreads, 2) pnet_kernel(const __grid_constant__ Arguments a) {
  auto* const weights = reinterpret_cast<float*>(ptx::dynamic_shared());
  float* const second = weights + L::kFloats;
  float* const pooled = second + kSecondFloats;
  // They are the model's: no kernel before this one writes them.
  for (int i = static_cast<int>(threadIdx.x); i < L::kFloats / 4; i += kThreads)
    reinterpret_cast<float4*>(weights)[i] = reinterpret_cast<const float4*>(a.weights)[i];
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const PnetLevel& level =
      entry_of(a.levels, a.count, blockIdx.x, [](const PnetLevel& l) { return l.first_block; });
  const int tile = static_cast<int>(blockIdx.x - level.first_block),
            across = (level.columns + kColumns - 1) / kColumns;
  const int top = tile / across * kRows, left = tile % across * kColumns;
  load_pixels(level, a.pixels, 2 * top, 2 * left, second);
  __syncthreads();
  first_layer(level, weights, 2 * top, 2 * left, second, pooled);
  __syncthreads();
  second_layer(weights, pooled, second);
  __syncthreads();

  // Third convolution and heads: half of the channels of four neighbours. A warp has both halves of two rows.
  constexpr int kFours = kColumns / 4, kHalf = kThird / 2;
  static_assert(kFours == 8 && kRows * kFours * 2 == kThreads);
  const int lane = static_cast<int>(threadIdx.x) % 32, half = lane / 16 * kHalf;
  const int y = static_cast<int>(threadIdx.x) / 32 * 2 + lane / kFours % 2, x = lane % kFours * 4;
  float features[4][kHalf] = {};
  convolve_four<kSecond, kThird, kHalf, kSecondRows, kSecondPitch>(weights + L::kConv3 + half,
                                                                   second + y * kSecondPitch + x, features);
#pragma unroll
  for (int k = 0; k < kHalf; ++k) {
    const float bias = weights[L::kBias3 + half + k], slope = weights[L::kSlope3 + half + k];
#pragma unroll
    for (int at = 0; at < 4; ++at) features[at][k] = prelu(features[at][k] + bias, slope);
  }
  float outputs[4][kOutputs] = {};
#pragma unroll
  for (int o = 0; o < kOutputs; ++o) {
#pragma unroll
    for (int k = 0; k < kHalf; k += 4) {
      const float4 w = *reinterpret_cast<const float4*>(weights + L::kHeads + o * kThird + half + k);
#pragma unroll
      for (int at = 0; at < 4; ++at) {
        outputs[at][o] += w.x * features[at][k];
        outputs[at][o] += w.y * features[at][k + 1];
        outputs[at][o] += w.z * features[at][k + 2];
        outputs[at][o] += w.w * features[at][k + 3];
      }
    }
#pragma unroll
    for (int at = 0; at < 4; ++at) {
      outputs[at][o] += __shfl_xor_sync(~0u, outputs[at][o], 16);
      outputs[at][o] += weights[L::kHeadBias + o];
    }
  }
  // Of the four, each half leaves two.
  const int row = top + y, column = left + x + lane / 16 * 2;
  if (row >= level.rows) return;
#pragma unroll
  for (int at = 0; at < 2; ++at) {
    if (column + at >= level.columns) continue;
    float o[kOutputs];
#pragma unroll
    for (int k = 0; k < kOutputs; ++k) o[k] = half ? outputs[at + 2][k] : outputs[at][k];
    const float4 offsets = make_float4(o[2], o[3], o[4], o[5]);
    if constexpr (kByRows) {
      const std::int64_t cell = level.cells + static_cast<std::int64_t>(row) * level.columns + column + at;
      a.planes.face[cell] = o[1];
      reinterpret_cast<float4*>(a.planes.offsets)[cell] = offsets;
    } else if (o[1] - o[0] > a.least) {
      add(a.list, level, row, column + at, o[0], o[1], offsets);
    }
  }
}

// A row of cells each.
__global__ void __launch_bounds__(kRowThreads)
    rows_kernel(const PnetLevel* levels, int count, float threshold, PnetPlanes planes, ProposalList list) {
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  auto* const shared = reinterpret_cast<double*>(ptx::dynamic_shared());  // {kRowThreads}
  const PnetLevel& level =
      entry_of(levels, count, blockIdx.x, [](const PnetLevel& l) { return l.first_row; });
  const int row = static_cast<int>(blockIdx.x - level.first_row), thread = static_cast<int>(threadIdx.x);
  const std::int64_t first = level.cells + static_cast<std::int64_t>(row) * level.columns;
  const float* face = planes.face + first;
  const auto reduce = [&](double mine, auto join) {
    shared[thread] = mine;
    for (int half = kRowThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (thread < half) shared[thread] = join(shared[thread], shared[thread + half]);
    }
    __syncthreads();
    const double all = shared[0];
    __syncthreads();
    return all;
  };
  float most = -INFINITY;
  for (int i = thread; i < level.columns; i += kRowThreads) most = fmaxf(most, face[i]);
  const double peak = reduce(most, [](double a, double b) { return fmax(a, b); });
  double part = 0;
  for (int i = thread; i < level.columns; i += kRowThreads) part += exp(face[i] - peak);
  const double sum = reduce(part, [](double a, double b) { return a + b; });
  for (int i = thread; i < level.columns; i += kRowThreads) {
    const auto score = static_cast<float>(exp(face[i] - peak) / sum);
    if (score > threshold)
      add(list, level, row, i, score, 0, reinterpret_cast<const float4*>(planes.offsets)[first + i]);
  }
}

}  // namespace

void lay_out(PnetLevel& level, PnetRoom& room) {
  level.cells = room.cells;
  level.first_block = room.blocks;
  level.first_row = room.rows;
  room.cells += static_cast<std::int64_t>(level.rows) * level.columns;
  room.blocks += blocks_for(level.rows, kRows) * blocks_for(level.columns, kColumns);
  room.rows += static_cast<unsigned>(level.rows);
}

Status prepare_pnet() {
  if (const Status status = prepare_kernel(pnet_kernel<false>, kSharedBytes); status != Status::ok)
    return status;
  return prepare_kernel(pnet_kernel<true>, kSharedBytes);
}

Status propose(const float* weights, const PnetLevel* levels, int count, const PnetRoom& room,
               const std::uint32_t* pixels, float least, const ProposalList& list, cudaStream_t stream) {
  return launch(pnet_kernel<false>, dim3(room.blocks), dim3(kThreads), kSharedBytes, stream,
                Arguments{weights, levels, count, pixels, least, {}, list});
}

Status propose_by_rows(const float* weights, const PnetLevel* levels, int count, const PnetRoom& room,
                       const std::uint32_t* pixels, float threshold, const PnetPlanes& planes,
                       const ProposalList& list, cudaStream_t stream) {
  if (const Status status = launch(pnet_kernel<true>, dim3(room.blocks), dim3(kThreads), kSharedBytes, stream,
                                   Arguments{weights, levels, count, pixels, 0, planes, list});
      status != Status::ok)
    return status;
  return launch(rows_kernel, dim3(room.rows), dim3(kRowThreads), kRowThreads * sizeof(double), stream, levels,
                count, threshold, planes, list);
}

}  // namespace adaface::kernels::cuda
