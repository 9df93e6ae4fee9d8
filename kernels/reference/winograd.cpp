// The kernels of winograd.h, one tile and one channel at a time.
#include "kernels/winograd.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"
#include "kernels/winograd_transforms.h"

namespace adaface::kernels::reference {
namespace {

constexpr int kPanel = 16;

using Line = float[6];
using Square = Line[6];

std::size_t size(int value) {
  return static_cast<std::size_t>(value);
}

struct Tile {
  int number;       // in V and M
  int y, x;         // of its first output
  bool tall, wide;  // 4 rows, 4 columns of outputs, or 2

  bool uses(int row_point, int column_point) const {
    return (tall || winograd_shared(row_point)) && (wide || winograd_shared(column_point));
  }
};

// The tiles of one image.
template <typename F>
void for_each_tile(const WinogradGrid& grid, int images, int image, F&& f) {
  const auto& [rows, columns, first_row, row_points, column_points] = grid;
  for (int row = 0; row < rows.four + rows.two; ++row)
    for (int column = 0; column < columns.four + columns.two; ++column) {
      const bool tall = row < rows.four, wide = column < columns.four;
      const int kind = tall ? (wide ? kFourByFour : kFourByTwo) : (wide ? kTwoByFour : kTwoByTwo);
      const int in_kind = (tall ? row : row - rows.four) * (wide ? columns.four : columns.two) +
                          (wide ? column : column - columns.four);
      f(Tile{.number = winograd_first(grid, kind) * images + winograd_count(grid, kind) * image + in_kind,
             .y = first_row + (tall ? 4 * row : 2 * (row + rows.four)),
             .x = wide ? 4 * column : 2 * (column + columns.four),
             .tall = tall,
             .wide = wide});
    }
}

template <typename F>
void for_each_position(const WinogradGrid& grid, F&& f) {
  for (int i = 0; i < grid.row_points; ++i)
    for (int j = 0; j < grid.column_points; ++j)
      f(i * grid.column_points + j, winograd_point(grid.row_points, i),
        winograd_point(grid.column_points, j));
}

// One-dimensional transforms down the columns, then along the rows.
template <typename Down, typename Along>
void transform(const Square& from, Square& to, Down&& down, Along&& along) {
  Square middle = {};
  for (int x = 0; x < 6; ++x) {
    Line column, result = {};
    for (int y = 0; y < 6; ++y) column[y] = from[y][x];
    down(column, result);
    for (int y = 0; y < 6; ++y) middle[y][x] = result[y];
  }
  for (int y = 0; y < 6; ++y) along(middle[y], to[y]);
}

auto input_line(bool four) {
  return [four](const Line& d, Line& t) { four ? winograd_input_four(d, t) : winograd_input_two(d, t); };
}

auto output_line(bool four) {
  return [four](const Line& m, Line& y) {
    float outputs[4] = {};
    four ? winograd_output_four(m, outputs) : winograd_output_two(m, outputs);
    std::copy_n(outputs, 4, y);
  };
}

void weights_line(const Line& g, Line& u) {
  winograd_weights(g[0], g[1], g[2], u);
}

float from_bf16(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof value);
  return value;
}

// Rounded to nearest even, as lrint does; |value| <= 65504. Both functions count in units of the last of 11
// bits, below 2^-14 of 2^-24; a normal number's leading unit of 1024 is the lowest bit of its exponent.
std::uint16_t to_f16(float value) {
  const int exponent = value == 0 ? -14 : std::max(std::ilogb(value), -14);
  const long units = std::lrint(std::ldexp(std::abs(value), 10 - exponent));
  return static_cast<std::uint16_t>((std::signbit(value) ? 0x8000 : 0) + (exponent + 14) * 1024 + units);
}

float from_f16(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float value = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -value : value;
}

void store(float value, float& to) {
  to = value;
}
void store(float value, std::uint16_t& to) {
  to_bf16(&value, nullptr, nullptr, &to, 1, 1, 1);
}

float value_of(float value) {
  return value;
}
float value_of(std::uint16_t bits) {
  return from_bf16(bits);
}

// Where the weight of an input channel and an output of the panel lies in U.
std::size_t weight_at(WinogradType type, int position, int channels, int channel, int output) {
  const std::size_t bytes = winograd_position_bytes(1, channels, kPanel, type), row = size(channel);
  return size(position) * (bytes / (type == WinogradType::f32 ? 4 : 2)) +
         (type == WinogradType::bf16 ? (row / 2 * kPanel + size(output)) * 2 + row % 2
                                     : row * kPanel + size(output));
}

void store_weight(WinogradType type, float value, void* u, std::size_t at) {
  switch (type) {
    case WinogradType::f32: static_cast<float*>(u)[at] = value; break;
    case WinogradType::f16: static_cast<std::uint16_t*>(u)[at] = to_f16(value); break;
    case WinogradType::bf16: store(value, static_cast<std::uint16_t*>(u)[at]); break;
  }
}

float load_weight(WinogradType type, const void* u, std::size_t at) {
  switch (type) {
    case WinogradType::f16: return from_f16(static_cast<const std::uint16_t*>(u)[at]);
    case WinogradType::bf16: return from_bf16(static_cast<const std::uint16_t*>(u)[at]);
    case WinogradType::f32: break;
  }
  return static_cast<const float*>(u)[at];
}

template <int kBlock>
void weights(const WinogradGrid& grid, const float* src, const float* scale, int rows, int in, int in_blocks,
             WinogradType type, bool, void* dst) {
  const int channels = in_blocks * kBlock;
  for (int output = 0; output < kPanel; ++output)
    for (int channel = 0; channel < channels; ++channel) {
      Square g = {}, u = {};
      if (output < rows && channel < in)
        for (int tap = 0; tap < 9; ++tap)
          g[tap / 3][tap % 3] =
              src[(size(output) * size(in) + size(channel)) * 9 + size(tap)] * (scale ? scale[output] : 1);
      transform(g, u, weights_line, weights_line);
      for_each_position(grid, [&](int position, int row_point, int column_point) {
        store_weight(type, u[row_point][column_point], dst,
                     weight_at(type, position, channels, channel, output));
      });
    }
}

// Channel k of the image, normalised, with zeros around it.
float pixel(const WinogradInput& s, const float* src, int y, int x, int k) {
  if (y < 0 || x < 0 || y >= s.height || x >= s.width) return 0;
  const float value = src[(size(y) * size(s.width) + size(x)) * size(s.block) + size(k)];
  return s.scale ? value * s.scale[k] + s.shift[k] : value;
}

template <int kBlock, typename Element>
void input(const WinogradInput& s, const float* src, Element* v, float*) {
  const std::size_t tiles = size(winograd_tiles(s.grid)) * size(s.images);
  for_each_tile(s.grid, s.images, s.image, [&](const Tile& tile) {
    for (int k = 0; k < kBlock; ++k) {
      Square d, t = {};
      for (int y = 0; y < 6; ++y)
        for (int x = 0; x < 6; ++x) d[y][x] = pixel(s, src, tile.y - 1 + y, tile.x - 1 + x, k);
      transform(d, t, input_line(tile.tall), input_line(tile.wide));
      for_each_position(s.grid, [&](int position, int row_point, int column_point) {
        const std::size_t block = size(position) * size(s.in_blocks) + size(s.channel_block);
        if (tile.uses(row_point, column_point))
          store(t[row_point][column_point], v[(block * tiles + size(tile.number)) * kBlock + size(k)]);
      });
    }
  });
}

template <int kBlock, typename Element>
void multiply(const WinogradGrid& grid, int images, int in_blocks, WinogradType type, const void* u,
              const Element* v, float* m) {
  const std::size_t tiles = size(winograd_tiles(grid)) * size(images);
  const int channels = in_blocks * kBlock, positions = winograd_positions(grid);
  // The instruction for pairs of bfloat16 adds the second product first.
  constexpr bool kPairs = sizeof(Element) == 2;
  for_each_position(grid, [&](int position, int row_point, int column_point) {
    const WinogradRange range = winograd_range(grid, row_point, column_point);
    for (std::size_t tile = size(range.begin * images); tile < size(range.end * images); ++tile)
      for (int output = 0; output < kPanel; ++output) {
        float sum = 0;
        for (int i = 0; i < channels; ++i) {
          const int channel = kPairs ? i ^ 1 : i;
          const std::size_t block = size(position * in_blocks + channel / kBlock);
          sum = std::fma(value_of(v[(block * tiles + tile) * kBlock + size(channel % kBlock)]),
                         load_weight(type, u, weight_at(type, position, channels, channel, output)), sum);
        }
        const std::size_t block = size(output / kBlock * positions + position);
        m[(block * tiles + tile) * kBlock + size(output % kBlock)] = sum;
      }
  });
}

// A version may take what is smaller than a normal number for zero.
template <int kBlock>
void multiply_bf16(const WinogradGrid& grid, int images, int in_blocks, const void* u, const std::uint16_t* v,
                   float* m) {
  multiply<kBlock>(grid, images, in_blocks, WinogradType::bf16, u, v, m);
}

template <int kBlock>
void output(const WinogradOutput& s, const float* m, float* dst) {
  const std::size_t tiles = size(winograd_tiles(s.grid)) * size(s.images);
  for_each_tile(s.grid, s.images, s.image, [&](const Tile& tile) {
    for (int k = 0; k < kBlock; ++k) {
      Square products = {}, sums = {};
      for_each_position(s.grid, [&](int position, int row_point, int column_point) {
        if (tile.uses(row_point, column_point))
          products[row_point][column_point] =
              m[(size(position) * tiles + size(tile.number)) * kBlock + size(k)];
      });
      transform(products, sums, output_line(tile.tall), output_line(tile.wide));
      const int y_end = std::min(tile.y + (tile.tall ? 4 : 2), s.height);
      const int x_end = std::min(tile.x + (tile.wide ? 4 : 2), s.width);
      for (int y = tile.y; y < y_end; ++y)
        for (int x = tile.x; x < x_end; ++x) {
          float& to = dst[(size(y) * size(s.width) + size(x)) * kBlock + size(k)];
          float value = sums[y - tile.y][x - tile.x] + s.bias[k];
          if (s.slope && value < 0) value *= s.slope[k];
          to = s.add ? value + to : value;
        }
    }
  });
}

template <int kBlock>
constexpr WinogradKernels kDefinition = {.block = kBlock,
                                         .panel = kPanel,
                                         .weights = weights<kBlock>,
                                         .input = input<kBlock, float>,
                                         .multiply = multiply<kBlock, float>,
                                         .output = output<kBlock>,
                                         .input_bf16 = input<kBlock, std::uint16_t>,
                                         .multiply_bf16 = multiply_bf16<kBlock>};

}  // namespace

const WinogradKernels kWinograd8 = kDefinition<8>, kWinograd16 = kDefinition<16>;

}  // namespace adaface::kernels::reference
