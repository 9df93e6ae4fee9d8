// Pillow's 8-bit bilinear resize on a device, bit for bit src/image/resize.h: weights of 22 fraction bits
// from the same operations in double, the horizontal pass first, rounded to 8 bits between the passes. Any
// number of resizes of one picture, levels of a pyramid as well as crops of candidates, are three launches.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/picture.h"

namespace adaface::kernels::cuda {

// One resize. The caller fills in the window and the size; lay_out the rest.
struct ResizeJob {
  // Of the picture; it may reach outside, where it is zero, but has pixels inside. Sides are 1 to 2^20, its
  // corner within as much of the picture's.
  int left, top, width, height;
  int out_width, out_height;  // 1 to 65535

  // Where its parts lie: elements from the beginning of each kind of memory. The result is {out_height,
  // out_width} words at `result`.
  std::int64_t spans, weights, between, result;
  int first_row, rows;         // of the picture, that the window covers
  int column_taps, row_taps;   // room for the weights of one output
  int log_lanes;               // 2^this threads share the sum of one output of the horizontal pass
  int log_across, log_down;    // 2^this threads stand side by side in a block
  int wide_across, wide_down;  // blocks side by side
  unsigned first_block[3];     // of the tables, of the horizontal and of the vertical pass
};

// The taps of one output: `count` pixels from `first` on.
struct ResizeSpan {
  int first, count;
};

// What all jobs of a call take together.
struct ResizeRoom {
  std::size_t spans = 0, weights = 0, between = 0, result = 0;  // elements
  unsigned blocks[3] = {};
};

struct ResizeMemory {
  ResizeSpan* spans;
  std::int32_t* weights;
  std::uint32_t* between;  // words after the horizontal pass
  std::uint32_t* results;
};

// Adds a job behind those that `room` has counted. On the host.
void lay_out(ResizeJob& job, int picture_width, int picture_height, ResizeRoom& room);

// `jobs`, of device memory, are `count` >= 1 that `room` has counted, in their order.
Status resize(const Picture& picture, const ResizeJob* jobs, int count, const ResizeRoom& room,
              const ResizeMemory& memory, cudaStream_t stream);

}  // namespace adaface::kernels::cuda
