// P-Net over rows of cells, four at a time: only a few rows of each layer exist at once, all within the
// second-level cache. Lanes are columns in the first convolution, whose ten channels would waste a vector,
// and channels in the others.
#pragma once

#include "kernels/kernels.h"
#include "kernels/x86/tiles.h"

namespace adaface::kernels::x86 {
namespace {

constexpr int kRing = 8;                // rows of a layer that are kept: those of two tiles
constexpr int kNarrow = kChannelBlock;  // floats of a pixel, after either of the first two convolutions

constexpr int round_up(int x, int to) {
  return (x + to - 1) / to * to;
}
constexpr int smaller(int a, int b) {
  return a < b ? a : b;
}

// ---- Convolution 1 and pool, columns in two halves: even and odd ones

constexpr int kBlock1 = Vector::kRegisters == 32 ? 2 : 1;  // output channels at a time

struct Columns1 {
  const PnetPart& part;
  float* transformed;  // {kTaps, 3, 2 (even, odd), pitch}
  std::ptrdiff_t pitch;
  int width;  // pooled columns
};

// Rows 4 tile .. 4 tile + 5 of the level; below the last row that row again. Of (v - 127.5) / 128 the scale
// is part of the weights, and only the second of the sums is not indifferent to the shift: exact either way.
inline void transform_pixels(const Columns1& k, int tile) {
  const Vector shift = Vector::all(-6 * -127.5f);
  for (int c = 0; c < 3; ++c) {
    const std::uint8_t* rows[kTaps];
    for (int r = 0; r < kTaps; ++r)
      rows[r] = k.part.pixels + smaller(kTile * tile + r, k.part.height - 1) * k.part.row_stride +
                c * k.part.plane_stride + 2 * static_cast<std::ptrdiff_t>(k.part.first_column);
    for (int x = 0; x < k.width + 1; x += Vector::kLanes) {
      Vector d[2][kTaps], t[kTaps];
      for (int r = 0; r < kTaps; ++r) Vector::bytes(rows[r] + 2 * x, d[0][r], d[1][r]);
      for (int side = 0; side < 2; ++side) {
        transform(d[side], t);
        t[1] = t[1] + shift;
        for (int u = 0; u < kTaps; ++u) t[u].store(k.transformed + ((u * 3 + c) * 2 + side) * k.pitch + x);
      }
    }
  }
}

// All sums of kBlock1 output channels for one vector of pooled columns, even and odd columns of theirs.
inline void multiply_columns(const float* src, std::ptrdiff_t pitch, const float* weights,
                             Vector sums[kBlock1][2][kTaps]) {
  constexpr int kOut = kPnetChannels[1], kPlanes = 2 * kPnetChannels[0];
#pragma GCC unroll 2
  for (int o = 0; o < kBlock1; ++o)
#pragma GCC unroll 6
    for (int u = 0; u < kTaps; ++u) sums[o][0][u] = sums[o][1][u] = Vector::zero();
#pragma GCC unroll 1
  for (int c = 0; c < kPnetChannels[0]; ++c)
#pragma GCC unroll 6
    for (int u = 0; u < kTaps; ++u) {
      const float* at = src + (u * kPlanes + 2 * c) * pitch;
      // Columns 2i, 2i + 1, 2i + 2, 2i + 3.
      const Vector x[4] = {Vector::load(at), Vector::load(at + pitch), Vector::load(at + 1),
                           Vector::load(at + pitch + 1)};
#pragma GCC unroll 3
      for (int tap = 0; tap < 3; ++tap)
#pragma GCC unroll 2
        for (int o = 0; o < kBlock1; ++o) {
          const Vector w = Vector::all(weights[((u * kPnetChannels[0] + c) * 3 + tap) * kOut + o]);
          sums[o][0][u] = Vector::multiply_add(w, x[tap], sums[o][0][u]);
          sums[o][1][u] = Vector::multiply_add(w, x[tap + 1], sums[o][1][u]);
        }
    }
}

// Bias, PReLU and the maximum of a window. The bias, and a PReLU that rises, may come after the maximum: the
// same value.
inline Vector pooled(Vector a, Vector b, Vector c, Vector d, Vector bias, Vector slope, bool rising) {
  if (rising) return Vector::prelu(Vector::max(Vector::max(a, b), Vector::max(c, d)) + bias, slope);
  return Vector::max(Vector::max(Vector::prelu(a + bias, slope), Vector::prelu(b + bias, slope)),
                     Vector::max(Vector::prelu(c + bias, slope), Vector::prelu(d + bias, slope)));
}

// Pooled rows 2 tile and 2 tile + 1 into their places of dst{kRing, pitch, kNarrow}.
inline void convolve_1(const PnetWeights& weights, const Columns1& k, int tile, float* dst,
                       std::ptrdiff_t dst_pitch) {
  constexpr int kOut = kPnetChannels[1], kStep = Vector::kLanes;
  transform_pixels(k, tile);
  // A pooling window may end with the level: its second row or column is then the first again.
  const int rows = k.part.height - 2, odd_columns = (k.part.width - 2) / 2 - k.part.first_column;
  const bool whole[2] = {kTile * tile + 1 < rows, kTile * tile + 3 < rows};
  alignas(64) float planes[2][kNarrow * kStep] = {};  // of the two rows
  for (int x = 0; x < k.width; x += kStep) {
    for (int first = 0; first < kOut; first += kBlock1) {
      Vector sums[kBlock1][2][kTaps];
      multiply_columns(k.transformed + x, k.pitch, weights.conv1_transformed + first, sums);
#pragma GCC unroll 2
      for (int o = 0; o < kBlock1; ++o) {
        const float slope = weights.slope1[first + o];
        const Vector bias = Vector::all(weights.bias1[first + o]);
        const bool rising = slope >= 0;
        Vector side[2][kTile];
#pragma GCC unroll 2
        for (int s = 0; s < 2; ++s) inverse(sums[o][s], side[s]);
        if (x + kStep > odd_columns)
          for (int r = 0; r < kTile; ++r) side[1][r] = Vector::first(odd_columns - x, side[1][r], side[0][r]);
#pragma GCC unroll 2
        for (int r = 0; r < 2; ++r) {
          const Vector below = whole[r] ? side[0][2 * r + 1] : side[0][2 * r],
                       below_odd = whole[r] ? side[1][2 * r + 1] : side[1][2 * r];
          pooled(side[0][2 * r], side[1][2 * r], below, below_odd, bias, Vector::all(slope), rising)
              .store(planes[r] + (first + o) * kStep);
        }
      }
    }
    for (int r = 0; r < 2; ++r) {
      float* to = dst + ((2 * tile + r) % kRing * dst_pitch + x) * kNarrow;
      for (int p = 0; p < kStep; p += Vector::kLanes)
        for (int c = 0; c < kNarrow; c += Vector::kLanes) {
          Vector square[Vector::kLanes];
          for (int i = 0; i < Vector::kLanes; ++i) square[i] = Vector::load(planes[r] + (c + i) * kStep + p);
          Vector::transpose(square);
          for (int i = 0; i < Vector::kLanes; ++i) square[i].store(to + (p + i) * kNarrow + c);
        }
    }
  }
}

// ---- Convolutions 2 and 3

// Rows 4 tile .. 4 tile + 3 of {height, width}, from src{kRing, pitch, kNarrow}, `src_height` rows of which
// exist. dst(row, column) is where a pixel goes.
template <typename F>
inline void convolve_tiles(TileBatch<kNarrow>& batch, const float* src, std::ptrdiff_t pitch, int src_height,
                           int src_width, int tile, int count, F&& dst) {
  const float* rows[kTaps];
  for (int r = 0; r < kTaps; ++r) {
    const int row = kTile * tile + r;
    rows[r] = row < src_height ? src + row % kRing * pitch * kNarrow : nullptr;
  }
  for (int i = 0; i < count; ++i) {
    Destination to;
    for (int r = 0; r < kTile; ++r) to.rows[r] = dst(r, kTile * i);
    to.columns = kTile;
    batch.add(rows, kTile * i, src_width, kNarrow, to);
  }
  batch.flush();
}

// ---- Heads

// All outputs of one vector of cells, from features{cells, 32}.
inline void all_heads(const PnetWeights& weights, const PnetPart& part, const float* features, float* dst) {
  constexpr int kIn = kPnetChannels[3], kSums = 4;
  Vector x[kIn];  // channels
  for (int c = 0; c < kIn; c += Vector::kLanes) {
    for (int i = 0; i < Vector::kLanes; ++i) x[c + i] = Vector::load(features + i * kIn + c);
    Vector::transpose(x + c);
  }
  for (int k = 0; k < kPnetOutputs; ++k) {
    const float* w = weights.heads + k * kIn;
    Vector sums[kSums];  // they hide the latency of the additions
    for (int i = 0; i < kSums; ++i) sums[i] = Vector::all(w[i]) * x[i];
    for (int c = kSums; c < kIn; ++c)
      sums[c % kSums] = Vector::multiply_add(Vector::all(w[c]), x[c], sums[c % kSums]);
    const Vector sum = (sums[0] + sums[1]) + (sums[2] + sums[3]) + Vector::all(weights.head_bias[k]);
    sum.store(dst + k * part.pitch);
  }
}

// One row of cells. The difference of the logits is one sum, by which most cells are done with; or all that
// is wanted is the second logit.
inline void heads(const PnetWeights& weights, const PnetPart& part, const float* features, float* dst) {
  constexpr int kIn = kPnetChannels[3], kVectors = kIn / Vector::kLanes;
  alignas(64) float head[kIn];
  for (int c = 0; c < kIn; ++c)
    head[c] = part.face_only ? weights.heads[kIn + c] : weights.heads[kIn + c] - weights.heads[c];
  const Vector bias = Vector::all(weights.head_bias[1]),
               least = Vector::all(part.least - (weights.head_bias[1] - weights.head_bias[0]));
  for (int x = 0; x < part.columns;
       x += Vector::kLanes, features += Vector::kLanes * kIn, dst += Vector::kLanes) {
    Vector products[Vector::kLanes];
    for (int i = 0; i < Vector::kLanes; ++i) {
      products[i] = Vector::load(head) * Vector::load(features + i * kIn);
      for (int v = 1; v < kVectors; ++v)
        products[i] =
            Vector::multiply_add(Vector::load(head + v * Vector::kLanes),
                                 Vector::load(features + i * kIn + v * Vector::kLanes), products[i]);
    }
    const Vector sums = Vector::sums(products);
    if (part.face_only) {
      (sums + bias).store(dst + part.pitch);
    } else if (Vector::any_above(sums, least)) {
      all_heads(weights, part, features, dst);
    } else {
      Vector::zero().store(dst);
      Vector::all(part.least).store(dst + part.pitch);
    }
  }
}

inline void run_pnet(const PnetWeights& weights, const PnetPart& part, float* scratch) {
  constexpr int kFeatures = kPnetChannels[3];
  // What exists of the level from the part's first column on, after each of the convolutions.
  const int level_rows = (part.height - 1) / 2 - 4, level_columns = (part.width - 1) / 2 - 4;
  const int right = level_columns - part.first_column;
  const int tiles_3 = round_up(part.columns, kTile) / kTile,
            tiles_2 = smaller(tiles_3 + 1, round_up(right + 2, kTile) / kTile);
  const int width_1 = smaller(kTile * tiles_2 + 2, right + 4), width_2 = smaller(kTile * tiles_2, right + 2);

  const std::ptrdiff_t plane_pitch = round_up(width_1, 16) + kPnetSlack,
                       pitch = round_up(width_1, 32) + kTile;
  float* transformed = scratch;
  float* rows_1 = transformed + kTaps * 6 * plane_pitch;
  float* rows_2 = rows_1 + kRing * pitch * kNarrow;
  float* features = rows_2 + kRing * pitch * kNarrow;  // {kTile, pitch, kFeatures}
  float* batches = features + kTile * pitch * kFeatures;

  const Columns1 columns{part, transformed, plane_pitch, width_1};
  TileBatch<kNarrow> batch_2(weights.conv2, kNarrow, batches), batch_3(weights.conv3, kFeatures, batches);
  const int first = part.first_row / kTile, last = first + (part.rows + kTile - 1) / kTile;
  int next_1 = 2 * first, next_2 = first;
  for (int tile = first; tile < last; ++tile) {
    for (; next_2 <= tile + 1 && kTile * next_2 < level_rows + 2; ++next_2) {
      for (; next_1 <= 2 * next_2 + 2 && 2 * next_1 < level_rows + 4; ++next_1)
        convolve_1(weights, columns, next_1, rows_1, pitch);
      convolve_tiles(batch_2, rows_1, pitch, level_rows + 4, width_1, next_2, tiles_2, [&](int r, int x) {
        return rows_2 + ((kTile * next_2 + r) % kRing * pitch + x) * kNarrow;
      });
    }
    convolve_tiles(batch_3, rows_2, pitch, level_rows + 2, width_2, tile, tiles_3,
                   [&](int r, int x) { return features + (r * pitch + x) * kFeatures; });
    const int row = kTile * (tile - first);
    for (int r = 0; r < kTile && row + r < part.rows; ++r)
      heads(weights, part, features + r * pitch * kFeatures,
            part.dst + static_cast<std::ptrdiff_t>(row + r) * kPnetOutputs * part.pitch);
  }
}

}  // namespace
}  // namespace adaface::kernels::x86
