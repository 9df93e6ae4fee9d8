#include "src/mtcnn/boxes.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace adaface::mtcnn {
namespace {

double area(const Candidate& c) {
  return c.width() * c.height();
}

double overlap_of(const Candidate& a, const Candidate& b, Overlap overlap) {
  const double width = std::max(0.0, std::min(a.x2, b.x2) - std::max(a.x1, b.x1) + 1);
  const double height = std::max(0.0, std::min(a.y2, b.y2) - std::max(a.y1, b.y1) + 1);
  const double both = width * height;
  return overlap == Overlap::over_smaller ? both / std::min(area(a), area(b))
                                          : both / (area(a) + area(b) - both);
}

}  // namespace

std::vector<Candidate> suppress(const std::vector<Candidate>& candidates, double threshold, Overlap overlap) {
  std::vector<std::size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return candidates[i].score; });
  std::ranges::reverse(order);
  std::vector<Candidate> kept;
  while (!order.empty()) {
    const Candidate& best = candidates[order.front()];
    kept.push_back(best);
    order.erase(order.begin());
    std::erase_if(order, [&](std::size_t i) { return overlap_of(best, candidates[i], overlap) > threshold; });
  }
  return kept;
}

void apply_offsets(Candidate& c) {
  const double width = c.width(), height = c.height();
  c.x1 += width * c.offsets[0];
  c.y1 += height * c.offsets[1];
  c.x2 += width * c.offsets[2];
  c.y2 += height * c.offsets[3];
}

void make_square_and_round(Candidate& c) {
  const double width = c.width(), height = c.height(), side = std::max(width, height);
  const double x1 = c.x1 + width * 0.5 - side * 0.5, y1 = c.y1 + height * 0.5 - side * 0.5;
  // nearbyint rounds halves to even in the default rounding mode
  c.x1 = std::nearbyint(x1);
  c.y1 = std::nearbyint(y1);
  c.x2 = std::nearbyint(x1 + side - 1);
  c.y2 = std::nearbyint(y1 + side - 1);
}

}  // namespace adaface::mtcnn
