// A 3x3 convolution in double and how far rounding can carry a Winograd convolution away from it; buffers
// that show what was written.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "kernels/winograd.h"
#include "kernels/winograd_transforms.h"

namespace adaface::kernels {

using Random = std::mt19937;
using Floats = std::vector<float>;

inline std::size_t size(int value) {
  return static_cast<std::size_t>(value);
}

// Elements of a buffer that starts at 64 bytes: all NaN until written, with guards on both sides.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) : count_(count), bytes_(count * sizeof(T) + 3 * kGuard, kByte) {}
  explicit Guarded(const std::vector<T>& values) : Guarded(values.size()) {
    std::copy(values.begin(), values.end(), data());
  }
  Guarded(Guarded&&) = default;  // elements stay where they are

  std::size_t count() const { return count_; }
  T* data() { return reinterpret_cast<T*>(bytes_.data() + begin()); }
  bool intact() const {
    const auto untouched = [](std::uint8_t byte) { return byte == kByte; };
    const auto first = bytes_.begin() + static_cast<std::ptrdiff_t>(begin());
    return std::all_of(bytes_.begin(), first, untouched) &&
           std::all_of(first + static_cast<std::ptrdiff_t>(count_ * sizeof(T)), bytes_.end(), untouched);
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr std::uint8_t kByte =
      0xFF;  // four of them are a NaN of float32, two one of float16, bfloat16
  std::size_t begin() const { return 2 * kGuard - reinterpret_cast<std::uintptr_t>(bytes_.data()) % kGuard; }

  std::size_t count_;
  std::vector<std::uint8_t> bytes_;
};

enum class Tiles { mixed, four, two };

struct Problem {
  int height, width, in, out, images;
  Tiles tiles;
  bool norm, prelu, add;
  int band_rows;  // rows of tiles that are worked on together
};

// src {images, in, height, width}, weights {out, in, 3, 3}, residual {images, out, height, width}.
struct Data {
  Floats src, weights, scale, shift, bias, slope, residual;
};

inline Data fill(const Problem& p, const std::function<Floats(std::size_t)>& values) {
  const std::size_t pixels = size(p.images) * size(p.height) * size(p.width);
  Data data{
      values(pixels * size(p.in)), values(size(p.out) * size(p.in) * 9), {}, {}, values(size(p.out)), {}, {}};
  if (p.norm) data.scale = values(size(p.in)), data.shift = values(size(p.in));
  if (p.prelu) data.slope = values(size(p.out));
  if (p.add) data.residual = values(pixels * size(p.out));
  return data;
}

// As src/nn divides an axis.
inline WinogradAxis divide(int outputs, Tiles tiles) {
  const int rest = outputs % 4;
  if (tiles == Tiles::two) return {0, (outputs + 1) / 2};
  if (tiles == Tiles::four || rest == 3) return {(outputs + 3) / 4, 0};
  return {outputs / 4, (rest + 1) / 2};
}

// Bands of `rows` rows of tiles each.
inline std::vector<WinogradGrid> bands(const Problem& p, int rows) {
  WinogradGrid grid{.rows = divide(p.height, p.tiles), .columns = divide(p.width, p.tiles)};
  if (grid.rows.four == 0) grid.row_points = 4;
  if (grid.columns.four == 0) grid.column_points = 4;
  const WinogradAxis all = grid.rows;
  std::vector<WinogradGrid> result;
  for (int first = 0; first < all.four + all.two; first += rows) {
    grid.rows.four = std::clamp(all.four - first, 0, rows);
    grid.rows.two = std::min(rows, all.four + all.two - first) - grid.rows.four;
    result.push_back(grid);
    grid.first_row += 4 * grid.rows.four + 2 * grid.rows.two;
  }
  return result;
}

// How large the terms are that meet in output i of a tile of `outputs`, for each weight and each of the
// tile's inputs: |A^T| (|G| |g| * |B^T| |d|) is their sum with the weights' and inputs' magnitudes. No entry
// of the three matrices is a difference of larger terms, so they are read off the transforms of unit vectors.
struct Terms {
  double of[3][6] = {};
};

inline Terms terms(int outputs, int i) {
  double a[6] = {}, b[6][6] = {}, g[6][3] = {};
  for (int unit = 0; unit < 6; ++unit) {
    double e[6] = {}, t[6] = {}, y[4] = {}, u[6] = {};
    e[unit] = 1;
    outputs == 4 ? winograd_output_four(e, y) : winograd_output_two(e, y);
    a[unit] = std::abs(y[i]);
    outputs == 4 ? winograd_input_four(e, t) : winograd_input_two(e, t);
    winograd_weights(e[0], e[1], e[2], u);
    for (int point = 0; point < 6; ++point) {
      b[point][unit] = std::abs(t[point]);
      if (unit < 3) g[point][unit] = std::abs(u[point]);
    }
  }
  Terms result;
  for (int point = 0; point < 6; ++point)
    for (int k = 0; k < 3; ++k)
      for (int n = 0; n < 6; ++n) result.of[k][n] += a[point] * g[point][k] * b[point][n];
  return result;
}

// Of the outputs of one axis: the first input of their tile, and their terms.
struct Place {
  int first;
  Terms terms;
};

inline std::vector<Place> places(int outputs, Tiles tiles) {
  const WinogradAxis axis = divide(outputs, tiles);
  std::vector<Place> result;
  for (int i = 0; i < outputs; ++i) {
    const int rest = i - 4 * axis.four;
    result.push_back(rest < 0 ? Place{i - i % 4 - 1, terms(4, i % 4)}
                              : Place{i - rest % 2 - 1, terms(2, rest % 2)});
  }
  return result;
}

// {images, out, height, width}: the outputs, and the size of what was added up for each.
struct Expected {
  std::vector<double> values, sizes;
};

// Magnitude that a weight counts with at least: transformed (no entry of |G| |g| is below a quarter of the
// smallest |g|), it stays in the range of normal float16 numbers, 2^-14, where roundings are relative.
constexpr double kLeastWeight = 0x1p-10;

inline Expected convolve_directly(const Problem& p, const Data& data) {
  const auto rows = places(p.height, p.tiles), columns = places(p.width, p.tiles);
  const std::size_t pixels = size(p.height) * size(p.width);
  Floats normed = data.src;  // as float32: the kernels round the same two operations
  if (p.norm)
    for (std::size_t i = 0; i < normed.size(); ++i) {
      const std::size_t channel = i / pixels % size(p.in);
      normed[i] = normed[i] * data.scale[channel] + data.shift[channel];
    }
  const auto input = [&](int image, int channel, int y, int x) -> double {
    if (y < 0 || x < 0 || y >= p.height || x >= p.width) return 0;
    return normed[(size(image) * size(p.in) + size(channel)) * pixels + size(y) * size(p.width) + size(x)];
  };
  Expected result;
  result.values.resize(size(p.images) * size(p.out) * pixels);
  result.sizes.resize(result.values.size());
  std::vector<double> taps(size(p.in) * 9), tap_sizes(size(p.in) * 9);
  for (int image = 0; image < p.images; ++image)
    for (int y = 0; y < p.height; ++y)
      for (int x = 0; x < p.width; ++x) {
        const Place &row = rows[size(y)], &column = columns[size(x)];
        for (int c = 0; c < p.in; ++c) {
          double along[6][3] = {};
          for (int i = 0; i < 6; ++i)
            for (int j = 0; j < 6; ++j) {
              const double magnitude = std::abs(input(image, c, row.first + i, column.first + j));
              for (int k = 0; k < 3; ++k) along[i][k] += column.terms.of[k][j] * magnitude;
            }
          for (int k = 0; k < 9; ++k) {
            const std::size_t at = size(c * 9 + k);
            taps[at] = input(image, c, y + k / 3 - 1, x + k % 3 - 1);
            tap_sizes[at] = 0;
            for (int i = 0; i < 6; ++i) tap_sizes[at] += row.terms.of[k / 3][i] * along[i][k % 3];
          }
        }
        for (int o = 0; o < p.out; ++o) {
          const float* weights = data.weights.data() + size(o) * taps.size();
          double sum = data.bias[size(o)], magnitude = std::abs(sum);
          for (std::size_t i = 0; i < taps.size(); ++i) {
            sum += taps[i] * weights[i];
            magnitude += tap_sizes[i] * std::max<double>(std::abs(weights[i]), kLeastWeight);
          }
          const std::size_t at =
              (size(image) * size(p.out) + size(o)) * pixels + size(y) * size(p.width) + size(x);
          if (p.prelu && sum < 0) sum *= data.slope[size(o)];
          if (p.add) sum += data.residual[at], magnitude += std::abs(data.residual[at]);
          result.values[at] = sum;
          result.sizes[at] = magnitude;
        }
      }
  return result;
}

}  // namespace adaface::kernels
