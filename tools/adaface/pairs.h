// Lists of pairs of photographs, of one person or of two, for `adaface evaluate`.
#pragma once

#include <cstddef>
#include <filesystem>
#include <vector>

namespace adaface::cli {

struct PhotographPair {
  std::size_t a = 0, b = 0;  // in PairList::photographs
  bool same = false;
  std::size_t fold = 0;
};

struct PairList {
  std::vector<std::filesystem::path>
      photographs;                    // each once, below the directory, in order of first mention
  std::vector<PhotographPair> pairs;  // of both kinds, at least two of each
  std::size_t folds = 0;
  bool own_folds = false;  // the list divides its pairs itself; else those of each kind were dealt in turn
};

// Recognised by content:
//
// LFW's pairs.txt: a header of "sets pairs" or "pairs" (no sets), then "name i j" for one person and
// "name_a i name_b j" for two, between tabs or blanks; as many of each kind as the header says, set by set.
// The photograph is name/name_0001.jpg, or .jpeg, .png, .bmp where that is what exists. Of names that do not
// exist, the .jpg is listed.
//
// A plain list: "a b 1" for one person, "a b 0" for two; paths below `images`, or absolute; names that hold
// blanks in double quotes (\" and \\ inside), or fields between tabs, taken as they are. Blank lines and
// lines that begin with # do not count.
//
// Without sets, pairs of each kind are dealt in turn to 10 folds, or as many as there are pairs of the rarer
// kind.
//
// Throws Error: not_found, io, limit (more than 64 MiB), corrupt; messages name file and line.
PairList read_pairs(const std::filesystem::path& list, const std::filesystem::path& images);

}  // namespace adaface::cli
