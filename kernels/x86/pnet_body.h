// P-Net over rows of cells, four at a time: only a few rows of each layer exist at once, all within the
// second-level cache. Lanes are columns, so narrow layers waste nothing and an output is the same sequence of
// operations wherever it lies in a vector. Winograd's F(4, 3) runs down the columns: half the products, and
// rows move whole.
#pragma once

#include "kernels/kernels.h"
#include "kernels/x86/vector.h"

namespace adaface::kernels::x86 {
namespace {

constexpr int kTile = kPnetTile, kTaps = kPnetFilter;
constexpr int kRing = 8;  // rows of a layer that are kept: those of two tiles

constexpr int round_up(int x, int to) {
  return (x + to - 1) / to * to;
}
constexpr int smaller(int a, int b) {
  return a < b ? a : b;
}

// B^T d of Lavin & Gray: six rows to six.
inline void transform(const Vector d[kTaps], Vector t[kTaps]) {
  const Vector four = Vector::all(4), minus_five = Vector::all(-5), two = Vector::all(2),
               minus_four = Vector::all(-4), minus_two = Vector::all(-2);
  const Vector even = Vector::multiply_add(minus_four, d[2], d[4]),
               odd = Vector::multiply_add(minus_four, d[1], d[3]);
  const Vector even_2 = d[4] - d[2], odd_2 = d[3] - d[1];
  t[0] = Vector::multiply_add(four, d[0], Vector::multiply_add(minus_five, d[2], d[4]));
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = Vector::multiply_add(two, odd_2, even_2);
  t[4] = Vector::multiply_add(minus_two, odd_2, even_2);
  t[5] = Vector::multiply_add(four, d[1], Vector::multiply_add(minus_five, d[3], d[5]));
}

// A^T m plus bias: six sums to four rows.
inline void inverse(const Vector m[kTaps], Vector bias, Vector y[kTile]) {
  const Vector a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
  y[0] = m[0] + a + c + bias;
  y[1] = Vector::multiply_add(Vector::all(2), d, b) + bias;
  y[2] = Vector::multiply_add(Vector::all(4), c, a) + bias;
  y[3] = Vector::multiply_add(Vector::all(8), d, b) + m[5] + bias;
}

// ---- Convolution 1 and pool, columns in two halves: even and odd ones

constexpr int kWide1 = Vector::kRegisters == 32 ? 2 : 1;  // vectors of pooled columns at a time
constexpr int kBlock1 = 5;                                // output channels at a time

struct Columns1 {
  const PnetPart& part;
  float* transformed;  // {kTaps, 3, 2 (even, odd), pitch}
  std::ptrdiff_t pitch;
  int width;  // pooled columns
};

// Rows 4 tile .. 4 tile + 5 of the level, from (v - 127.5) / 128; below the last row that row again.
inline void transform_pixels(const Columns1& k, int tile) {
  const Vector half = Vector::all(-127.5f), scale = Vector::all(0.0078125f);
  for (int c = 0; c < 3; ++c) {
    const std::uint8_t* rows[kTaps];
    for (int r = 0; r < kTaps; ++r)
      rows[r] = k.part.pixels + smaller(kTile * tile + r, k.part.height - 1) * k.part.row_stride +
                c * k.part.plane_stride + 2 * static_cast<std::ptrdiff_t>(k.part.first_column);
    for (int x = 0; x < k.width + 1; x += Vector::kLanes) {
      Vector d[2][kTaps], t[kTaps];
      for (int r = 0; r < kTaps; ++r) {
        Vector::bytes(rows[r] + 2 * x, d[0][r], d[1][r]);
        for (int side = 0; side < 2; ++side) d[side][r] = (d[side][r] + half) * scale;
      }
      for (int side = 0; side < 2; ++side) {
        transform(d[side], t);
        for (int u = 0; u < kTaps; ++u) t[u].store(k.transformed + ((u * 3 + c) * 2 + side) * k.pitch + x);
      }
    }
  }
}

template <int kWide>
inline void multiply_1(const float* src, std::ptrdiff_t pitch, const float* weights, float* sums) {
  Vector even[kBlock1][kWide], odd[kBlock1][kWide];
  for (int o = 0; o < kBlock1; ++o)
    for (int p = 0; p < kWide; ++p) even[o][p] = odd[o][p] = Vector::zero();
#pragma GCC unroll 1
  for (int c = 0; c < 3; ++c, src += 2 * pitch, weights += 3 * kPnetChannels[1]) {
    Vector x[4][kWide];  // columns 2i, 2i + 1, 2i + 2, 2i + 3
    for (int p = 0; p < kWide; ++p) {
      const float* at = src + p * Vector::kLanes;
      x[0][p] = Vector::load(at);
      x[1][p] = Vector::load(at + pitch);
      x[2][p] = Vector::load(at + 1);
      x[3][p] = Vector::load(at + pitch + 1);
    }
#pragma GCC unroll 3
    for (int tap = 0; tap < 3; ++tap)
#pragma GCC unroll 5
      for (int o = 0; o < kBlock1; ++o) {
        const Vector w = Vector::all(weights[tap * kPnetChannels[1] + o]);
        for (int p = 0; p < kWide; ++p) {
          even[o][p] = Vector::multiply_add(w, x[tap][p], even[o][p]);
          odd[o][p] = Vector::multiply_add(w, x[tap + 1][p], odd[o][p]);
        }
      }
  }
  for (int o = 0; o < kBlock1; ++o)
    for (int p = 0; p < kWide; ++p) {
      even[o][p].store(sums + (2 * o * kWide + p) * Vector::kLanes);
      odd[o][p].store(sums + ((2 * o + 1) * kWide + p) * Vector::kLanes);
    }
}

// PReLU and the maximum of a window. A rising PReLU may come after the maximum: the same value.
inline Vector pooled(Vector a, Vector b, Vector c, Vector d, Vector slope, bool rising) {
  if (rising) return Vector::prelu(Vector::max(Vector::max(a, b), Vector::max(c, d)), slope);
  return Vector::max(Vector::max(Vector::prelu(a, slope), Vector::prelu(b, slope)),
                     Vector::max(Vector::prelu(c, slope), Vector::prelu(d, slope)));
}

// Pooled rows 2 tile and 2 tile + 1 into their places of dst{kRing, 10, pitch}.
inline void convolve_1(const PnetLayer& layer, const Columns1& k, int tile, float* dst,
                       std::ptrdiff_t dst_pitch) {
  constexpr int kOut = kPnetChannels[1], kStep = kWide1 * Vector::kLanes;
  transform_pixels(k, tile);
  // A pooling window may end with the level: its second row or column is then the first again.
  const int rows = k.part.height - 2, odd_columns = (k.part.width - 2) / 2 - k.part.first_column;
  const bool whole[2] = {kTile * tile + 1 < rows, kTile * tile + 3 < rows};
  alignas(64) float sums[kTaps][kBlock1 * 2 * kStep];
  for (int x = 0; x < k.width; x += kStep)
    for (int first = 0; first < kOut; first += kBlock1) {
      for (int u = 0; u < kTaps; ++u)
        multiply_1<kWide1>(k.transformed + u * 6 * k.pitch + x, k.pitch,
                           layer.transformed + u * 9 * kOut + first, sums[u]);
      for (int o = 0; o < kBlock1; ++o) {
        const float slope = layer.slope[first + o];
        const bool rising = slope >= 0;
        for (int p = 0; p < kWide1; ++p) {
          Vector side[2][kTile];
          for (int s = 0; s < 2; ++s) {
            Vector m[kTaps];
            for (int u = 0; u < kTaps; ++u)
              m[u] = Vector::load(sums[u] + ((2 * o + s) * kWide1 + p) * Vector::kLanes);
            inverse(m, Vector::all(layer.bias[first + o]), side[s]);
          }
          const int at = x + p * Vector::kLanes;
          if (at + Vector::kLanes > odd_columns)
            for (int r = 0; r < kTile; ++r)
              side[1][r] = Vector::first(odd_columns - at, side[1][r], side[0][r]);
          for (int r = 0; r < 2; ++r) {
            const int second = whole[r] ? 2 * r + 1 : 2 * r;
            pooled(side[0][2 * r], side[1][2 * r], side[0][second], side[1][second], Vector::all(slope),
                   rising)
                .store(dst + ((2 * tile + r) % kRing * kOut + first + o) * dst_pitch + at);
          }
        }
      }
    }
}

// ---- Convolutions 2 and 3

constexpr int kWide = 3;                                   // vectors of columns at a time
constexpr int kBlock = Vector::kRegisters == 32 ? 8 : 4;  // output channels at a time
constexpr int kGroup = 8;

// {kRing, in, pitch} -> {kTaps, in, pitch}, rows 4 tile .. 4 tile + 5.
template <int kIn>
inline void transform_rows(const float* src, std::ptrdiff_t pitch, int tile, int width, float* dst) {
  for (int c = 0; c < kIn; ++c) {
    const float* rows[kTaps];
    for (int r = 0; r < kTaps; ++r) rows[r] = src + ((kTile * tile + r) % kRing * kIn + c) * pitch;
    for (int x = 0; x < width; x += Vector::kLanes) {
      Vector d[kTaps], t[kTaps];
      for (int r = 0; r < kTaps; ++r) d[r] = Vector::load(rows[r] + x);
      transform(d, t);
      for (int u = 0; u < kTaps; ++u) t[u].store(dst + (u * kIn + c) * pitch + x);
    }
  }
}

template <int kIn, int kVectors>
inline void multiply(const float* src, std::ptrdiff_t pitch, const float* weights, float* sums) {
  Vector sum[kBlock][kVectors];
  for (int o = 0; o < kBlock; ++o)
    for (int p = 0; p < kVectors; ++p) sum[o][p] = Vector::zero();
#pragma GCC unroll 1
  for (int c = 0; c < kIn; ++c, src += pitch, weights += 3 * kGroup)
#pragma GCC unroll 3
    for (int tap = 0; tap < 3; ++tap) {
      Vector x[kVectors];
      for (int p = 0; p < kVectors; ++p) x[p] = Vector::load(src + tap + p * Vector::kLanes);
#pragma GCC unroll 8
      for (int o = 0; o < kBlock; ++o) {
        const Vector w = Vector::all(weights[tap * kGroup + o]);
        for (int p = 0; p < kVectors; ++p) sum[o][p] = Vector::multiply_add(w, x[p], sum[o][p]);
      }
    }
  for (int o = 0; o < kBlock; ++o)
    for (int p = 0; p < kVectors; ++p) sum[o][p].store(sums + (o * kVectors + p) * Vector::kLanes);
}

// Four rows of kVectors vectors: row r of channel o at dst[r] + o * channel_stride.
template <int kIn, int kOut, int kVectors>
inline void convolve(const PnetLayer& layer, const float* transformed, std::ptrdiff_t pitch,
                     float* const dst[kTile], std::ptrdiff_t channel_stride) {
  alignas(64) float sums[kTaps][kBlock * kVectors * Vector::kLanes];
  for (int first = 0; first < kOut; first += kBlock) {
    const float* weights =
        layer.transformed + first / kGroup * kGroup * kTaps * kIn * 3 + first % kGroup;
    for (int u = 0; u < kTaps; ++u)
      multiply<kIn, kVectors>(transformed + u * kIn * pitch, pitch, weights + u * kIn * 3 * kGroup, sums[u]);
    for (int o = 0; o < kBlock; ++o) {
      const Vector bias = Vector::all(layer.bias[first + o]), slope = Vector::all(layer.slope[first + o]);
      for (int p = 0; p < kVectors; ++p) {
        Vector m[kTaps], y[kTile];
        for (int u = 0; u < kTaps; ++u) m[u] = Vector::load(sums[u] + (o * kVectors + p) * Vector::kLanes);
        inverse(m, bias, y);
        for (int r = 0; r < kTile; ++r)
          Vector::prelu(y[r], slope)
              .store(dst[r] + (first + o) * channel_stride + p * Vector::kLanes);
      }
    }
  }
}

// Calls f.template operator()<n>(x) for n vectors from each x, most of them kWide.
template <typename F>
inline void for_blocks(int width, F&& f) {
  int x = 0;
  for (; x + (kWide - 1) * Vector::kLanes < width; x += kWide * Vector::kLanes)
    f.template operator()<kWide>(x);
  for (; x + Vector::kLanes < width; x += 2 * Vector::kLanes) f.template operator()<2>(x);
  for (; x < width; x += Vector::kLanes) f.template operator()<1>(x);
}

// ---- Heads

struct Heads {
  const PnetWeights& weights;
  const PnetPart& part;
};

// One row of kVectors vectors of features{32, stride} to its outputs.
template <int kVectors>
inline void heads(const Heads& h, const float* features, std::ptrdiff_t stride, float* dst) {
  constexpr int kIn = kPnetChannels[3];
  const float* w = h.weights.heads;
  const float* bias = h.weights.head_bias;
  Vector none[kVectors], face[kVectors];
  for (int p = 0; p < kVectors; ++p) {
    none[p] = Vector::all(bias[0]);
    face[p] = Vector::all(bias[1]);
  }
  for (int c = 0; c < kIn; ++c) {
    const Vector w0 = Vector::all(w[c]), w1 = Vector::all(w[kIn + c]);
    for (int p = 0; p < kVectors; ++p) {
      const Vector x = Vector::load(features + c * stride + p * Vector::kLanes);
      none[p] = Vector::multiply_add(w0, x, none[p]);
      face[p] = Vector::multiply_add(w1, x, face[p]);
    }
  }
  const std::ptrdiff_t pitch = h.part.pitch;
  for (int p = 0; p < kVectors; ++p, dst += Vector::kLanes) {
    none[p].store(dst);
    face[p].store(dst + pitch);
    if (!Vector::any_above(face[p] - none[p], Vector::all(h.part.offsets_above))) continue;
    for (int k = 2; k < kPnetOutputs; ++k) {
      Vector sum = Vector::all(bias[k]);
      for (int c = 0; c < kIn; ++c)
        sum = Vector::multiply_add(Vector::all(w[k * kIn + c]),
                                   Vector::load(features + c * stride + p * Vector::kLanes), sum);
      sum.store(dst + k * pitch);
    }
  }
}

inline void run_pnet(const PnetWeights& weights, const PnetPart& part, float* scratch) {
  constexpr int k1 = kPnetChannels[1], k2 = kPnetChannels[2], k3 = kPnetChannels[3];
  const int width_1 = part.columns + 4, width_2 = part.columns + 2;
  const std::ptrdiff_t pitch = round_up(width_1, 16) + kPnetSlack;
  float* rows_1 = scratch;                          // {kRing, 10, pitch}
  float* rows_2 = rows_1 + kRing * k1 * pitch;      // {kRing, 16, pitch}
  float* transformed = rows_2 + kRing * k2 * pitch;  // {kTaps, 16, pitch} at most
  constexpr int kFeatures = kWide * Vector::kLanes;
  alignas(64) float features[kTile][k3 * kFeatures];

  const Columns1 columns{part, transformed, pitch, width_1};
  const int first = part.first_row / kTile, count = (part.rows + kTile - 1) / kTile;
  int next_1 = 2 * first, next_2 = first;
  for (int tile = first; tile < first + count; ++tile) {
    for (; next_2 <= tile + 1; ++next_2) {
      for (; next_1 <= 2 * next_2 + 2; ++next_1)
        convolve_1(weights.conv[0], columns, next_1, rows_1, pitch);
      transform_rows<k1>(rows_1, pitch, next_2, width_1, transformed);
      for_blocks(width_2, [&]<int kVectors>(int x) {
        float* dst[kTile];
        for (int r = 0; r < kTile; ++r)
          dst[r] = rows_2 + (kTile * next_2 + r) % kRing * k2 * pitch + x;
        convolve<k1, k2, kVectors>(weights.conv[1], transformed + x, pitch, dst, pitch);
      });
    }
    transform_rows<k2>(rows_2, pitch, tile, width_2, transformed);
    const int row = kTile * (tile - first);
    for_blocks(part.columns, [&]<int kVectors>(int x) {
      float* dst[kTile] = {features[0], features[1], features[2], features[3]};
      convolve<k2, k3, kVectors>(weights.conv[2], transformed + x, pitch, dst, kVectors * Vector::kLanes);
      for (int r = 0; r < kTile && row + r < part.rows; ++r)
        heads<kVectors>({weights, part}, features[r], kVectors * Vector::kLanes,
                        part.dst + static_cast<std::ptrdiff_t>(row + r) * kPnetOutputs * part.pitch + x);
    });
  }
}

}  // namespace
}  // namespace adaface::kernels::x86
