// Boxes of inclusive pixels between the nets of the cascade, in double as the published pipeline keeps them.
#pragma once

#include <array>
#include <vector>

namespace adaface::mtcnn {

struct Candidate {
  double x1, y1, x2, y2;
  float score;
  std::array<float, 4> offsets;     // of x1, y1, x2, y2 in units of the box's width and height
  std::array<float, 10> landmarks;  // O-Net: x1..x5, y1..y5, likewise relative to the box

  double width() const { return x2 - x1 + 1; }
  double height() const { return y2 - y1 + 1; }
};

enum class Overlap { over_union, over_smaller };

// Greedy non-maximum suppression: keeps the highest score, drops what overlaps it by more than `threshold`,
// repeats. Kept candidates come in descending score, equal scores in the published pipeline's
// order. Precondition: no score is NaN.
std::vector<Candidate> suppress(const std::vector<Candidate>& candidates, double threshold, Overlap overlap);

void apply_offsets(Candidate& candidate);
// The square about the centre whose side is the longer one, rounded half to even.
void make_square_and_round(Candidate& candidate);

}  // namespace adaface::mtcnn
