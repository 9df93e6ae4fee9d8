#include <algorithm>

#include "kernels/kernels.h"

namespace adaface::kernels {
namespace {

constexpr double kG[kWinogradTaps][3] = {{1.0 / 4, 0, 0},
                                         {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                         {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                         {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                         {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                         {0, 0, 1}};

}  // namespace

void winograd_transform(const float* weights, int in, int out, float* transformed) {
  const int blocks = (out + kChannelBlock - 1) / kChannelBlock, taps = kWinogradTaps * kWinogradTaps;
  std::fill_n(transformed, static_cast<std::size_t>(blocks * taps * in * kChannelBlock), 0.0f);
  for (int o = 0; o < out; ++o)
    for (int c = 0; c < in; ++c)
      for (int u = 0; u < kWinogradTaps; ++u)
        for (int v = 0; v < kWinogradTaps; ++v) {
          double sum = 0;
          for (int row = 0; row < 3; ++row)
            for (int column = 0; column < 3; ++column)
              sum += kG[u][row] * kG[v][column] *
                     static_cast<double>(weights[((o * in + c) * 3 + row) * 3 + column]);
          transformed[((o / kChannelBlock * taps + u * kWinogradTaps + v) * in + c) * kChannelBlock +
                      o % kChannelBlock] = static_cast<float>(sum);
        }
}

void pnet_transform(const float* weights, float* transformed) {
  constexpr int kIn = kPnetChannels[0], kOut = kPnetChannels[1];
  for (int u = 0; u < kWinogradTaps; ++u)
    for (int c = 0; c < kIn; ++c)
      for (int column = 0; column < 3; ++column)
        for (int o = 0; o < kOut; ++o) {
          double sum = 0;
          for (int row = 0; row < 3; ++row)
            sum += kG[u][row] * static_cast<double>(weights[((o * kIn + c) * 3 + row) * 3 + column]);
          *transformed++ = static_cast<float>(sum * 0.0078125);
        }
}

}  // namespace adaface::kernels
