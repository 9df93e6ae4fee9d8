// The Winograd kernels over one `Vector`: each file that includes this is compiled for another instruction
// set and has included one of vector_*.h before. Everything here has internal linkage: the same source is
// compiled for several CPUs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/winograd.h"
#include "kernels/winograd_transforms.h"

namespace adaface::kernels::x86 {
namespace {

using std::ptrdiff_t;
using std::size_t;

using V = Vector::Type;
constexpr int kBlock = Vector::kLanes;
constexpr int kMostPoints = 6;

template <int kTile>
[[gnu::always_inline]] inline void transform_input(const V (&d)[kMostPoints], V (&t)[kMostPoints]) {
  if constexpr (kTile == 4)
    winograd_input_four(d, t);
  else
    winograd_input_two(d, t);
}

template <int kTile>
[[gnu::always_inline]] inline void transform_output(const V (&m)[kMostPoints], V (&y)[4]) {
  if constexpr (kTile == 4)
    winograd_output_four(m, y);
  else
    winograd_output_two(m, y);
}

template <int kTile>
constexpr int kPoints = kTile + 2;

// Where the i-th point of a tile of kTile stands among the positions of a grid with `points` points an axis.
template <int kTile>
[[gnu::always_inline]] inline int place(int points, int i) {
  return kTile == 2 && points == 6 && i == 3 ? 5 : i;
}
// The same among the six values of a transform.
template <int kTile>
constexpr int value_of(int i) {
  return kTile == 2 && i == 3 ? 5 : i;
}

// Rows of the image, normalised and with a border of zeros, each staged once: row y at y modulo 6.
class StagedRows {
 public:
  StagedRows(const WinogradInput& shape, const float* src, float* rows)
      : s_(shape),
        src_(src),
        rows_(rows),
        length_(4 * shape.grid.columns.four + 2 * shape.grid.columns.two + 2),
        next_(shape.grid.first_row - 1) {}

  int length() const { return length_; }
  const float* row(int y) const { return rows_ + static_cast<ptrdiff_t>((y + 6) % 6) * length_ * kBlock; }

  // Makes rows up to and including `last` available.
  void stage(int last) {
    for (; next_ <= last; ++next_) {
      float* to = rows_ + static_cast<ptrdiff_t>((next_ + 6) % 6) * length_ * kBlock;
      const V zero = Vector::zero();
      if (next_ < 0 || next_ >= s_.height) {
        for (int x = 0; x < length_; ++x) Vector::store(to + x * kBlock, zero);
        continue;
      }
      const float* from = src_ + static_cast<ptrdiff_t>(next_) * s_.width * kBlock;
      const int inside = s_.width < length_ - 1 ? s_.width : length_ - 1;
      Vector::store(to, zero);
      if (s_.scale) {
        const V scale = Vector::load_unaligned(s_.scale), shift = Vector::load_unaligned(s_.shift);
        for (int x = 0; x < inside; ++x)
          Vector::store(to + (x + 1) * kBlock, Vector::load(from + x * kBlock) * scale + shift);
      } else {
        for (int x = 0; x < inside; ++x)
          Vector::store(to + (x + 1) * kBlock, Vector::load(from + x * kBlock));
      }
      for (int x = inside + 1; x < length_; ++x) Vector::store(to + x * kBlock, zero);
    }
  }

 private:
  const WinogradInput& s_;
  const float* src_;
  float* rows_;
  int length_, next_;
};

// Tiles of kTileX columns from transformed rows {points, length, block}.
template <int kTileY, int kTileX, typename Element>
[[gnu::always_inline]] inline void input_tiles(const WinogradInput& s, const float* rows, int length,
                                               int first_x, int count, Element* v, size_t position_stride) {
  for (int i = 0; i < kPoints<kTileY>; ++i) {
    const int row_position = place<kTileY>(s.grid.row_points, i) * s.grid.column_points;
    const float* row = rows + (static_cast<ptrdiff_t>(i) * length + first_x) * kBlock;
    Element* to[kPoints<kTileX>];
    for (int j = 0; j < kPoints<kTileX>; ++j)
      to[j] =
          v + static_cast<size_t>(row_position + place<kTileX>(s.grid.column_points, j)) * position_stride;
    for (int tile = 0; tile < count; ++tile, row += kTileX * kBlock) {
      V d[kMostPoints], t[kMostPoints];
#pragma GCC unroll 6
      for (int j = 0; j < kPoints<kTileX>; ++j) d[j] = Vector::load(row + j * kBlock);
      transform_input<kTileX>(d, t);
#pragma GCC unroll 6
      for (int j = 0; j < kPoints<kTileX>; ++j) Vector::store(to[j] + tile * kBlock, t[value_of<kTileX>(j)]);
    }
  }
}

template <int kTileY, typename Element>
void input_row(const WinogradInput& s, const StagedRows& staged, int first_y, float* rows, int tile_row,
               Element* v) {
  const int length = staged.length();
  const float* src[kPoints<kTileY>];
  for (int i = 0; i < kPoints<kTileY>; ++i) src[i] = staged.row(first_y - 1 + i);
  for (int x = 0; x < length; ++x) {
    V d[kMostPoints], t[kMostPoints];
#pragma GCC unroll 6
    for (int i = 0; i < kPoints<kTileY>; ++i) d[i] = Vector::load(src[i] + x * kBlock);
    transform_input<kTileY>(d, t);
#pragma GCC unroll 6
    for (int i = 0; i < kPoints<kTileY>; ++i)
      Vector::store(rows + (static_cast<ptrdiff_t>(i) * length + x) * kBlock, t[value_of<kTileY>(i)]);
  }
  const size_t tiles = static_cast<size_t>(winograd_tiles(s.grid)) * static_cast<size_t>(s.images);
  const size_t position_stride = static_cast<size_t>(s.in_blocks) * tiles * kBlock;
  const auto place_of = [&](int kind, int columns) {
    const int number =
        winograd_first(s.grid, kind) * s.images + s.image * winograd_count(s.grid, kind) + tile_row * columns;
    return v + (static_cast<size_t>(s.channel_block) * tiles + static_cast<size_t>(number)) * kBlock;
  };
  const int four = s.grid.columns.four, two = s.grid.columns.two;
  if (four > 0)
    input_tiles<kTileY, 4>(s, rows, length, 0, four, place_of(kTileY == 4 ? kFourByFour : kTwoByFour, four),
                           position_stride);
  if (two > 0)
    input_tiles<kTileY, 2>(s, rows, length, 4 * four, two,
                           place_of(kTileY == 4 ? kFourByTwo : kTwoByTwo, two), position_stride);
}

template <typename Element>
void transform_image(const WinogradInput& s, const float* src, Element* v, float* scratch) {
  StagedRows staged(s, src, scratch);
  float* rows = scratch + static_cast<ptrdiff_t>(6) * staged.length() * kBlock;
  int y = s.grid.first_row;
  for (int tile_row = 0; tile_row < s.grid.rows.four; ++tile_row, y += 4) {
    staged.stage(y + 4);
    input_row<4>(s, staged, y, rows, tile_row, v);
  }
  for (int tile_row = 0; tile_row < s.grid.rows.two; ++tile_row, y += 2) {
    staged.stage(y + 2);
    input_row<2>(s, staged, y, rows, tile_row, v);
  }
}

template <int kTileY, int kTileX>
[[gnu::always_inline]] inline void output_tile(const WinogradOutput& s, const float* m,
                                               size_t position_stride, int y, int x, float* dst) {
  V columns[kTileY][kMostPoints];  // after the transform down the rows
#pragma GCC unroll 6
  for (int j = 0; j < kPoints<kTileX>; ++j) {
    V p[kMostPoints], t[4];
#pragma GCC unroll 6
    for (int i = 0; i < kPoints<kTileY>; ++i)
      p[value_of<kTileY>(i)] =
          Vector::load(m + static_cast<size_t>(place<kTileY>(s.grid.row_points, i) * s.grid.column_points +
                                               place<kTileX>(s.grid.column_points, j)) *
                               position_stride);
    transform_output<kTileY>(p, t);
#pragma GCC unroll 4
    for (int i = 0; i < kTileY; ++i) columns[i][value_of<kTileX>(j)] = t[i];
  }
  const V bias = Vector::load_unaligned(s.bias);
  // Of max and min the second operand is what comes of NaN: an overflow must not look like a result.
  const V slope = s.slope ? Vector::load_unaligned(s.slope) : Vector::zero();
#pragma GCC unroll 4
  for (int i = 0; i < kTileY; ++i) {
    if (y + i >= s.height) break;
    V t[4];
    transform_output<kTileX>(columns[i], t);
    float* to = dst + (static_cast<ptrdiff_t>(y + i) * s.width + x) * kBlock;
#pragma GCC unroll 4
    for (int j = 0; j < kTileX; ++j, to += kBlock) {
      if (x + j >= s.width) break;
      V value = t[j] + bias;
      if (s.slope) value = Vector::max(Vector::zero(), value) + Vector::min(Vector::zero(), value) * slope;
      if (s.add) value = value + Vector::load(to);
      Vector::store(to, value);
    }
  }
}

template <int kTileY>
void output_row(const WinogradOutput& s, const float* m, size_t position_stride, int tile_row, int y,
                float* dst) {
  const int four = s.grid.columns.four, two = s.grid.columns.two;
  const auto tile = [&](int kind, int columns) {
    return m + static_cast<ptrdiff_t>(winograd_first(s.grid, kind) * s.images +
                                      s.image * winograd_count(s.grid, kind) + tile_row * columns) *
                   kBlock;
  };
  const float* from = tile(kTileY == 4 ? kFourByFour : kTwoByFour, four);
  for (int i = 0; i < four; ++i) output_tile<kTileY, 4>(s, from + i * kBlock, position_stride, y, 4 * i, dst);
  from = tile(kTileY == 4 ? kFourByTwo : kTwoByTwo, two);
  for (int i = 0; i < two; ++i)
    output_tile<kTileY, 2>(s, from + i * kBlock, position_stride, y, 4 * four + 2 * i, dst);
}

void output(const WinogradOutput& s, const float* m, float* dst) {
  const size_t position_stride =
      static_cast<size_t>(winograd_tiles(s.grid)) * static_cast<size_t>(s.images) * kBlock;
  int y = s.grid.first_row;
  for (int row = 0; row < s.grid.rows.four; ++row, y += 4) output_row<4>(s, m, position_stride, row, y, dst);
  for (int row = 0; row < s.grid.rows.two; ++row, y += 2) output_row<2>(s, m, position_stride, row, y, dst);
}

// Weights of a large network come from memory, each vector for 9 to 28 multiply-adds. Asked for near ahead
// alone, they arrive at the pace of the first-level cache's few miss buffers (14 GB/s on Zen 4, where 26 are
// needed); asked into the second level far ahead, they cost nothing.
constexpr int kNear = 2048, kFar = 16384;  // bytes

struct Operands {
  const unsigned char* u;  // {in_blocks * block, panel}
  const void* v;           // {in_blocks, tiles, block}, at the first tile
  size_t tiles;            // of V and M
  float* m;                // {panel / block, positions, tiles, block}, at this position and tile
  size_t m_stride;         // floats between blocks of the panel
  int in_blocks;
};

// Sums of kTiles tiles by kPanel blocks of outputs, in registers.
template <typename Multiply, int kTiles, int kPanel>
void multiply_tiles(const Operands& o) {
  V sums[kTiles][kPanel];
#pragma GCC unroll 32
  for (int t = 0; t < kTiles; ++t)
#pragma GCC unroll 2
    for (int p = 0; p < kPanel; ++p) sums[t][p] = Vector::zero();
  const unsigned char* u = o.u;
  const auto* v = static_cast<const typename Multiply::Input*>(o.v);
  const size_t v_step = o.tiles * kBlock;
  for (int b = 0; b < o.in_blocks; ++b, v += v_step) {
#pragma GCC unroll 4
    for (int k = 0; k < kBlock; k += Multiply::kDepth) {
      typename Multiply::Weights w[kPanel];
#pragma GCC unroll 2
      for (int p = 0; p < kPanel; ++p) {
        w[p] = Multiply::weights(u);
        Vector::prefetch_second_level(u + kFar);
        Vector::prefetch(u + kNear);
        u += Multiply::kWeightBytes;
      }
#pragma GCC unroll 32
      for (int t = 0; t < kTiles; ++t)
#pragma GCC unroll 2
        for (int p = 0; p < kPanel; ++p) sums[t][p] = Multiply::add(v + t * kBlock + k, w[p], sums[t][p]);
    }
  }
#pragma GCC unroll 32
  for (int t = 0; t < kTiles; ++t)
#pragma GCC unroll 2
    for (int p = 0; p < kPanel; ++p)
      Vector::store(o.m + static_cast<size_t>(p) * o.m_stride + static_cast<size_t>(t) * kBlock, sums[t][p]);
}

template <typename Multiply, int kTiles>
[[gnu::always_inline]] inline void multiply_most(int tiles, const Operands& o) {
  if constexpr (kTiles > 0) {
    if (tiles == kTiles) return multiply_tiles<Multiply, kTiles, Vector::kPanel>(o);
    multiply_most<Multiply, kTiles - 1>(tiles, o);
  }
}

template <typename Multiply>
void multiply_all(const WinogradGrid& grid, int images, int in_blocks, const void* u,
                  const typename Multiply::Input* v, float* m) {
  const size_t tiles = static_cast<size_t>(winograd_tiles(grid)) * static_cast<size_t>(images);
  const size_t position_bytes =
      winograd_position_bytes(in_blocks, kBlock, kBlock * Vector::kPanel, Multiply::kType);
  const int positions = winograd_positions(grid);
  for (int position = 0; position < positions; ++position) {
    const WinogradRange range =
        winograd_range(grid, winograd_point(grid.row_points, position / grid.column_points),
                       winograd_point(grid.column_points, position % grid.column_points));
    const int begin = range.begin * images, count = (range.end - range.begin) * images;
    if (count == 0) continue;
    // Chunks of nearly equal size: a small rest would leave the arithmetic waiting.
    const int chunks = (count + Vector::kMostTiles - 1) / Vector::kMostTiles;
    for (int chunk = 0, done = 0; chunk < chunks; ++chunk) {
      const int end = static_cast<int>(static_cast<long long>(count) * (chunk + 1) / chunks);
      const size_t tile = static_cast<size_t>(begin + done);
      multiply_most<Multiply, Vector::kMostTiles>(
          end - done, {static_cast<const unsigned char*>(u) + static_cast<size_t>(position) * position_bytes,
                       v + (static_cast<size_t>(position * in_blocks) * tiles + tile) * kBlock, tiles,
                       m + (static_cast<size_t>(position) * tiles + tile) * kBlock,
                       static_cast<size_t>(positions) * tiles * kBlock, in_blocks});
      done = end;
    }
  }
}

// How one vector of weights lies in memory and enters the sums. Depth: input channels that it covers.
struct MultiplyF32 {
  using Input = float;
  using Weights = V;
  static constexpr WinogradType kType = WinogradType::f32;
  static constexpr int kDepth = 1, kWeightBytes = 4 * kBlock;
  [[gnu::always_inline]] static V weights(const unsigned char* at) {
    return Vector::load(reinterpret_cast<const float*>(at));
  }
  [[gnu::always_inline]] static V add(const float* v, V w, V sum) { return Vector::multiply_add(*v, w, sum); }
};

struct MultiplyF16 {
  using Input = float;
  using Weights = V;
  static constexpr WinogradType kType = WinogradType::f16;
  static constexpr int kDepth = 1, kWeightBytes = 2 * kBlock;
  [[gnu::always_inline]] static V weights(const unsigned char* at) { return Vector::load_f16(at); }
  [[gnu::always_inline]] static V add(const float* v, V w, V sum) { return Vector::multiply_add(*v, w, sum); }
};

struct MultiplyBf16 {
  using Input = float;
  struct Weights {
    V even, odd;
  };
  static constexpr WinogradType kType = WinogradType::bf16;
  static constexpr int kDepth = 2, kWeightBytes = 4 * kBlock;
  [[gnu::always_inline]] static Weights weights(const unsigned char* at) {
    return {Vector::load_even_bf16(at), Vector::load_odd_bf16(at)};
  }
  [[gnu::always_inline]] static V add(const float* v, Weights w, V sum) {
    return Vector::multiply_add(v[1], w.odd, Vector::multiply_add(v[0], w.even, sum));
  }
};

void multiply(const WinogradGrid& grid, int images, int in_blocks, WinogradType type, const void* u,
              const float* v, float* m) {
  switch (type) {
    case WinogradType::f32: return multiply_all<MultiplyF32>(grid, images, in_blocks, u, v, m);
    case WinogradType::f16: return multiply_all<MultiplyF16>(grid, images, in_blocks, u, v, m);
    case WinogradType::bf16: return multiply_all<MultiplyBf16>(grid, images, in_blocks, u, v, m);
  }
}

// kBlock rows of weights, kBlock input channels: {input channel, tap, row}. Rows and channels that are not
// there become zeros.
void gather_weights(const float* src, int rows, int in, int first_channel, float* dst) {
  const int channels = in - first_channel < kBlock ? in - first_channel : kBlock;
  if (rows >= kBlock && channels == kBlock) {
    for (int part = 0; part < 9; ++part) {
      V block[kBlock];
#pragma GCC unroll 16
      for (int r = 0; r < kBlock; ++r)
        block[r] = Vector::load_unaligned(src + static_cast<ptrdiff_t>(r) * in * 9 + first_channel * 9 +
                                          part * kBlock);
      Vector::transpose(block);
#pragma GCC unroll 16
      for (int r = 0; r < kBlock; ++r) Vector::store(dst + (part * kBlock + r) * kBlock, block[r]);
    }
    return;
  }
  for (int i = 0; i < 9 * kBlock * kBlock; ++i) dst[i] = 0;
  for (int r = 0; r < rows && r < kBlock; ++r)
    for (int i = 0; i < 9 * channels; ++i)
      dst[i * kBlock + r] = src[static_cast<ptrdiff_t>(r) * in * 9 + first_channel * 9 + i];
}

// One input channel's weights at all 36 positions, each passed to put(row point, column point, value).
template <typename Put>
[[gnu::always_inline]] inline void transform_weights(const float* taps, V scale, Put put) {
  V columns[3][kMostPoints];
#pragma GCC unroll 3
  for (int x = 0; x < 3; ++x)
    winograd_weights(Vector::load(taps + x * kBlock) * scale, Vector::load(taps + (3 + x) * kBlock) * scale,
                     Vector::load(taps + (6 + x) * kBlock) * scale, columns[x]);
#pragma GCC unroll 6
  for (int i = 0; i < kMostPoints; ++i) {
    V t[kMostPoints];
    winograd_weights(columns[0][i], columns[1][i], columns[2][i], t);
#pragma GCC unroll 6
    for (int j = 0; j < kMostPoints; ++j) put(i, j, t[j]);
  }
}

// How a vector of U is written: for use at once, or streamed past the cache.
template <WinogradType kType, bool kKeep>
[[gnu::always_inline]] inline void put_weights(unsigned char* to, V value) {
  if constexpr (kType == WinogradType::f16)
    Vector::store_f16(to, value);
  else if constexpr (kKeep)
    Vector::stream(reinterpret_cast<float*>(to), value);
  else
    Vector::store(reinterpret_cast<float*>(to), value);
}

template <WinogradType kType, bool kKeep>
void transform_panel(const WinogradGrid& grid, const float* src, const float* scale, int rows, int in,
                     int in_blocks, unsigned char* dst) {
  alignas(64) float taps[9 * kBlock * kBlock];
  alignas(64) float even[kMostPoints * kMostPoints * kBlock];
  const size_t position_bytes = winograd_position_bytes(in_blocks, kBlock, kBlock * Vector::kPanel, kType);
  const size_t pair_bytes = static_cast<size_t>(kType == WinogradType::f32 ? 8 : 4) * kBlock * Vector::kPanel;
  // Of a point among the six: its place in the grid, or -1.
  const auto place_in = [](int points, int point) {
    return points == kMostPoints ? point : point < 3 ? point : point == 5 ? 3 : -1;
  };
  int row_place[kMostPoints], column_place[kMostPoints];
  for (int i = 0; i < kMostPoints; ++i) {
    row_place[i] = place_in(grid.row_points, i);
    column_place[i] = place_in(grid.column_points, i);
  }
  for (int p = 0; p < Vector::kPanel; ++p) {
    alignas(64) float factors[kBlock];
    for (int r = 0; r < kBlock; ++r) factors[r] = scale && p * kBlock + r < rows ? scale[p * kBlock + r] : 1;
    const V factor = Vector::load(factors);
    for (int channel = 0; channel < in_blocks * kBlock; channel += 2) {
      if (channel % kBlock == 0)
        gather_weights(src + static_cast<ptrdiff_t>(p) * kBlock * in * 9, rows - p * kBlock, in, channel,
                       taps);
      const float* pair = taps + channel % kBlock * 9 * kBlock;
      unsigned char* first = dst + static_cast<size_t>(channel / 2) * pair_bytes;
      const auto at = [&](int i, int j) {
        return first +
               static_cast<size_t>(row_place[i] * grid.column_points + column_place[j]) * position_bytes;
      };
      if constexpr (kType == WinogradType::bf16) {
        transform_weights(pair, factor, [&](int i, int j, V value) {
          Vector::store(even + (i * kMostPoints + j) * kBlock, value);
        });
        transform_weights(pair + 9 * kBlock, factor, [&](int i, int j, V value) {
          if (row_place[i] >= 0 && column_place[j] >= 0)
            Vector::template store_bf16_pairs<kKeep>(
                at(i, j) + p * 4 * kBlock, Vector::load(even + (i * kMostPoints + j) * kBlock), value);
        });
      } else {
        constexpr int kBytes = (kType == WinogradType::f32 ? 4 : 2) * kBlock;
        for (int k = 0; k < 2; ++k)
          transform_weights(pair + 9 * k * kBlock, factor, [&](int i, int j, V value) {
            if (row_place[i] >= 0 && column_place[j] >= 0)
              put_weights<kType, kKeep>(at(i, j) + (k * Vector::kPanel + p) * kBytes, value);
          });
      }
    }
  }
  if (kKeep) Vector::finish_streams();
}

void weights(const WinogradGrid& grid, const float* src, const float* scale, int rows, int in, int in_blocks,
             WinogradType type, bool keep, void* dst) {
  const auto run = [&](auto transform) {
    transform(grid, src, scale, rows, in, in_blocks, static_cast<unsigned char*>(dst));
  };
  switch (type) {
    case WinogradType::f32:
      return keep ? run(transform_panel<WinogradType::f32, true>)
                  : run(transform_panel<WinogradType::f32, false>);
    case WinogradType::f16: return run(transform_panel<WinogradType::f16, false>);
    case WinogradType::bf16:
      return keep ? run(transform_panel<WinogradType::bf16, true>)
                  : run(transform_panel<WinogradType::bf16, false>);
  }
}

void input(const WinogradInput& shape, const float* src, float* v, float* scratch) {
  transform_image(shape, src, v, scratch);
}

[[maybe_unused]] constexpr WinogradKernels kVersion = {.block = kBlock,
                                                       .panel = kBlock * Vector::kPanel,
                                                       .weights = weights,
                                                       .input = input,
                                                       .multiply = multiply,
                                                       .output = output,
                                                       .input_bf16 = nullptr,
                                                       .multiply_bf16 = nullptr};

}  // namespace
}  // namespace adaface::kernels::x86
