#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "tools/adaface/batch.h"
#include "tools/adaface/examine.h"
#include "tools/adaface/gallery.h"
#include "tools/adaface/json.h"
#include "tools/adaface/pictures.h"
#include "tools/adaface/verbs.h"
#include "tools/command_line.h"

namespace adaface::cli {
namespace {

namespace fs = std::filesystem;

std::string identity_of(const Input& input, const std::string& rule) {
  return cli::identity_of(stored_path(input.path), input.relative, rule);
}

// What happened, in the order in which it did.
struct Tally {
  using Reasons = std::vector<std::pair<fs::path, std::string>>;

  std::size_t counts[kActions] = {};
  Reasons kept, removed, rejected, failed;
  std::vector<fs::path> vanished;
  std::size_t pruned = 0, looked_again = 0;

  std::size_t of(Action action) const { return counts[static_cast<int>(action)]; }

  void add(const Examined& examined) {
    ++counts[static_cast<int>(examined.action)];
    looked_again += examined.looked_again;
    const auto& [path, reason] = std::pair(examined.photograph.path, examined.photograph.rejection);
    if (examined.action == Action::kept) kept.emplace_back(path, reason);
    if (examined.action == Action::removed)
      removed.emplace_back(path, reason + (examined.looked_again ? "" : "; the file has changed"));
    if (examined.action == Action::rejected) rejected.emplace_back(path, reason);
  }
};

void print_photograph(const Examined& examined) {
  const Photograph& photograph = examined.photograph;
  Json line = {{"file", photograph.path.native()},
               {"identity", photograph.identity},
               {"action", to_string(examined.action)}};
  if (!photograph.rejection.empty()) line["reason"] = photograph.rejection;
  if (!examined.faces.empty()) {
    const FaceRecord& face = examined.faces.front();
    line["box"] = to_json(face.box);
    line["score"] = decimal(face.score);
    line["norm"] = decimal(face.embedding.norm);
  }
  print_line(line);
}

void print_list(const char* title, const Tally::Reasons& list) {
  if (list.empty()) return;
  std::printf("%s\n", title);
  for (const auto& [path, reason] : list)
    std::printf("  %s: %s\n", printable(path).c_str(), printable(reason).c_str());
}

// `gallery` is null where there was nothing to store and none was there.
void print_summary(const EnrollOptions& options, const Gallery* gallery, const Tally& tally) {
  std::size_t people = 0, photographs = 0;
  for (const Person& person : gallery ? gallery->people() : std::vector<Person>()) {
    people += person.photographs > 0;
    photographs += person.photographs;
  }
  if (options.json) {
    Json vanished = Json::array();
    for (const fs::path& path : tally.vanished) vanished.push_back(path.native());
    print_line({{"gallery", options.gallery},
                {"people", people},
                {"photographs", photographs},
                {"enrolled", tally.of(Action::enrolled)},
                {"replaced", tally.of(Action::replaced)},
                {"moved", tally.of(Action::moved)},
                {"unchanged", tally.of(Action::unchanged)},
                {"kept", tally.of(Action::kept)},
                {"removed", tally.of(Action::removed)},
                {"rejected", tally.of(Action::rejected)},
                {"failed", tally.failed.size()},
                {"looked_again", tally.looked_again},
                {"vanished", vanished},
                {"pruned", tally.pruned}});
    return;
  }
  print_list("Refused:", tally.rejected);
  print_list("Kept although these rules refuse them (--prune removes them):", tally.kept);
  print_list("Removed:", tally.removed);
  if (!tally.vanished.empty()) {
    std::printf("%s\n", options.prune ? "Gone, and removed from the gallery:"
                                      : "Gone, but still in the gallery (--prune removes them):");
    for (const fs::path& path : tally.vanished) std::printf("  %s\n", printable(path).c_str());
  }
  if (options.quiet) return;
  if (tally.looked_again > 0)
    std::printf("%zu looked at again: known under other rules\n", tally.looked_again);
  // Every input is in one of these.
  std::printf(
      "%zu enrolled, %zu replaced, %zu moved, %zu unchanged, %zu kept, %zu removed, %zu refused, "
      "%zu unreadable\n",
      tally.of(Action::enrolled), tally.of(Action::replaced), tally.of(Action::moved),
      tally.of(Action::unchanged), tally.of(Action::kept), tally.of(Action::removed),
      tally.of(Action::rejected), tally.failed.size());
  const std::string name = printable(options.gallery);
  if (!gallery) {
    std::printf("%s: not created, there was nothing to store\n", name.c_str());
    return;
  }
  std::printf("%s: %s, %s\n", name.c_str(), people_text(people).c_str(),
              counted(photographs, "photograph").c_str());
}

// Of one transaction. A person of more photographs is written in pieces, so that a run that is interrupted
// does not begin such a person anew each time.
constexpr std::size_t kMostAtOnce = 1000;

// Collects a person and writes it in one short transaction: readers never see half a person, and other
// writers do not wait for photographs that are still being looked at. The gallery is made with the first of
// them.
class Writer {
 public:
  // `done` is called for each photograph once it is stored.
  Writer(std::optional<Gallery>& gallery, std::function<Gallery()> make,
         std::function<void(const Examined&)> done)
      : gallery_(gallery), make_(std::move(make)), done_(std::move(done)) {}

  void take(Examined examined) {
    const bool other =
        !person_.empty() && examined.photograph.identity != person_.front().photograph.identity;
    if (other || person_.size() == kMostAtOnce) commit();
    person_.push_back(std::move(examined));
  }

  void commit() {
    while (!usable([&] { return try_commit(); })) {
    }
    for (const Examined& examined : person_) done_(examined);
    person_.clear();
  }

 private:
  // False: another run has taken what this one was going to move; again without it.
  bool try_commit() {
    const auto needs_nothing = [](const Examined& examined) {
      return examined.stored && examined.moved_from.empty();
    };
    if (std::ranges::all_of(person_, needs_nothing)) return true;
    if (!gallery_) gallery_ = make_();
    Gallery::Transaction transaction(*gallery_);
    for (Examined& examined : person_) {
      try {
        if (!examined.moved_from.empty())
          transaction.move(examined.moved_from, examined.photograph.path, examined.photograph.identity);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) throw;
        examined.moved_from.clear();
        return false;
      }
      if (!examined.stored) transaction.put(examined.photograph, examined.faces);
    }
    transaction.commit();
    return true;
  }

  std::optional<Gallery>& gallery_;
  std::function<Gallery()> make_;
  std::function<void(const Examined&)> done_;
  std::vector<Examined> person_;
};

void remove(Gallery& gallery, const std::vector<fs::path>& paths) {
  Gallery::Transaction transaction(gallery);
  for (const fs::path& path : paths) transaction.remove_photograph(path);
  transaction.commit();
}

// A photograph that several arguments lead to counts once.
std::vector<Input> distinct_inputs(const EnrollOptions& options) {
  std::set<fs::path> seen;
  // A person at a time, each in the order of the inputs.
  std::multimap<std::string, Input> by_person;
  for (Input& input : find_inputs(options.inputs))
    if (seen.insert(stored_path(input.path)).second)
      by_person.emplace(identity_of(input, options.identity), std::move(input));
  std::vector<Input> inputs;
  for (auto& [person, input] : by_person) inputs.push_back(std::move(input));
  return inputs;
}

int run(const EnrollOptions& options) {
  check_run_options(options);
  const std::vector<Input> inputs = distinct_inputs(options);
  const Weights model = load_model(options), detector = load_detector(options);
  const std::string rules = options.rules(detector);
  const auto make = [&] { return open_gallery_to_write(options.gallery, model); };
  std::optional<Gallery> gallery;
  std::error_code error;
  if (fs::exists(fs::symlink_status(options.gallery, error))) gallery = make();
  Known known(gallery ? usable([&] { return gallery->photographs(); }) : std::vector<Photograph>(),
              options.inputs, inputs);

  Tally tally;
  Writer writer(gallery, make, [&](const Examined& examined) {
    tally.add(examined);
    if (options.json) print_photograph(examined);
  });
  const auto make_worker = [&](int threads) {
    return Examiner(model, detector, options, rules, known, threads);
  };
  const auto work = [&](Examiner& examiner, const Input& input) {
    return examiner.examine(input, identity_of(input, options.identity));
  };
  const auto take = [&](const Input& input, Examined* examined, const Failure* failure) {
    if (!failure) return writer.take(std::move(*examined));
    tally.failed.emplace_back(input.path, failure->message);
    report(input, *failure, options.json);
  };
  for_each_input<Examined>(inputs, options.parallelism(), !options.quiet, make_worker, work, take);
  writer.commit();

  tally.vanished = known.vanished();
  if (options.prune && !tally.vanished.empty()) {
    usable([&] { remove(*gallery, tally.vanished); });
    tally.pruned = tally.vanished.size();
  }
  print_summary(options, gallery ? &*gallery : nullptr, tally);
  return tally.failed.empty() ? kDone : kSomeInputsFailed;
}

}  // namespace

void add_enroll(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<EnrollOptions>();
  CLI::App* verb = app.add_subcommand("enroll", "Build or update a gallery of known people from photographs");
  add_inputs(*verb, *options);
  add_gallery_option(*verb, options->gallery);
  verb->add_option("--identity", options->identity,
                   "Whose photograph it is: the name of its folder, its path below DIR, or its name without "
                   "extension (default folder)")
      ->check(CLI::IsMember({"folder", "path", "stem"}))
      ->type_name("RULE");
  options->faces = "one";
  verb->add_flag("--prune", options->prune,
                 "Remove both: photographs whose files are gone from DIR, and those that are otherwise kept "
                 "although these rules refuse them");
  verb->add_option("--min-score", options->min_score, "Least score of the detector, 0 to 1")
      ->check(number_between(0, 1))
      ->type_name("S");
  verb->add_option("--min-norm", options->min_norm,
                   "Least norm of the embedding, which grows with the quality of the picture")
      ->check(number_between(0, 1e6))
      ->type_name("N");
  add_model_option(*verb, *options);
  add_detection_options(*verb, *options, {"one", "largest", "best"}, options->faces);
  add_embedding_options(*verb, *options);
  add_run_options(*verb, *options);
  add_output_options(*verb, *options);
  verb->footer(
      "Example:\n"
      "  adaface enroll people/ --gallery people.gallery\n"
      "\n"
      "people/ada/1.jpg is filed under ada. Unchanged photographs are skipped, changed ones replaced; each "
      "person is\n"
      "stored when all of them is done, so that a run that is interrupted goes on where it stopped. --faces "
      "one (the\n"
      "default) refuses photographs of several faces: who is meant would be a guess.\n"
      "\n"
      "Under other rules (--faces, --min-..., --mode, another detector) than those of an earlier run, its "
      "photographs are\n"
      "looked at again. One whose file is the same is never lost by that: where these rules refuse it, the "
      "gallery keeps\n"
      "what it has. One whose file has changed is replaced, or removed where it gives no face that the rules "
      "accept.\n"
      "--prune removes both those that would be kept so and those whose files are gone.");
  verb->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace adaface::cli
