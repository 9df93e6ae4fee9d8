// Convolution 3x3 by Winograd's minimal filtering (Lavin & Gray 2016): F(4, 3) in one or F(4x4, 3x3) in
// two dimensions. In two, 16 outputs take 36 products instead of 144; sums are as short as the input has
// channels, so the rounding errors are no larger than those of the plain sum.
//
// Vectors hold channels. Tiles are collected, whichever rows and pictures they come from, until there are
// enough to multiply them at once.
#pragma once

#include "kernels/kernels.h"
#include "kernels/x86/vector.h"

namespace adaface::kernels::x86 {
namespace {

constexpr int kTile = kWinogradTile, kTaps = kWinogradTaps;

// B^T d: six values to six.
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

// A^T m: six sums to four outputs.
inline void inverse(const Vector m[kTaps], Vector y[kTile]) {
  const Vector a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
  y[0] = m[0] + a + c;
  y[1] = Vector::multiply_add(Vector::all(2), d, b);
  y[2] = Vector::multiply_add(Vector::all(4), c, a);
  y[3] = Vector::multiply_add(Vector::all(8), d, b) + m[5];
}

constexpr int kBlockVectors = kChannelBlock / Vector::kLanes;
// Blocks of output channels, and pixels or tiles, that are summed at a time. The rest of the registers hold
// weights and a value.
constexpr int kMostBlocks = Vector::kRegisters == 32 ? 2 : 1;
template <int kBlocks>
constexpr int kMostPixels = (Vector::kRegisters == 32 ? 24 : 12) / (kBlocks * kBlockVectors);

struct Product {
  const float* weights;  // {blocks, in, kChannelBlock}
  std::ptrdiff_t block_weights;
  int in, dst_pixel;
};

// dst{pixels, blocks * kChannelBlock} = src{pixels, kPixel}, of which `in` >= 1 count, times weights.
template <int kPixel, int kBlocks, int kPixels>
void multiply_pixels(const Product& product, const float* src, float* dst) {
  constexpr int kVectors = kBlocks * kBlockVectors;
  Vector sums[kPixels][kVectors];
  for (int p = 0; p < kPixels; ++p)
    for (int v = 0; v < kVectors; ++v) sums[p][v] = Vector::zero();
  const float *weights = product.weights, *end = src + product.in;
  do {  // and not a loop that might do nothing, for which g++ would write the sums to memory first
    Vector w[kVectors];
    for (int v = 0; v < kVectors; ++v)
      w[v] = Vector::load(weights + v / kBlockVectors * product.block_weights +
                          v % kBlockVectors * Vector::kLanes);
    for (int p = 0; p < kPixels; ++p) {
      const Vector x = Vector::all(src[p * kPixel]);
      for (int v = 0; v < kVectors; ++v) sums[p][v] = Vector::multiply_add(w[v], x, sums[p][v]);
    }
    weights += kChannelBlock;
  } while (++src != end);
  for (int p = 0; p < kPixels; ++p)
    for (int v = 0; v < kVectors; ++v)
      sums[p][v].store(dst + p * static_cast<std::ptrdiff_t>(product.dst_pixel) + v * Vector::kLanes);
}

using MultiplyFunction = void (*)(const Product& product, const float* src, float* dst);

template <int kPixel, int kBlocks, int kPixels>
struct Multiply {
  static MultiplyFunction get(int pixels) {
    return pixels == kPixels ? multiply_pixels<kPixel, kBlocks, kPixels>
                             : Multiply<kPixel, kBlocks, kPixels - 1>::get(pixels);
  }
};
template <int kPixel, int kBlocks>
struct Multiply<kPixel, kBlocks, 1> {
  static MultiplyFunction get(int) { return multiply_pixels<kPixel, kBlocks, 1>; }
};

// `count` things in pieces of at most `most`, as equal as there are: the first `larger` have one more.
struct Pieces {
  int pieces, size, larger;
  Pieces(int count, int most)
      : pieces((count + most - 1) / most), size(count / pieces), larger(count % pieces) {}
  int operator[](int i) const { return i < larger ? size + 1 : size; }
};

// Where a tile's outputs go: rows[y] + x * pixel for x < columns; null for a row that does not exist.
struct Destination {
  float* rows[kTile];
  int columns;
};

// kPixel: the input's channels, rounded up to a power of two of blocks.
template <int kPixel>
class TileBatch {
 public:
  static constexpr int kMost = kMostPixels<kMostBlocks>;
  // The layer has a transform; scratch as kConvolutionScratch says.
  TileBatch(const SmallConvolution& layer, int dst_pixel, float* scratch)
      : layer_(layer),
        dst_pixel_(dst_pixel),
        sums_pixel_(layer.blocks * kChannelBlock),
        transformed_(scratch),
        sums_(scratch + kTaps * kTaps * stride(kPixel)) {}

  // rows: six, null for zeros; of each the pixels [column, column + 6) below `width`, `pixel` floats apart.
  void add(const float* const rows[kTaps], int column, int width, int pixel, const Destination& dst) {
    bool inside = column + kTaps <= width;
    for (int y = 0; y < kTaps; ++y) inside = inside && rows[y];
    if (inside)
      transform_tile<true>(rows, column, width, pixel);
    else
      transform_tile<false>(rows, column, width, pixel);
    destinations_[count_] = dst;
    if (++count_ == kMost) flush();
  }

  void flush() {
    if (count_ == 0) return;
    for (int block = 0; block < layer_.blocks; block += kMostBlocks) {
      if (block + kMostBlocks <= layer_.blocks)
        multiply<kMostBlocks>(block);
      else
        multiply<1>(block);
    }
    for (int i = 0; i < count_; ++i)
      for (int c = 0; c < sums_pixel_; c += Vector::kLanes) write(i, c);
    count_ = 0;
  }

 private:
  // From one of the 36 values to the next: an odd number of cache lines, or they would share few places in
  // the cache.
  static constexpr std::ptrdiff_t stride(int pixel) {
    return static_cast<std::ptrdiff_t>(kMost) * pixel + kChannelBlock;
  }

  template <bool kInside>
  void transform_tile(const float* const rows[kTaps], int column, int width, int pixel) {
    constexpr std::ptrdiff_t value = stride(kPixel);
    for (int c = 0; c < layer_.in; c += Vector::kLanes) {
      Vector columns[kTaps][kTaps];  // [row after the transform][column]
#pragma GCC unroll 6
      for (int x = 0; x < kTaps; ++x) {
        Vector d[kTaps], t[kTaps];
#pragma GCC unroll 6
        for (int y = 0; y < kTaps; ++y)
          d[y] = kInside || (rows[y] && column + x < width)
                     ? Vector::load(rows[y] + static_cast<std::ptrdiff_t>(column + x) * pixel + c)
                     : Vector::zero();
        transform(d, t);
        for (int u = 0; u < kTaps; ++u) columns[u][x] = t[u];
      }
      float* to = transformed_ + count_ * static_cast<std::ptrdiff_t>(kPixel) + c;
#pragma GCC unroll 6
      for (int u = 0; u < kTaps; ++u) {
        Vector t[kTaps];
        transform(columns[u], t);
        for (int v = 0; v < kTaps; ++v) t[v].store(to + (u * kTaps + v) * value);
      }
    }
  }

  template <int kBlocks>
  void multiply(int block) {
    const std::ptrdiff_t block_weights =
        static_cast<std::ptrdiff_t>(kTaps * kTaps) * layer_.in * kChannelBlock;
    const Pieces pieces(count_, kMostPixels<kBlocks>);
    const MultiplyFunction functions[2] = {Multiply<kPixel, kBlocks, kMostPixels<kBlocks>>::get(pieces.size),
                                           Multiply<kPixel, kBlocks, kMostPixels<kBlocks>>::get(pieces[0])};
    for (int uv = 0; uv < kTaps * kTaps; ++uv) {
      const Product product{layer_.transformed + block * block_weights +
                                static_cast<std::ptrdiff_t>(uv) * layer_.in * kChannelBlock,
                            block_weights, layer_.in, sums_pixel_};
      const float* src = transformed_ + uv * stride(kPixel);
      float* dst = sums_ + uv * stride(sums_pixel_) + block * kChannelBlock;
      for (int i = 0; i < pieces.pieces; ++i) {
        functions[i < pieces.larger](product, src, dst);
        src += pieces[i] * kPixel;
        dst += pieces[i] * sums_pixel_;
      }
    }
  }

  // Outputs of one vector of channels of one tile.
  void write(int tile, int channel) const {
    const float* sums = sums_ + tile * static_cast<std::ptrdiff_t>(sums_pixel_) + channel;
    const std::ptrdiff_t value = stride(sums_pixel_);
    const Vector bias = Vector::load(layer_.bias + channel), slope = Vector::load(layer_.slope + channel);
    Vector rows[kTile][kTaps];
    for (int v = 0; v < kTaps; ++v) {
      Vector m[kTaps], y[kTile];
      for (int u = 0; u < kTaps; ++u) m[u] = Vector::load(sums + (u * kTaps + v) * value);
      inverse(m, y);
      for (int r = 0; r < kTile; ++r) rows[r][v] = y[r];
    }
    const Destination& dst = destinations_[tile];
    for (int r = 0; r < kTile; ++r) {
      if (!dst.rows[r]) continue;
      Vector y[kTile];
      inverse(rows[r], y);
      for (int x = 0; x < kTile; ++x)
        if (x < dst.columns)
          Vector::prelu(y[x] + bias, slope)
              .store(dst.rows[r] + x * static_cast<std::ptrdiff_t>(dst_pixel_) + channel);
    }
  }

  const SmallConvolution& layer_;
  int dst_pixel_, sums_pixel_;
  float *transformed_, *sums_;  // {kTaps * kTaps, kMost, channels}, and stride's padding
  Destination destinations_[kMost];
  int count_ = 0;
};

}  // namespace
}  // namespace adaface::kernels::x86
