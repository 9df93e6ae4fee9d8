// 3x3 convolution with stride 1 and padding 1 by minimal filtering: Winograd 1980, Lavin & Gray 2016
// ("Fast Algorithms for Convolutional Neural Networks", section 4.1), in four kernels: weights once, then for
// each image input, multiply, output.
//
// The outputs are divided into tiles of 4x4, 4x2, 2x4 and 2x2. A tile of 4 evaluates the polynomials at the
// points 0, 1, -1, 2, -2 and infinity, a tile of 2 at 0, 1, -1 and infinity only: one set of transformed
// weights serves both, so 14 rows are three tiles of 4 and one of 2 and nothing is computed for naught. With
// tiles of 2 alone the method is F(2x2), with tiles of 4 alone F(4x4).
//
// Layouts, innermost last; "position" is a pair of points (row, column) that the grid uses, in row-major
// order:
//   activations  {channels / block, height, width, block}
//   transformed input V   {position, in_blocks, tiles, block}
//   transformed weights U {position, in_blocks * block, panel} for each panel of output channels, and a cache
//   line
//                         more after each position: strides of whole pages would share cache sets
//   products M            {panel / block, position, tiles, block}
// With bfloat16 arithmetic V holds bfloat16, and U pairs of them: {position, in_blocks * block / 2, panel,
// 2}.
//
// Activations, U, V, M and scratch are aligned to 64 bytes; what belongs to channels need not be.
//
// Functions here have internal linkage on purpose: files compiled for different instruction sets include
// them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace adaface::kernels {

// Tiles along one axis: those of 4 outputs come first.
struct WinogradAxis {
  int four = 0, two = 0;
};

struct WinogradGrid {
  WinogradAxis rows, columns;
  int first_row = 0;  // of the outputs: a grid may cover a band of an image
  // 6, or 4 where the weights were transformed for tiles of 2 alone.
  int row_points = 6, column_points = 6;
};

// How transformed weights lie in memory.
enum class WinogradType : int { f32, f16, bf16 };

// Tiles are numbered so that those that use a position lie together: first 2x4 (rows x columns), then 4x4,
// 4x2, 2x2; within each kind image by image, row by row.
enum WinogradKind : int { kTwoByFour, kFourByFour, kFourByTwo, kTwoByTwo };

static constexpr int winograd_count(const WinogradGrid& grid, int kind) {
  const int rows = kind == kFourByFour || kind == kFourByTwo ? grid.rows.four : grid.rows.two;
  const int columns = kind == kFourByFour || kind == kTwoByFour ? grid.columns.four : grid.columns.two;
  return rows * columns;
}

// Number of the first tile of a kind, of one image.
static constexpr int winograd_first(const WinogradGrid& grid, int kind) {
  int first = 0;
  for (int before = 0; before < kind; ++before) first += winograd_count(grid, before);
  return first;
}

static constexpr int winograd_tiles(const WinogradGrid& grid) {
  return (grid.rows.four + grid.rows.two) * (grid.columns.four + grid.columns.two);
}

static constexpr int winograd_positions(const WinogradGrid& grid) {
  return grid.row_points * grid.column_points;
}

// Of the six points, those that a tile of 2 uses are 0, 1, 2 and 5.
static constexpr int winograd_point(int points, int i) {
  return points == 4 && i == 3 ? 5 : i;
}
static constexpr bool winograd_shared(int point) {
  return point < 3 || point == 5;
}

// The tiles that use a position, of one image: [begin, end).
struct WinogradRange {
  int begin, end;
};
static constexpr WinogradRange winograd_range(const WinogradGrid& grid, int row_point, int column_point) {
  const bool rows = winograd_shared(row_point), columns = winograd_shared(column_point);
  const int begin = rows ? 0 : winograd_first(grid, kFourByFour);
  const int end = rows && columns ? winograd_tiles(grid)
                  : rows          ? winograd_first(grid, kFourByTwo)
                                  : winograd_first(grid, columns ? kTwoByTwo : kFourByTwo);
  return {begin, end};
}

struct WinogradInput {
  WinogradGrid grid;
  int height, width;     // of the image
  int in_blocks, block;  // block: that of the version
  int images, image;     // V holds `images`; this is the one that src belongs to
  int channel_block;     // the one that is transformed
  // Batch norm before the convolution, {block} each, or null: x * scale + shift. The padding's zeros enter
  // after it.
  const float *scale, *shift;
};

struct WinogradOutput {
  WinogradGrid grid;
  int height, width, block;
  int images, image;
  const float* bias;   // {block}
  const float* slope;  // {block}: PReLU after the bias; null: none
  bool add;            // to what dst holds
};

struct WinogradKernels {
  int block;  // channels that lie together
  int panel;  // output channels for which weights lie together: a multiple of block

  // src {rows, in, 3, 3}, rows <= panel, each row times its `scale` {rows} or, null, as it is, to U of one
  // panel; channels past `rows` and `in` become zeros. `type` f16: the caller knows that no transformed
  // weight passes 65504. `keep`: U is for later and need not pass through the cache.
  void (*weights)(const WinogradGrid& grid, const float* src, const float* scale, int rows, int in,
                  int in_blocks, WinogradType type, bool keep, void* dst);

  // One block of channels of one image, src {height, width, block}, into V. `scratch`: winograd_scratch().
  void (*input)(const WinogradInput& shape, const float* src, float* v, float* scratch);

  // M of one panel. Each product is one sum over the input channels in their order, whatever else is computed
  // with it.
  void (*multiply)(const WinogradGrid& grid, int images, int in_blocks, WinogradType type, const void* u,
                   const float* v, float* m);

  // One block of output channels of one image: M {position, tiles, block} to dst {height, width, block}. What
  // tiles give past the image is dropped.
  void (*output)(const WinogradOutput& shape, const float* m, float* dst);

  // The same as `input` and `multiply` with bfloat16 products, summed in float32; null where the CPU has
  // none.
  void (*input_bf16)(const WinogradInput& shape, const float* src, std::uint16_t* v, float* scratch);
  void (*multiply_bf16)(const WinogradGrid& grid, int images, int in_blocks, const void* u,
                        const std::uint16_t* v, float* m);
};

// Bytes of U from one position to the next.
static constexpr std::size_t winograd_position_bytes(int in_blocks, int block, int panel, WinogradType type) {
  const std::size_t elements = static_cast<std::size_t>(in_blocks * block) * static_cast<std::size_t>(panel);
  return elements * (type == WinogradType::f32 ? 4 : 2) + 64;
}

// Floats that `input` needs: six padded rows and their transforms.
static constexpr std::size_t winograd_scratch(int width, int block) {
  return 2 * 6 * (static_cast<std::size_t>(width) + 8) * static_cast<std::size_t>(block);
}

}  // namespace adaface::kernels
