// From a photograph to what a gallery stores of it: its one face, or why it has none.
#pragma once

#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "src/gallery.hpp"
#include "tools/adaface/inputs.h"
#include "tools/adaface/options.h"

namespace adaface::cli {

struct EnrollOptions : Options {
  std::string gallery, identity = "folder";
  double min_score = 0, min_norm = 0;
  bool prune = false;

  // What decides whether a photograph gives a face, and which.
  std::string rules(const Weights& detector) const;
};

// What one photograph comes to. `rejected`: it gives no face, and the gallery had none of it; `kept`: the
// same, but the gallery has a face of this very file, found under other rules, and keeps it; `removed`: the
// face that the gallery had is taken out, since the file is another now, or with --prune.
enum class Action { enrolled, replaced, moved, unchanged, kept, removed, rejected };
inline constexpr std::size_t kActions = 7;

const char* to_string(Action action);

// What one photograph comes to.
struct Examined {
  Action action = Action::enrolled;
  Photograph photograph;  // rejection: also where what is stored is kept
  std::vector<FaceRecord> faces;
  std::filesystem::path moved_from;  // not empty: the gallery has it under this path, or another person
  bool stored = false;               // but for that, the gallery holds this already, or keeps what it has
  bool looked_again = false;         // known, and the same file: only the rules are others
};

// What the gallery knew before this run.
class Known {
 public:
  Known(std::vector<Photograph> photographs, const std::vector<std::string>& arguments,
        const std::vector<Input>& inputs);

  const Photograph* find(const std::filesystem::path& path) const;
  // A photograph of the same content whose file is gone, if possible one that was examined under the same
  // rules; each is given out once. Thread-safe.
  const Photograph* claim_moved(const Photograph& photograph);
  // Those whose files are gone and that were not claimed, in byte order of the path.
  std::vector<std::filesystem::path> vanished() const;

 private:
  // Only what lay below a directory that this run could read can be known to be gone: a disk that is not
  // mounted proves nothing.
  bool is_gone(const std::filesystem::path& path) const;

  std::vector<std::filesystem::path> roots_, unseen_;
  std::vector<Photograph> photographs_;
  std::unordered_map<std::string, std::size_t> by_path_;
  std::unordered_multimap<std::string, std::size_t> by_hash_;
  std::set<std::size_t> claimed_;
  std::mutex mutex_;
};

// Detector and embedder of one thread, and what the gallery knows. `options`, `rules` and `known` must
// outlive it.
class Examiner {
 public:
  Examiner(const Weights& model, const Weights& detector, const EnrollOptions& options,
           const std::string& rules, Known& known, int threads);

  // Throws Error for a photograph that cannot be read.
  Examined examine(const Input& input, const std::string& identity);

 private:
  void embed(const Image& image, Examined& result);
  // Of a photograph that gives no face, and of which the gallery has one.
  void keep_or_remove(Examined& result) const;

  const EnrollOptions& options_;
  const std::string& rules_;
  Known& known_;
  Engine engine_;
};

}  // namespace adaface::cli
