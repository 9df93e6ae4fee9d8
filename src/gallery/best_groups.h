// The best row of each of the best groups among those offered, in any order of offering.
#pragma once

#include <limits>
#include <set>
#include <unordered_map>
#include <vector>

#include "src/gallery.hpp"

namespace adaface::search {

// The order of results.
inline bool before(const Match& a, const Match& b) {
  return a.similarity != b.similarity ? a.similarity > b.similarity : a.row < b.row;
}

class BestGroups {
 public:
  // k >= 1
  explicit BestGroups(std::size_t k) : k_(k) {}

  // No row below this can change what is kept; one that equals it can, if it is an earlier row.
  double threshold() const {
    return ranked_.size() < k_ ? -std::numeric_limits<double>::infinity()
                               : ranked_.rbegin()->match.similarity;
  }

  void offer(const Match& match, std::size_t group) {
    const bool full = ranked_.size() == k_;
    if (full && !before(match, ranked_.rbegin()->match)) return;
    const auto known = groups_.find(group);
    if (known != groups_.end()) {
      if (!before(match, known->second)) return;
      ranked_.erase({known->second, group});
      known->second = match;
    } else {
      if (full) {
        const auto last = std::prev(ranked_.end());
        groups_.erase(last->group);
        ranked_.erase(last);
      }
      groups_.emplace(group, match);
    }
    ranked_.insert({match, group});
  }

  void offer_all(const BestGroups& other) {
    for (const Entry& entry : other.ranked_) offer(entry.match, entry.group);
  }

  std::vector<Match> matches() const {
    std::vector<Match> out;
    out.reserve(ranked_.size());
    for (const Entry& entry : ranked_) out.push_back(entry.match);
    return out;
  }

 private:
  struct Entry {
    Match match;
    std::size_t group;
    friend bool operator<(const Entry& a, const Entry& b) { return before(a.match, b.match); }
  };
  std::size_t k_;
  std::set<Entry> ranked_;
  std::unordered_map<std::size_t, Match> groups_;  // of those in ranked_
};

}  // namespace adaface::search
