// What identifies a run of bench: the keys that its JSON lines have in common.
#pragma once

#include <string>
#include <vector>

#include "tools/adaface/json.h"

namespace adaface::cli {

// What it was measured with: {"version", "kernels", "onednn", "onednn_isa", "cpu", "cpus", "caps"}, and for a
// CUDA device "cuda". "cpu" is null where the system does not name it, as is a cap that is not set.
Json bench_context(const Device& device);

// In words, for the heading of a text: `run` is {"net" and "batch", or "width" and "height", ..., "threads",
// "repetitions"}.
std::string run_text(const Json& run);
std::string context_text(const Json& context);

// An earlier run, to compare with: the lines of a file that `adaface bench --json` wrote.
class Against {
 public:
  // Throws UsageError for what cannot be read, or was not written so.
  explicit Against(const std::string& path);

  // The file's last line of the same kind ("bench"), and layer, that was measured alike. Throws UsageError,
  // with what is otherwise, where there is none.
  const Json& line_like(const Json& line) const;
  // On standard error: what of the context, the number of repetitions or the picture's name, is otherwise.
  void warn(const Json& line, const Json& context) const;
  // line[key][statistic] as a multiple of that of the file's line. Throws UsageError where that has none.
  double ratio(const Json& line, const char* key, const char* statistic) const;
  // {"min", "median"} of them.
  Json ratios(const Json& line, const char* key) const;

 private:
  [[noreturn]] void refuse(const std::string& reason) const;

  std::string name_;
  std::vector<Json> lines_;
};

}  // namespace adaface::cli
