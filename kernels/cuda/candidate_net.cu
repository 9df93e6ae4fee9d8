#include "kernels/cuda/candidate_net.h"

#include <cmath>

#include "kernels/cuda/detector.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace adaface::kernels::cuda {
namespace {

// One layer of one net: `kNumber` counts from 0.
template <CandidateNet kNet, int kNumber>
struct Layer {
  static constexpr CandidateShape kShape = shape_of(kNet);
  static constexpr CandidateLayer kLayer = kShape.layers[kNumber];
  static constexpr int side_before(int number) {
    int side = kShape.side;
    for (int i = 0; i < number; ++i) {
      side = side - kShape.layers[i].kernel + 1;
      if (kShape.layers[i].window > 0) side = (side - kShape.layers[i].window + 1) / 2 + 1;
    }
    return side;
  }
  static constexpr int kIn = kLayer.in, kOut = kLayer.out, kKernel = kLayer.kernel, kWindow = kLayer.window;
  static constexpr int kSide = side_before(kNumber), kSumSide = kSide - kKernel + 1,
                       kOutSide = side_before(kNumber + 1);
  static constexpr int kSums = kSumSide * kSumSide, kInFloats = kIn * kSide * kSide,
                       kOutFloats = kOut * kOutSide * kOutSide;
};

// How a block divides a layer: kGroup of its channels, of which a thread sums kChannels at kPixels places, 32
// apart, so that the lanes of a warp read neighbours.
template <typename L, int kGroupSize, int kChannelsEach, int kPixelsEach, int kBlockThreads>
struct Division : L {
  static constexpr int kGroup = kGroupSize, kChannels = kChannelsEach, kPixels = kPixelsEach,
                       kThreads = kBlockThreads;
  static constexpr int kGroups = L::kOut / kGroup;
  static constexpr std::size_t kSharedBytes =
      sizeof(float) * ((L::kInFloats + 3) / 4 * 4 + kGroup * L::kSums);
  static_assert(L::kOut % kGroup == 0 && kGroup % kChannels == 0 && kChannels % 4 == 0);
};

using Rnet1 = Division<Layer<CandidateNet::rnet, 0>, 28, 4, 4, 256>;
using Rnet2 = Division<Layer<CandidateNet::rnet, 1>, 48, 8, 3, 192>;
using Rnet3 = Layer<CandidateNet::rnet, 2>;
using Onet1 = Division<Layer<CandidateNet::onet, 0>, 8, 8, 4, 288>;
using Onet2 = Division<Layer<CandidateNet::onet, 1>, 16, 8, 4, 256>;
using Onet3 = Division<Layer<CandidateNet::onet, 2>, 32, 8, 2, 128>;
using Onet4 = Layer<CandidateNet::onet, 3>;

struct Arguments {
  const float *weights, *bias, *slope;
  const void* src;  // floats, or before a first layer pixels
  float* dst;
};

template <typename D>
__device__ void load_input(const void* src, int candidate, float* dst) {
  constexpr int kPlane = D::kSide * D::kSide;
  if constexpr (D::kIn == 3) {
    const auto* pixels =
        static_cast<const std::uint32_t*>(src) + static_cast<std::ptrdiff_t>(candidate) * kPlane;
    for (int i = static_cast<int>(threadIdx.x); i < kPlane; i += D::kThreads) {
      const std::uint32_t pixel = pixels[i];
#pragma unroll
      for (int c = 0; c < 3; ++c) dst[c * kPlane + i] = pixel_value(pixel, c);
    }
  } else {
    static_assert(D::kInFloats % 4 == 0);
    const auto* from = reinterpret_cast<const float4*>(static_cast<const float*>(src) +
                                                       static_cast<std::ptrdiff_t>(candidate) * D::kInFloats);
    for (int i = static_cast<int>(threadIdx.x); i < D::kInFloats / 4; i += D::kThreads)
      reinterpret_cast<float4*>(dst)[i] = from[i];
  }
}

// Channels [first, first + kGroup) of the layer to sums{kGroup, kSums}.
template <typename D>
__device__ void convolve(const Arguments& a, int first, const float* input, float* sums) {
  constexpr int kChunk = 32 * D::kPixels, kChunks = (D::kSums + kChunk - 1) / kChunk;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int task = static_cast<int>(threadIdx.x) / 32; task < D::kGroup / D::kChannels * kChunks;
       task += D::kThreads / 32) {
    const int channel = task / kChunks * D::kChannels, begin = task % kChunks * kChunk + lane;
    int from[D::kPixels];
#pragma unroll
    for (int i = 0; i < D::kPixels; ++i) {
      const int place = min(begin + 32 * i, D::kSums - 1);
      from[i] = place / D::kSumSide * D::kSide + place % D::kSumSide;
    }
    float totals[D::kPixels][D::kChannels] = {};
    const float* weights = a.weights + first + channel;
    const float* plane = input;
#pragma unroll 1
    for (int c = 0; c < D::kIn; ++c, plane += D::kSide * D::kSide)
#pragma unroll
      for (int tap = 0; tap < D::kKernel * D::kKernel; ++tap, weights += D::kOut) {
        float pixels[D::kPixels];
#pragma unroll
        for (int i = 0; i < D::kPixels; ++i)
          pixels[i] = plane[from[i] + tap / D::kKernel * D::kSide + tap % D::kKernel];
#pragma unroll
        for (int k = 0; k < D::kChannels; k += 4) {
          const float4 w = __ldg(reinterpret_cast<const float4*>(weights + k));
#pragma unroll
          for (int i = 0; i < D::kPixels; ++i) {
            totals[i][k] += w.x * pixels[i];
            totals[i][k + 1] += w.y * pixels[i];
            totals[i][k + 2] += w.z * pixels[i];
            totals[i][k + 3] += w.w * pixels[i];
          }
        }
      }
#pragma unroll
    for (int k = 0; k < D::kChannels; ++k) {
      const float bias = a.bias[first + channel + k], slope = a.slope[first + channel + k];
#pragma unroll
      for (int i = 0; i < D::kPixels; ++i)
        if (begin + 32 * i < D::kSums)
          sums[(channel + k) * D::kSums + begin + 32 * i] = prelu(totals[i][k] + bias, slope);
    }
  }
}

// A window that reaches past the edge uses what is inside.
template <typename D>
__device__ void pool(const float* sums, float* dst) {
  constexpr int kOutPlane = D::kOutSide * D::kOutSide;
  for (int i = static_cast<int>(threadIdx.x); i < D::kGroup * kOutPlane; i += D::kThreads) {
    const int channel = i / kOutPlane, y = i % kOutPlane / D::kOutSide * 2, x = i % D::kOutSide * 2;
    float most = -INFINITY;
#pragma unroll
    for (int v = 0; v < D::kWindow; ++v)
#pragma unroll
      for (int u = 0; u < D::kWindow; ++u)
        if (y + v < D::kSumSide && x + u < D::kSumSide)
          most = fmaxf(most, sums[channel * D::kSums + (y + v) * D::kSumSide + x + u]);
    dst[i] = most;
  }
}

// A group of channels of one candidate.
template <typename D>
__global__ void __launch_bounds__(D::kThreads) layer_kernel(Arguments a) {
  auto* const input = reinterpret_cast<float*>(ptx::dynamic_shared());
  float* const sums = input + (D::kInFloats + 3) / 4 * 4;
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const int candidate = static_cast<int>(blockIdx.x) / D::kGroups,
            first = static_cast<int>(blockIdx.x) % D::kGroups * D::kGroup;
  load_input<D>(a.src, candidate, input);
  __syncthreads();
  convolve<D>(a, first, input, sums);
  __syncthreads();
  pool<D>(sums,
          a.dst + static_cast<std::ptrdiff_t>(candidate) * D::kOutFloats + first * D::kOutSide * D::kOutSide);
}

constexpr int kLastThreads = 256;

// The last convolution, 2 x 2 on 4 x 4: a channel of one candidate each, to {3 x 3, kOut}.
template <typename L>
__global__ void __launch_bounds__(kLastThreads) last_kernel(Arguments a, int count) {
  static_assert(L::kSide == 4 && L::kKernel == 2 && L::kWindow == 0);
  constexpr int kCandidates = kLastThreads / L::kOut;
  auto* const input = reinterpret_cast<float4*>(ptx::dynamic_shared());  // {kCandidates, kIn, 4 rows}
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const int first = static_cast<int>(blockIdx.x) * kCandidates, here = min(count - first, kCandidates);
  const auto* src = static_cast<const float4*>(a.src) + static_cast<std::ptrdiff_t>(first) * L::kIn * 4;
  for (int i = static_cast<int>(threadIdx.x); i < here * L::kIn * 4; i += kLastThreads) input[i] = src[i];
  __syncthreads();
  const int candidate = static_cast<int>(threadIdx.x) / L::kOut,
            channel = static_cast<int>(threadIdx.x) % L::kOut;
  if (candidate >= here) return;
  float sums[L::kSums] = {};
#pragma unroll 4
  for (int c = 0; c < L::kIn; ++c) {
    float rows[4][4], w[4];
#pragma unroll
    for (int y = 0; y < 4; ++y) {
      const float4 row = input[(candidate * L::kIn + c) * 4 + y];
      rows[y][0] = row.x, rows[y][1] = row.y, rows[y][2] = row.z, rows[y][3] = row.w;
      w[y] = __ldg(a.weights + (c * 4 + y) * L::kOut + channel);
    }
#pragma unroll
    for (int i = 0; i < L::kSums; ++i)
#pragma unroll
      for (int tap = 0; tap < 4; ++tap)
        sums[i] += w[tap] * rows[i / L::kSumSide + tap / 2][i % L::kSumSide + tap % 2];
  }
  const float bias = a.bias[channel], slope = a.slope[channel];
  float* dst = a.dst + static_cast<std::ptrdiff_t>(first + candidate) * L::kOutFloats + channel;
#pragma unroll
  for (int i = 0; i < L::kSums; ++i) dst[i * L::kOut] = prelu(sums[i] + bias, slope);
}

// Candidates whose linear layers share one pass over the weights, and parts of the sum, which different
// threads take.
constexpr int kBatch = 8, kParts = 4;

template <CandidateNet kNet>
__global__ void __launch_bounds__(shape_of(kNet).hidden* kParts)
    decide_kernel(CandidateWeights weights, const float* features, int count, float* outputs) {
  constexpr CandidateShape kShape = shape_of(kNet);
  constexpr int kFeatures = kShape.features, kHidden = kShape.hidden, kOutputs = kShape.outputs,
                kPart = kFeatures / kParts, kThreads = kHidden * kParts, kUnrolled = 8;
  static_assert(kPart % kUnrolled == 0 && kParts * kHidden <= kFeatures);
  auto* const shared =
      reinterpret_cast<float*>(ptx::dynamic_shared());  // {kBatch, kFeatures}, then the parts
  ptx::wait_for_previous_kernel();
  ptx::allow_next_kernel();
  const int thread = static_cast<int>(threadIdx.x), first = static_cast<int>(blockIdx.x) * kBatch,
            here = min(count - first, kBatch);
  const auto* src =
      reinterpret_cast<const float4*>(features + static_cast<std::ptrdiff_t>(first) * kFeatures);
  for (int i = thread; i < kBatch * kFeatures / 4; i += kThreads)
    reinterpret_cast<float4*>(shared)[i] = i < here * kFeatures / 4 ? src[i] : make_float4(0, 0, 0, 0);
  __syncthreads();
  const int part = thread / kHidden, column = thread % kHidden;
  float sums[kBatch] = {};
  const float* rows = weights.linear + part * kPart * kHidden + column;
  for (int i = part * kPart; i < (part + 1) * kPart; i += kUnrolled, rows += kUnrolled * kHidden) {
    float w[kUnrolled];
#pragma unroll
    for (int k = 0; k < kUnrolled; ++k) w[k] = __ldg(rows + k * kHidden);
#pragma unroll
    for (int b = 0; b < kBatch; ++b)
#pragma unroll
      for (int k = 0; k < kUnrolled; k += 4) {
        const float4 four = *reinterpret_cast<const float4*>(shared + b * kFeatures + i + k);
        sums[b] += w[k] * four.x;
        sums[b] += w[k + 1] * four.y;
        sums[b] += w[k + 2] * four.z;
        sums[b] += w[k + 3] * four.w;
      }
  }
  __syncthreads();
#pragma unroll
  for (int b = 0; b < kBatch; ++b) shared[(b * kParts + part) * kHidden + column] = sums[b];
  __syncthreads();
  // Into the place of the first part.
  for (int i = thread; i < kBatch * kHidden; i += kThreads) {
    float* at = shared + i / kHidden * kParts * kHidden + i % kHidden;
    float sum = at[0];
#pragma unroll
    for (int p = 1; p < kParts; ++p) sum += at[p * kHidden];
    *at = prelu(sum + weights.linear_bias[i % kHidden], weights.linear_slope[i % kHidden]);
  }
  __syncthreads();
  for (int i = thread; i < here * kOutputs; i += kThreads) {
    const float* hidden = shared + i / kOutputs * kParts * kHidden;
    const float* head = weights.heads + i % kOutputs * kHidden;
    double sum = weights.head_bias[i % kOutputs];
    for (int k = 0; k < kHidden; ++k) sum += static_cast<double>(head[k]) * hidden[k];
    outputs[static_cast<std::ptrdiff_t>(first) * kOutputs + i] = static_cast<float>(sum);
  }
}

// The layers of a net, enqueued one after the other until one fails.
struct Run {
  const CandidateWeights& weights;
  int count;
  cudaStream_t stream;
  Status status = Status::ok;

  Arguments arguments(int layer, const void* src, float* dst) const {
    return {weights.convolutions[layer], weights.biases[layer], weights.slopes[layer], src, dst};
  }
  template <typename D>
  void layer(int number, const void* src, float* dst) {
    if (status != Status::ok) return;
    status = launch(layer_kernel<D>, dim3(static_cast<unsigned>(count * D::kGroups)), dim3(D::kThreads),
                    D::kSharedBytes, stream, arguments(number, src, dst));
  }
  template <typename L>
  void last(int number, const void* src, float* dst) {
    if (status != Status::ok) return;
    constexpr int kCandidates = kLastThreads / L::kOut;
    status = launch(last_kernel<L>, dim3(blocks_for(count, kCandidates)), dim3(kLastThreads),
                    std::size_t{sizeof(float)} * kCandidates * L::kInFloats, stream,
                    arguments(number, src, dst), count);
  }
  template <CandidateNet kNet>
  void decide(const float* features, float* outputs) {
    if (status != Status::ok) return;
    status =
        launch(decide_kernel<kNet>, dim3(blocks_for(count, kBatch)), dim3(shape_of(kNet).hidden * kParts),
               std::size_t{sizeof(float)} * kBatch * shape_of(kNet).features, stream, weights, features,
               count, outputs);
  }
};

constexpr int kRnetFloats = Rnet1::kOutFloats + Rnet2::kOutFloats + Rnet3::kOutFloats;
constexpr int kOnetFloats = Onet1::kOutFloats + Onet2::kOutFloats + Onet3::kOutFloats + Onet4::kOutFloats;

}  // namespace

std::size_t candidate_scratch_bytes(CandidateNet net, int count) {
  return sizeof(float) * static_cast<std::size_t>(count) *
         static_cast<std::size_t>(net == CandidateNet::rnet ? kRnetFloats : kOnetFloats);
}

Status prepare_candidate_nets() {
  for (const Status status : {prepare_kernel(layer_kernel<Rnet1>, Rnet1::kSharedBytes),
                              prepare_kernel(layer_kernel<Onet1>, Onet1::kSharedBytes),
                              prepare_kernel(layer_kernel<Onet2>, Onet2::kSharedBytes)})
    if (status != Status::ok) return status;
  return Status::ok;
}

Status run_candidates(CandidateNet net, const CandidateWeights& weights, int count,
                      const std::uint32_t* pixels, void* scratch, float* outputs, cudaStream_t stream) {
  Run run{weights, count, stream};
  auto* const first = static_cast<float*>(scratch);
  if (net == CandidateNet::rnet) {
    float* const second = first + std::ptrdiff_t{count} * Rnet1::kOutFloats;
    float* const third = second + std::ptrdiff_t{count} * Rnet2::kOutFloats;
    run.layer<Rnet1>(0, pixels, first);
    run.layer<Rnet2>(1, first, second);
    run.last<Rnet3>(2, second, third);
    run.decide<CandidateNet::rnet>(third, outputs);
    return run.status;
  }
  float* const second = first + std::ptrdiff_t{count} * Onet1::kOutFloats;
  float* const third = second + std::ptrdiff_t{count} * Onet2::kOutFloats;
  float* const fourth = third + std::ptrdiff_t{count} * Onet3::kOutFloats;
  run.layer<Onet1>(0, pixels, first);
  run.layer<Onet2>(1, first, second);
  run.layer<Onet3>(2, second, third);
  run.last<Onet4>(3, third, fourth);
  run.decide<CandidateNet::onet>(fourth, outputs);
  return run.status;
}

}  // namespace adaface::kernels::cuda
