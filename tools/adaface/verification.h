// Verification accuracy as Labeled Faces in the Wild reports it (Huang et al. 2007), ROC and error rates,
// from the similarities of pairs. Pure functions; a pair is called the same person where its similarity is at
// least the threshold. Everything is counted, nothing interpolated.
#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace adaface::cli {

// The similarity of a pair that has none, because a photograph of it has no face: below every threshold, so
// the pair is always called different (the generalised error rates of ISO/IEC 19795-1).
inline constexpr double kNoSimilarity = -std::numeric_limits<double>::infinity();

struct ScoredPair {
  double similarity = kNoSimilarity;
  bool same = false;
  std::size_t fold = 0;
};

// One threshold, on some pairs. An infinite threshold calls no pair the same.
struct OperatingPoint {
  double threshold = std::numeric_limits<double>::infinity();
  double far = 0;  // false accept rate: of the pairs of different people, those called the same
  double tar = 0;  // true accept rate: of the pairs of one person, those called the same
};

struct FoldResult {
  std::size_t pairs = 0;
  double threshold = 0;  // chosen on the other folds
  double accuracy = 0;   // on this one
};

struct Verification {
  std::size_t same = 0, different = 0;  // pairs of each kind
  std::size_t without_similarity = 0;

  std::vector<FoldResult> folds;
  double accuracy = 0;        // mean over the folds
  double deviation = 0;       // sample standard deviation over the folds
  double standard_error = 0;  // deviation / sqrt(folds), what LFW tables give behind +-

  double best_threshold = 0, best_accuracy = 0;  // on all pairs
  // The chance that a pair of one person is more similar than a pair of different people, ties one half
  // (Mann and Whitney 1947). Pairs without similarity rank below all others and tie with one another.
  double auc = 0;
  // In descending threshold: nothing accepted, then one point for each distinct similarity. Ends at (1, 1)
  // unless there are pairs without similarity.
  std::vector<OperatingPoint> roc;
};

// Thresholds are chosen among the distinct similarities; of those with equal accuracy, the highest. Folds are
// numbered from 0 without a gap. Throws Error (invalid_argument) unless there are pairs of both kinds, at
// least two folds, and similarities that are in [-1, 1] or kNoSimilarity.
Verification verify(std::span<const ScoredPair> pairs);

// The greatest TAR with FAR <= far; of the thresholds that give it, the highest.
OperatingPoint operating_point(std::span<const OperatingPoint> roc, double far);

// The same curve without the points that lie inside a horizontal or vertical run.
std::vector<OperatingPoint> corners(std::span<const OperatingPoint> roc);

}  // namespace adaface::cli
