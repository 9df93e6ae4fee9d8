#include "tools/adaface/verification.h"

#include <algorithm>
#include <cmath>

#include "src/error.hpp"

namespace adaface::cli {
namespace {

struct Best {
  double threshold = std::numeric_limits<double>::infinity();
  std::size_t correct = 0;
};

// `sorted` in descending similarity. Walks down the thresholds: each pair that becomes "same" is one more
// right answer, or one fewer. `counts`: which pairs take part. Infinite where none of those has a similarity.
template <typename Counts>
Best best_threshold(std::span<const ScoredPair> sorted, Counts counts) {
  std::size_t correct = 0;
  bool any = false;
  for (const ScoredPair& pair : sorted) correct += counts(pair) && !pair.same;
  Best best{.correct = correct};
  for (std::size_t i = 0; i < sorted.size() && sorted[i].similarity != kNoSimilarity;) {
    const double threshold = sorted[i].similarity;
    bool candidate = false;
    for (; i < sorted.size() && sorted[i].similarity == threshold; ++i) {
      if (!counts(sorted[i])) continue;
      candidate = true;
      sorted[i].same ? ++correct : --correct;
    }
    if (candidate && (!any || correct > best.correct)) {
      best = {threshold, correct};
      any = true;
    }
  }
  return best;
}

void check(std::span<const ScoredPair> pairs, const Verification& result) {
  const auto fail = [](const std::string& what) { throw Error(ErrorCode::invalid_argument, what); };
  if (result.same == 0 || result.different == 0)
    fail(std::to_string(result.same) + " pairs of the same person and " + std::to_string(result.different) +
         " of different people, expected both");
  if (result.folds.size() < 2)
    fail(std::to_string(result.folds.size()) + " folds of pairs, expected at least 2");
  for (const FoldResult& fold : result.folds)
    if (fold.pairs == 0) fail("a fold without pairs");
  for (const ScoredPair& pair : pairs)
    if (pair.similarity != kNoSimilarity && !(pair.similarity >= -1 && pair.similarity <= 1))
      fail("a similarity of " + std::to_string(pair.similarity) + ", expected -1 to 1");
}

void cross_validate(std::span<const ScoredPair> sorted, Verification& result) {
  for (std::size_t k = 0; k < result.folds.size(); ++k) {
    FoldResult& fold = result.folds[k];
    fold.threshold = best_threshold(sorted, [k](const ScoredPair& pair) { return pair.fold != k; }).threshold;
    std::size_t correct = 0;
    for (const ScoredPair& pair : sorted)
      correct += pair.fold == k && (pair.similarity >= fold.threshold) == pair.same;
    fold.accuracy = static_cast<double>(correct) / static_cast<double>(fold.pairs);
    result.accuracy += fold.accuracy;
  }
  const double count = static_cast<double>(result.folds.size());
  result.accuracy /= count;
  double squares = 0;
  for (const FoldResult& fold : result.folds)
    squares += (fold.accuracy - result.accuracy) * (fold.accuracy - result.accuracy);
  result.deviation = std::sqrt(squares / (count - 1));
  result.standard_error = result.deviation / std::sqrt(count);
}

// The curve and the area below it. `wins` counts pairs of pairs twice, so that a tie is 1: exact up to 2^53.
void trace(std::span<const ScoredPair> sorted, Verification& result) {
  const double same = static_cast<double>(result.same), different = static_cast<double>(result.different);
  std::size_t accepted_same = 0, accepted_different = 0;
  double wins = 0;
  result.roc.push_back({});
  for (std::size_t i = 0; i < sorted.size();) {
    const double threshold = sorted[i].similarity;
    std::size_t tied_same = 0, tied_different = 0;
    for (; i < sorted.size() && sorted[i].similarity == threshold; ++i)
      ++(sorted[i].same ? tied_same : tied_different);
    // Different pairs of this similarity lose to the same pairs above, and tie with those beside them.
    wins += static_cast<double>(tied_different) * static_cast<double>(2 * accepted_same + tied_same);
    accepted_same += tied_same;
    accepted_different += tied_different;
    if (threshold != kNoSimilarity)
      result.roc.push_back({threshold, static_cast<double>(accepted_different) / different,
                            static_cast<double>(accepted_same) / same});
  }
  result.auc = wins / (2 * same * different);
}

}  // namespace

Verification verify(std::span<const ScoredPair> pairs) {
  Verification result;
  for (const ScoredPair& pair : pairs) {
    ++(pair.same ? result.same : result.different);
    result.without_similarity += pair.similarity == kNoSimilarity;
    if (pair.fold >= pairs.size()) throw Error(ErrorCode::invalid_argument, "a fold without pairs");
    if (pair.fold >= result.folds.size()) result.folds.resize(pair.fold + 1);
    ++result.folds[pair.fold].pairs;
  }
  check(pairs, result);
  std::vector<ScoredPair> sorted(pairs.begin(), pairs.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const ScoredPair& a, const ScoredPair& b) { return a.similarity > b.similarity; });
  cross_validate(sorted, result);
  const Best best = best_threshold(sorted, [](const ScoredPair&) { return true; });
  result.best_threshold = best.threshold;
  result.best_accuracy = static_cast<double>(best.correct) / static_cast<double>(pairs.size());
  trace(sorted, result);
  return result;
}

OperatingPoint operating_point(std::span<const OperatingPoint> roc, double far) {
  OperatingPoint found;
  for (const OperatingPoint& point : roc)
    if (point.far <= far && point.tar > found.tar) found = point;
  return found;
}

std::vector<OperatingPoint> corners(std::span<const OperatingPoint> roc) {
  std::vector<OperatingPoint> out;
  for (std::size_t i = 0; i < roc.size(); ++i) {
    const bool inside = i > 0 && i + 1 < roc.size() &&
                        ((roc[i - 1].far == roc[i].far && roc[i].far == roc[i + 1].far) ||
                         (roc[i - 1].tar == roc[i].tar && roc[i].tar == roc[i + 1].tar));
    if (!inside) out.push_back(roc[i]);
  }
  return out;
}

}  // namespace adaface::cli
