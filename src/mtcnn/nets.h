// The three networks of Zhang et al. 2016 (figure 2), with the widths of the released weights.
#pragma once

#include "src/nn/network.h"
#include "weights/afw.h"

namespace adaface::mtcnn {

// P-Net sees a window of 12 pixels every 2 pixels.
inline constexpr int kWindow = 12;
inline constexpr int kCellStride = 2;
inline constexpr int kRnetSize = 24;
inline constexpr int kOnetSize = 48;

// Input rows that give `cells` rows of P-Net output, and the reverse (pooling in ceil mode).
constexpr int pnet_input_size(int cells) {
  return kCellStride * cells + 10;
}
constexpr int pnet_cells(int size) {
  return (size - 2 + 1) / 2 - 4;
}

// Inputs are RGB planes, (v - 127.5) / 128. Outputs, a pixel: the logits of no face and face, then the box
// offsets.
nn::Network describe_pnet(const weights::AfwFile& file, int cells);  // {6,cells,cells}
nn::Network describe_rnet(const weights::AfwFile& file);             // {6,1,1}
nn::Network describe_onet(const weights::AfwFile& file);             // {16,1,1}: and ten landmark coordinates

}  // namespace adaface::mtcnn
