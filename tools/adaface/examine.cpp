#include "tools/adaface/examine.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "tools/adaface/gallery.h"
#include "tools/adaface/pictures.h"

namespace adaface::cli {
namespace {

namespace fs = std::filesystem;

std::string key(const ContentHash& hash) {
  return {hash.begin(), hash.end()};
}

// Shortest texts that read back as the same number: different numbers look different.
template <typename T>
std::string decimals(T value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string rejection(const char* what, const std::string& found, const std::string& least,
                      const char* option) {
  return std::string(what) + " " + found + ", expected at least " + least + " (" + option + ")";
}

double side(const Face& face) {
  return std::min(face.box.x2 - face.box.x1, face.box.y2 - face.box.y1) + 1.0;
}

// The one face to enrol, or why there is none. Faces that are too small or too uncertain are bystanders: they
// neither count nor stand in the way.
std::optional<Face> choose(const std::vector<Face>& found, const EnrollOptions& options, std::string& why) {
  if (found.empty()) {
    why = "no face";
    return std::nullopt;
  }
  std::vector<Face> faces;
  std::ranges::copy_if(found, std::back_inserter(faces),
                       [&](const Face& face) { return side(face) >= options.min_face; });
  if (faces.empty()) {
    // Rounded down: never to the least that would do.
    const double largest = std::floor(side(*std::ranges::max_element(found, {}, side)));
    why = rejection("face of", decimals(largest) + " px", decimals(options.min_face) + " px", "--min-face");
    return std::nullopt;
  }
  const float best = std::ranges::max_element(faces, {}, &Face::score)->score;
  // As a float: a score is accepted by the number that is printed for it.
  const float min_score = static_cast<float>(options.min_score);
  std::erase_if(faces, [&](const Face& face) { return face.score < min_score; });
  if (faces.empty()) {
    why = rejection("score", decimals(best), decimals(min_score), "--min-score");
    return std::nullopt;
  }
  if (faces.size() > 1 && options.faces == "one") {
    why = std::to_string(faces.size()) + " faces, expected one (--faces largest or best chooses)";
    return std::nullopt;
  }
  return select_faces(faces, options.selection(FaceSelection::largest)).front();
}

// An import may not know the hash: then nothing says that the file has changed.
bool is_same_file(const Photograph& stored, const Photograph& now) {
  return stored.hash == now.hash || stored.hash == ContentHash{};
}

// Smaller faces than the least that is wanted are looked for too: a rejection can then say how small.
Options with_default_size(const EnrollOptions& options) {
  Options copy = options;
  copy.min_face = std::min(options.min_face, DetectorOptions{}.min_face);
  return copy;
}

}  // namespace

std::string EnrollOptions::rules(const Weights& detector_weights) const {
  char text[160];
  std::snprintf(text, sizeof text,
                "faces=%s mode=%s min-face=%.9g min-score=%.9g min-norm=%.9g detector=%.16s", faces.c_str(),
                mode.c_str(), min_face, min_score, min_norm, detector_weights.info().weights_sha256.c_str());
  return text;
}

const char* to_string(Action action) {
  switch (action) {
    case Action::enrolled: return "enrolled";
    case Action::replaced: return "replaced";
    case Action::moved: return "moved";
    case Action::unchanged: return "unchanged";
    case Action::kept: return "kept";
    case Action::removed: return "removed";
    case Action::rejected: break;
  }
  return "rejected";
}

Known::Known(std::vector<Photograph> photographs, const std::vector<std::string>& arguments,
             const std::vector<Input>& inputs)
    : photographs_(std::move(photographs)) {
  std::error_code error;
  for (const std::string& argument : arguments)
    if (fs::exists(argument, error)) roots_.push_back(stored_path(argument));
  for (const Input& input : inputs)
    if (input.failure) unseen_.push_back(stored_path(input.path));
  for (std::size_t i = 0; i < photographs_.size(); ++i) {
    by_path_.emplace(photographs_[i].path.native(), i);
    by_hash_.emplace(key(photographs_[i].hash), i);
  }
}

const Photograph* Known::find(const fs::path& path) const {
  const auto found = by_path_.find(path.native());
  return found == by_path_.end() ? nullptr : &photographs_[found->second];
}

const Photograph* Known::claim_moved(const Photograph& photograph) {
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = by_hash_.equal_range(key(photograph.hash));
  for (const bool same_rules : {true, false})
    for (auto at = begin; at != end; ++at) {
      const Photograph& candidate = photographs_[at->second];
      if ((candidate.rules == photograph.rules) == same_rules && is_gone(candidate.path) &&
          claimed_.insert(at->second).second)
        return &candidate;
    }
  return nullptr;
}

bool Known::is_gone(const fs::path& path) const {
  const auto below = [&](const fs::path& root) { return is_below(path, root); };
  std::error_code error;
  return std::ranges::any_of(roots_, below) && std::ranges::none_of(unseen_, below) &&
         !fs::exists(path, error) && !error;
}

std::vector<fs::path> Known::vanished() const {
  std::vector<fs::path> paths;
  for (std::size_t i = 0; i < photographs_.size(); ++i)
    if (!claimed_.contains(i) && is_gone(photographs_[i].path)) paths.push_back(photographs_[i].path);
  std::ranges::sort(paths, {}, &fs::path::native);
  return paths;
}

Examiner::Examiner(const Weights& model, const Weights& detector, const EnrollOptions& options,
                   const std::string& rules, Known& known, int threads)
    : options_(options),
      rules_(rules),
      known_(known),
      engine_(make_engine(model, detector, with_default_size(options), threads)) {}

Examined Examiner::examine(const Input& input, const std::string& identity) {
  if (identity.empty())
    throw Error(ErrorCode::invalid_argument,
                printable(input.path) +
                    ": lies in no folder that could name a person; expected --identity path or stem");
  Examined result;
  const std::vector<std::byte> file = read_file(input.path);
  Photograph& photograph = result.photograph;
  photograph.path = stored_path(input.path);
  photograph.identity = identity;
  photograph.hash = content_hash(file);
  photograph.bytes = file.size();
  photograph.modified_ns = modified_ns(input.path);
  photograph.rules = rules_;
  const Photograph* before = known_.find(photograph.path);
  if (!before) before = known_.claim_moved(photograph);
  if (before) {
    if (before->path != photograph.path || before->identity != identity) result.moved_from = before->path;
    if (before->hash == photograph.hash && before->rules == rules_) {
      photograph.rejection = before->rejection;
      result.stored = true;
      result.action = !photograph.rejection.empty() ? Action::rejected
                      : result.moved_from.empty()   ? Action::unchanged
                                                    : Action::moved;
      return result;
    }
    result.looked_again = is_same_file(*before, photograph);
    if (before->rejection.empty()) result.action = Action::replaced;
  }
  embed(decode_image(file, decode_options(options_), printable(input.path)), result);
  if (before && before->rejection.empty() && result.action == Action::rejected) keep_or_remove(result);
  return result;
}

void Examiner::keep_or_remove(Examined& result) const {
  result.action = result.looked_again && !options_.prune ? Action::kept : Action::removed;
  result.stored = result.action == Action::kept;
}

void Examiner::embed(const Image& image, Examined& result) {
  std::string& why = result.photograph.rejection;
  const auto chosen = [&](const std::vector<Face>& found) {
    const std::optional<Face> face = choose(found, options_, why);
    return face ? std::vector<Face>{*face} : std::vector<Face>();
  };
  const float min_norm = static_cast<float>(options_.min_norm);
  for (const auto& [face, embedding] : engine_.analyze(image, chosen)) {
    if (!(embedding.norm > 0))
      why = "norm " + decimals(embedding.norm) + ", expected more than 0";
    else if (embedding.norm < min_norm)
      why = rejection("norm", decimals(embedding.norm), decimals(min_norm), "--min-norm");
    else
      result.faces.push_back({embedding, face.box, face.score});
  }
  if (!why.empty()) result.action = Action::rejected;
}

}  // namespace adaface::cli
