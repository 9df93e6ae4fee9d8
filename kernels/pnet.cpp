#include "kernels/pnet.h"

namespace adaface::kernels {

void pnet_transform(const float* weights, int in, int out, float* transformed) {
  constexpr double kG[kPnetFilter][3] = {{1.0 / 4, 0, 0},
                                         {-1.0 / 6, -1.0 / 6, -1.0 / 6},
                                         {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                         {1.0 / 24, 1.0 / 12, 1.0 / 6},
                                         {1.0 / 24, -1.0 / 12, 1.0 / 6},
                                         {0, 0, 1}};
  const int group = pnet_group(out);
  for (int first = 0; first < out; first += group)
    for (int u = 0; u < kPnetFilter; ++u)
      for (int c = 0; c < in; ++c)
        for (int column = 0; column < 3; ++column)
          for (int o = first; o < first + group; ++o) {
            double sum = 0;
            for (int row = 0; row < 3; ++row)
              sum += kG[u][row] * static_cast<double>(weights[((o * in + c) * 3 + row) * 3 + column]);
            *transformed++ = static_cast<float>(sum);
          }
}

}  // namespace adaface::kernels
