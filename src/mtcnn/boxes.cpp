#include "src/mtcnn/boxes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <unordered_map>
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
      const auto less = [&](std::size_t a, std::size_t b) {
        return candidates[a].score < candidates[b].score;
      };
      std::make_heap(begin + first, begin + last + 1, less);
      std::sort_heap(begin + first, begin + last + 1, less);
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

// Boxes by place, so that a crowd does not cost the square of its size: each lies in the one to four cells
// that it touches of a grid whose cells are as large as the box, up to a power of two.
class BoxIndex {
 public:
  void add(const Candidate& box) {
    const std::size_t which = boxes_.size();
    boxes_.push_back(box);
    if (!has_place(box)) return everywhere_.push_back(which);
    Grid& grid = grids_[static_cast<std::size_t>(level(box))];
    grid.boxes.push_back(which);
    const Cells cells = touched(box, level(box));
    for (std::int64_t y = cells.y1; y <= cells.y2; ++y)
      for (std::int64_t x = cells.x1; x <= cells.x2; ++x) grid.cells[key(x, y)].push_back(which);
  }

  // Whether any box overlaps `box` by more than `threshold` >= 0.
  bool overlaps(const Candidate& box, double threshold, Overlap overlap) const {
    const auto any = [&](const std::vector<std::size_t>& places) {
      return std::ranges::any_of(
          places, [&](std::size_t i) { return overlap_of(boxes_[i], box, overlap) > threshold; });
    };
    if (any(everywhere_)) return true;
    const bool placed = has_place(box);
    for (int k = 0; k < kLevels; ++k) {
      const Grid& grid = grids_[static_cast<std::size_t>(k)];
      if (grid.boxes.empty()) continue;
      const Cells cells = placed ? touched(box, k) : Cells{};
      const auto count = static_cast<std::uint64_t>((cells.x2 - cells.x1 + 1) * (cells.y2 - cells.y1 + 1));
      if (!placed || count > grid.boxes.size()) {
        if (any(grid.boxes)) return true;
        continue;
      }
      for (std::int64_t y = cells.y1; y <= cells.y2; ++y)
        for (std::int64_t x = cells.x1; x <= cells.x2; ++x) {
          const auto cell = grid.cells.find(key(x, y));
          if (cell != grid.cells.end() && any(cell->second)) return true;
        }
    }
    return false;
  }

 private:
  static constexpr int kLevels = 24;
  static constexpr double kFar = 1 << (kLevels - 2);

  struct Cells {
    std::int64_t x1 = 0, y1 = 0, x2 = -1, y2 = -1;
  };
  struct Grid {
    std::vector<std::size_t> boxes;
    std::unordered_map<std::uint64_t, std::vector<std::size_t>> cells;
  };

  // False for what only broken weights give: not finite, far away, or turned inside out.
  static bool has_place(const Candidate& box) {
    return std::abs(box.x1) < kFar && std::abs(box.y1) < kFar && box.width() >= 0 && box.width() < kFar &&
           box.height() >= 0 && box.height() < kFar;
  }
  static int level(const Candidate& box) {
    const auto side = static_cast<std::uint64_t>(std::max(box.width(), box.height()));
    return std::min(static_cast<int>(std::bit_width(side)), kLevels - 1);
  }
  static Cells touched(const Candidate& box, int level) {
    const auto cell = [&](double at) { return static_cast<std::int64_t>(std::floor(at)) >> level; };
    return {cell(box.x1), cell(box.y1), cell(box.x2 + 1), cell(box.y2 + 1)};
  }
  static std::uint64_t key(std::int64_t x, std::int64_t y) {
    return static_cast<std::uint64_t>(x) << 32 ^ (static_cast<std::uint64_t>(y) & 0xffffffff);
  }

  std::vector<Candidate> boxes_;
  std::vector<std::size_t> everywhere_;
  std::array<Grid, kLevels> grids_;
};

}  // namespace

std::vector<Candidate> suppress(const std::vector<Candidate>& candidates, double threshold, Overlap overlap) {
  Order order = ascending_order(candidates);
  std::ranges::reverse(order);
  std::vector<Candidate> kept;
  BoxIndex index;
  for (std::size_t i : order) {
    if (index.overlaps(candidates[i], threshold, overlap)) continue;
    kept.push_back(candidates[i]);
    index.add(candidates[i]);
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
