// P-Net (Zhang et al. 2016, figure 2) over all levels of a pyramid in one launch, in float32: thresholds
// decide which proposals exist, so nothing is rounded to fewer bits. Proposals come in any order; their keys
// restore the one of levels, rows and columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda.h"

namespace adaface::kernels::cuda {

// All weights, one array; each part begins at a multiple of four floats.
struct PnetLayout {
  static constexpr int kConv1 = 0;                     // {3, 9 taps, 12}: 10 channels
  static constexpr int kConv2 = kConv1 + 3 * 9 * 12;   // {10, 9, 16}
  static constexpr int kConv3 = kConv2 + 10 * 9 * 16;  // {16, 9, 32}
  static constexpr int kHeads = kConv3 + 16 * 9 * 32;  // {6, 32}
  static constexpr int kBias1 = kHeads + 6 * 32;       // {12}, as the slopes of PReLU
  static constexpr int kSlope1 = kBias1 + 12;
  static constexpr int kBias2 = kSlope1 + 12;  // {16}
  static constexpr int kSlope2 = kBias2 + 16;
  static constexpr int kBias3 = kSlope2 + 16;  // {32}
  static constexpr int kSlope3 = kBias3 + 32;
  static constexpr int kHeadBias = kSlope3 + 32;  // {8}: 6
  static constexpr int kFloats = kHeadBias + 8;
};

// Cells that a block computes.
inline constexpr int kPnetTileRows = 16, kPnetTileColumns = 32;

struct PnetLevel {
  int width, height;    // of the resized picture
  int rows, columns;    // of cells, at least 1
  int number;           // of the level in keys, below 2^16
  std::int64_t pixels;  // its first word among the pixels: {height, width}
  std::int64_t cells;   // its first cell among those of all levels
  // Of the launches over tiles and over rows of cells; see lay_out.
  unsigned first_block, first_row;
};

struct PnetRoom {
  std::int64_t cells = 0;
  unsigned blocks = 0, rows = 0;
};

struct Proposal {
  std::uint64_t key;  // level << 48 | row << 24 | column
  float values[2];    // the logits of no face and face; of propose_by_rows the score, and 0
  float offsets[4];
};

// `count` goes on counting where `capacity` ends: then the list lacks some, and a run with room for `count`
// finds them.
struct ProposalList {
  std::uint64_t* count;  // 0 before the first launch that adds to the list
  Proposal* proposals;
  std::uint64_t capacity;
};

// For propose_by_rows, of every cell: the logit of a face, and the offsets {cells, 4}.
struct PnetPlanes {
  float* face;
  float* offsets;
};

// Adds a level behind those that `room` has counted: fills in cells, first_block and first_row. On the host.
void lay_out(PnetLevel& level, PnetRoom& room);

// Once for each device.
Status prepare_pnet();

// Proposes every cell whose logits differ by more than `least` (face less no face). `levels`, of device
// memory, are `count` >= 1 that `room` has counted.
Status propose(const float* weights, const PnetLevel* levels, int count, const PnetRoom& room,
               const std::uint32_t* pixels, float least, const ProposalList& list, cudaStream_t stream);

// Fills the planes, and proposes from them by the published softmax over the columns of a row: every cell
// whose share of its row's sum of exponentials is above `threshold`. Summed in double, in an order of its
// own.
Status propose_by_rows(const float* weights, const PnetLevel* levels, int count, const PnetRoom& room,
                       const std::uint32_t* pixels, float threshold, const PnetPlanes& planes,
                       const ProposalList& list, cudaStream_t stream);

}  // namespace adaface::kernels::cuda
