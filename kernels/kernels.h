// What oneDNN does not do: one signature and contract per kernel, in one table. select.cpp starts it with the
// plain C++ of kernels/reference, which defines each result, and overwrites what this CPU does faster. On
// architectures without a folder of their own the definitions are all there is.
//
// Every kernel is a pure function of its arguments; pointers may not overlap unless stated. Float activations
// are in the blocked layout {channels / block, height, width, block}: `block` (16, 8 or 1) channels of one
// pixel lie together, and the last block of a tensor whose channels are not a multiple of it is filled with
// zeros.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/convolution.h"
#include "kernels/pnet.h"
#include "kernels/resize.h"
#include "kernels/winograd.h"

namespace adaface::kernels {

// Rows of a search lie sixteen to a block, four elements of each in turn: a vector of 64 bytes multiplies
// them by four elements of a query, and the memory is read in its order.
inline constexpr std::size_t kDotRows = 16;
// They are unsigned bytes, as one operand of the instruction (VNNI) has to be.
inline constexpr int kDotZero = 128;
constexpr std::size_t dot_offset(std::size_t row, std::size_t i) {
  return i / 4 * 64 + row * 4 + i % 4;
}

struct Kernels {
  // Packs up to kStripRows rows of RGB pixels: dst{3, ceil(width / 4), kStripRows, 4}, zero where there is no
  // pixel.
  void (*pack_strip)(const std::uint8_t* rgb, std::ptrdiff_t stride, int width, int rows, std::uint8_t* dst);

  // Resamples rows [first_row, last_row), multiples of kResizeLanes, of one plane of a strip. dst is packed
  // down the columns: group (row - first_row) / 4 at a multiple of dst_stride, in it four rows of each output
  // in turn. dst_stride is at least four times the outputs rounded up to kResizeLanes.
  void (*resize_across)(const ResizeAxis& axis, const std::uint8_t* src, int first_row, int last_row,
                        std::uint8_t* dst, std::ptrdiff_t dst_stride);

  // Resamples one output row of `lanes` columns, a multiple of kResizeLanes, from `count` groups of rows that
  // lie src_stride apart.
  void (*resize_down)(const ResizeGroup* groups, int count, const std::uint8_t* src,
                      std::ptrdiff_t src_stride, int lanes, std::uint8_t* dst);

  // P-Net over a part of a level. `scratch` holds kPnetScratch floats, all finite. An output depends on the
  // level and its place in it alone, not on the part: the same bits however a level is divided.
  void (*pnet)(const PnetWeights& weights, const PnetPart& part, float* scratch);

  // A convolution and PReLU: see kernels/convolution.h. `scratch` holds convolution_scratch floats where the
  // layer has a transform.
  void (*convolve)(const SmallConvolution& layer, const ConvolutionSize& size, const float* src, float* dst,
                   float* scratch);

  // Max over window x window every 2 pixels, ceil mode: src{height, width, src_channels} of which the first
  // `channels` count, to dst{out height, out width, channels}. dst has room for another kChannelBlock floats.
  void (*pool)(const float* src, int height, int width, int src_channels, int window, int channels,
               float* dst);

  // Bilinear warp of interleaved RGB with zero outside, as OpenCV's 8-bit warpAffine computes it: `inverse`
  // maps crop to image {a, b, tx, c, d, ty}; positions are rounded to 1/32 pixel, weights are integers that
  // sum to 2^15.
  void (*warp_affine)(const std::uint8_t* src, int src_width, int src_height, std::ptrdiff_t src_stride,
                      const double inverse[6], std::uint8_t* dst, int dst_width, int dst_height,
                      std::ptrdiff_t dst_stride);

  // dst = src * scale[channel] + shift[channel] over `blocks` x `pixels` x `block`. dst may be src.
  void (*scale_shift)(const float* src, const float* scale, const float* shift, float* dst, int blocks,
                      int pixels, int block);

  // The same, rounded to bfloat16 (nearest, ties to even); without scale and shift, both null, only rounded.
  void (*to_bf16)(const float* src, const float* scale, const float* shift, std::uint16_t* dst, int blocks,
                  int pixels, int block);

  // data[i] *= slope[channel] where it is negative; in place.
  void (*prelu)(float* data, const float* slope, int blocks, int pixels, int block);

  // dst[o] = bias[o] + sum over i < inputs of weights[o * inputs + i] * src[i], summed in double.
  void (*linear)(const float* src, const float* weights, const float* bias, int inputs, int outputs,
                 float* dst);

  // dst[o] = (sum over i < inputs of rows[o * inputs + i] * src[i]) * scale[o] + bias[o], summed in float32.
  void (*dense)(const float* src, const float* rows, int inputs, int outputs, const float* scale,
                const float* bias, float* dst);

  // dst{blocks, ceil(height / stride), ceil(width / stride)}: every stride-th pixel.
  void (*subsample)(const float* src, int blocks, int height, int width, int block, int stride, float* dst);

  // dst{blocks * block} = mean over pixels.
  void (*global_average)(const float* src, int blocks, int pixels, int block, float* dst);

  // dst = src * gate[channel] + residual; dst may be src or residual.
  void (*gate_add)(const float* src, const float* gate, const float* residual, float* dst, int blocks,
                   int pixels, int block);

  // The first pass of a search: dst[(q * blocks + b) * 16 + r] = sum over i < length of
  // queries[q * length + i] times element i of row r of block b: rows[b * 16 * length + dot_offset(r, i)] -
  // kDotZero. `length` is a multiple of 16, at most 512; elements and queries are in [-127, 127], so no sum
  // passes 512 * 127 * 127 < 2^23. Exact: every version gives the same integers.
  void (*dot_products)(const std::uint8_t* rows, std::size_t blocks, const std::int8_t* queries,
                       std::size_t query_count, std::size_t length, std::int32_t* dst);

  // Does float multiply-adds in registers alone, in proportion to `rounds`, and returns how many: timed, it
  // is what this CPU reaches at best, to compare layers with.
  double (*multiply_adds)(int rounds);
  // The same of bfloat16 factors and float sums; without an instruction for it, what float factors reach.
  double (*multiply_adds_bf16)(int rounds);

  // The exclusive or of all words, which takes hardly more than reading them: timed, it is the bandwidth of
  // wherever src lies. `from_memory` chooses what is fastest from there.
  std::uint64_t (*read_words)(const std::uint64_t* src, std::size_t count, bool from_memory);
};

// The table for this CPU. Capped by the environment variable ADAFACE_MAX_ISA (reference, sse41, avx2,
// avx512 without its extensions VNNI and BF16; in any case), read once; a name that this CPU has no versions
// for caps nothing.
const Kernels& select();

// What it was chosen for: "reference", "sse41", "avx2", "avx512", the last with " vnni" and " bf16" where
// this CPU has them.
const char* instruction_sets();

// The value of ADAFACE_MAX_ISA where it is none of those above, and so caps nothing; else "".
const char* unknown_cap();

// The definitions, on every CPU.
const Kernels& definitions();

// The Winograd kernels (winograd.h) of this CPU for activations in blocks of 8 or 16 channels, under the same
// cap; null: none is faster than a direct convolution.
const WinogradKernels* winograd(int block);

// Their definitions, on every CPU: the layouts of the versions for blocks of 8 or 16.
const WinogradKernels& winograd_definition(int block);

}  // namespace adaface::kernels
