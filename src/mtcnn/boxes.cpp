#include "src/mtcnn/boxes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

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

using Order = std::vector<std::size_t>;

// Sorts order[first, last] by ascending score. Saturated scores are equal by the dozen, and which of them
// goes first decides what it suppresses; so equal scores must come out as from the sort under the published
// pipeline, which is not stable: quicksort about the median of first, middle and last, with insertion sort
// for ranges of up to 16.
void sort_range(const std::vector<Candidate>& candidates, Order& order, std::ptrdiff_t first,
                std::ptrdiff_t last, int depth) {
  constexpr std::ptrdiff_t kInsertion = 15;
  const auto at = [&](std::ptrdiff_t i) -> std::size_t& { return order[static_cast<std::size_t>(i)]; };
  const auto score = [&](std::ptrdiff_t i) { return candidates[at(i)].score; };
  const auto begin = order.begin();
  while (last - first > kInsertion) {
    if (depth-- < 0) {  // keeps hostile scores from costing quadratic time
      std::stable_sort(begin + first, begin + last + 1, [&](std::size_t a, std::size_t b) {
        return candidates[a].score < candidates[b].score;
      });
      return;
    }
    const std::ptrdiff_t middle = first + (last - first) / 2;
    if (score(middle) < score(first)) std::swap(at(middle), at(first));
    if (score(last) < score(middle)) std::swap(at(last), at(middle));
    if (score(middle) < score(first)) std::swap(at(middle), at(first));
    const float pivot = score(middle);
    std::swap(at(middle), at(last - 1));
    std::ptrdiff_t low = first, high = last - 1;
    while (true) {
      while (score(++low) < pivot) {
      }
      while (pivot < score(--high)) {
      }
      if (low >= high) break;
      std::swap(at(low), at(high));
    }
    std::swap(at(low), at(last - 1));
    // The shorter side by recursion, so that the stack stays logarithmic.
    if (low - first < last - low) {
      sort_range(candidates, order, first, low - 1, depth);
      first = low + 1;
    } else {
      sort_range(candidates, order, low + 1, last, depth);
      last = low - 1;
    }
  }
  for (std::ptrdiff_t i = first + 1; i <= last; ++i)
    for (std::ptrdiff_t k = i; k > first && score(k) < score(k - 1); --k) std::swap(at(k), at(k - 1));
}

Order ascending_order(const std::vector<Candidate>& candidates) {
  Order order(candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  sort_range(candidates, order, 0, static_cast<std::ptrdiff_t>(order.size()) - 1,
             2 * std::bit_width(order.size()));
  return order;
}

}  // namespace

std::vector<Candidate> suppress(const std::vector<Candidate>& candidates, double threshold, Overlap overlap) {
  Order order = ascending_order(candidates);
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
