#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "tools/adaface/batch.h"
#include "tools/adaface/embedding.h"
#include "tools/adaface/json.h"
#include "tools/adaface/pairs.h"
#include "tools/adaface/roc_svg.h"
#include "tools/adaface/verbs.h"
#include "tools/adaface/verification.h"
#include "tools/command_line.h"

namespace adaface::cli {
namespace {

struct Arguments : Options {
  std::string pairs, images, roc;
  bool flip = false, aligned = false;
};

struct FarTarget {
  const char* name;
  double far;
};
constexpr FarTarget kFarTargets[] = {{"1e-2", 1e-2}, {"1e-3", 1e-3}};

// What became of the photographs, by their place in the list.
struct Photographs {
  std::vector<std::optional<Embedding>> embeddings;
  std::vector<std::string> no_face, unreadable;  // native bytes
};

PairList read_list(const Arguments& arguments) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(arguments.images, ignored))
    throw UsageError("--images " + printable(arguments.images) + ": no such directory");
  try {
    return read_pairs(arguments.pairs, arguments.images);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

Photographs embed_all(const Arguments& arguments, const PairList& list, const Weights& model,
                      const Weights* detector) {
  std::vector<Input> inputs;
  for (const std::filesystem::path& path : list.photographs) inputs.push_back({path, path.filename()});
  const FaceSelection selection = arguments.selection(
      arguments.detection_mode() == Mode::reference ? FaceSelection::best : FaceSelection::largest);
  Photographs photographs;
  const auto make_worker = [&](int threads) {
    return FaceEmbedder(model, detector, arguments, threads, arguments.flip);
  };
  const auto work = [&](FaceEmbedder& embedder, const Input& input) {
    const Embedded embedded = embedder.embed(input, selection);
    return embedded.embeddings.empty() ? std::optional<Embedding>() : embedded.embeddings.front();
  };
  const auto take = [&](const Input& input, std::optional<Embedding>* embedding, const Failure* failure) {
    photographs.embeddings.push_back(embedding ? *embedding : std::nullopt);
    if (failure) {
      report(input, *failure, arguments.json);
      photographs.unreadable.push_back(input.path.native());
    } else if (!*embedding) {
      photographs.no_face.push_back(input.path.native());
    }
  };
  for_each_input<std::optional<Embedding>>(inputs, arguments.parallelism(), !arguments.quiet, make_worker,
                                           work, take);
  return photographs;
}

std::vector<ScoredPair> score(const PairList& list, const Photographs& photographs) {
  std::vector<ScoredPair> scored;
  for (const PhotographPair& pair : list.pairs) {
    const auto &a = photographs.embeddings[pair.a], &b = photographs.embeddings[pair.b];
    scored.push_back({a && b ? similarity(*a, *b) : kNoSimilarity, pair.same, pair.fold});
  }
  return scored;
}

std::string folds_text(const PairList& list) {
  return std::to_string(list.folds) +
         (list.own_folds ? " sets of the list" : " folds, pairs of each kind dealt in turn");
}

std::string threshold_text(double threshold) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", threshold);
  return std::isfinite(threshold) ? text : "none";
}

void print_report(const Arguments& arguments, const PairList& list, const Photographs& photographs,
                  const Verification& v) {
  const std::size_t without = photographs.no_face.size() + photographs.unreadable.size();
  std::printf("%s\n\n", printable(arguments.pairs).c_str());
  std::printf("  pairs              %zu: %zu of one person, %zu of two\n", v.same + v.different, v.same,
              v.different);
  std::printf("  photographs        %zu%s\n", list.photographs.size(),
              arguments.flip ? ", each fused with its mirror image" : "");
  if (without > 0)
    std::printf("                     %zu without a face, %zu unreadable: %zu pairs count as different\n",
                photographs.no_face.size(), photographs.unreadable.size(), v.without_similarity);
  std::printf("  divided into       %s\n\n", folds_text(list).c_str());
  std::printf("  accuracy           %.4f +- %.4f  mean and standard error; deviation %.4f\n", v.accuracy,
              v.standard_error, v.deviation);
  std::printf("  best threshold     %s  on all pairs, accuracy %.4f\n",
              threshold_text(v.best_threshold).c_str(), v.best_accuracy);
  std::printf("  AUC                %.6f\n", v.auc);
  for (const FarTarget& target : kFarTargets) {
    const OperatingPoint point = operating_point(v.roc, target.far);
    std::printf("  TAR at FAR %s    %.4f  threshold %s, FAR %.5f%s\n", target.name, point.tar,
                threshold_text(point.threshold).c_str(), point.far,
                static_cast<double>(v.different) * target.far < 1 ? " (too few pairs for other than 0)" : "");
  }
  std::printf("\n  fold  pairs  threshold  accuracy\n");
  for (std::size_t k = 0; k < v.folds.size(); ++k)
    std::printf("  %4zu  %5zu  %9s    %.4f\n", k + 1, v.folds[k].pairs,
                threshold_text(v.folds[k].threshold).c_str(), v.folds[k].accuracy);
  for (const auto& [what, files] :
       {std::pair{"no face", &photographs.no_face}, std::pair{"unreadable", &photographs.unreadable}}) {
    if (!files->empty()) std::printf("\n  %s:\n", what);
    for (const std::string& file : *files) std::printf("    %s\n", printable(file).c_str());
  }
}

// JSON has no infinity: null.
Json finite(double value) {
  return std::isfinite(value) ? Json(value) : Json();
}

void print_json(const Arguments& arguments, const PairList& list, const Photographs& photographs,
                const Verification& v) {
  Json folds = Json::array(), tar = Json::array(), roc = Json::array();
  for (const FoldResult& fold : v.folds)
    folds.push_back(
        {{"pairs", fold.pairs}, {"threshold", finite(fold.threshold)}, {"accuracy", fold.accuracy}});
  for (const FarTarget& target : kFarTargets) {
    const OperatingPoint point = operating_point(v.roc, target.far);
    tar.push_back({{"at_far", target.far},
                   {"tar", point.tar},
                   {"far", point.far},
                   {"threshold", finite(point.threshold)}});
  }
  for (const OperatingPoint& point : corners(v.roc))
    roc.push_back(Json::array({point.far, point.tar, finite(point.threshold)}));
  print_line(
      {{"pairs", arguments.pairs},
       {"same", v.same},
       {"different", v.different},
       {"without_similarity", v.without_similarity},
       {"photographs", list.photographs.size()},
       {"no_face", photographs.no_face},
       {"unreadable", photographs.unreadable},
       {"flip", arguments.flip},
       {"accuracy", {{"mean", v.accuracy}, {"deviation", v.deviation}, {"standard_error", v.standard_error}}},
       {"own_folds", list.own_folds},
       {"folds", folds},
       {"best", {{"threshold", finite(v.best_threshold)}, {"accuracy", v.best_accuracy}}},
       {"auc", v.auc},
       {"tar", tar},
       {"roc", roc}});
}

void write_roc(const Arguments& arguments, const PairList& list, const std::string& architecture,
               const Verification& v) {
  char text[160];
  std::snprintf(text, sizeof text, "accuracy %.2f%% ± %.2f%%   ·   AUC %.5f   ·   %zu + %zu pairs",
                100 * v.accuracy, 100 * v.standard_error, v.auc, v.same, v.different);
  const std::string svg =
      roc_svg(v, {architecture + " on " + printable(std::filesystem::path(arguments.pairs).filename()),
                  text + std::string(list.own_folds ? "   ·   " + std::to_string(list.folds) + " sets" : "") +
                      (arguments.flip ? "   ·   with mirror images" : "")});
  write_file(arguments.roc, std::as_bytes(std::span(svg)));
}

int run(const Arguments& arguments) {
  check_run_options(arguments);
  if (!arguments.roc.empty()) {
    check_can_write("--roc", arguments.roc);
    std::error_code ignored;
    if (std::filesystem::equivalent(arguments.roc, arguments.pairs, ignored))
      throw UsageError("--roc " + printable(arguments.roc) + ": is the list of pairs, which is read");
  }
  const PairList list = read_list(arguments);
  const Weights model = load_model(arguments);
  std::optional<Weights> detector;
  if (!arguments.aligned) detector = load_detector(arguments);
  const Photographs photographs = embed_all(arguments, list, model, detector ? &*detector : nullptr);
  if (std::ranges::none_of(photographs.embeddings, [](const auto& e) { return e.has_value(); }))
    throw Error(ErrorCode::invalid_argument,
                printable(arguments.pairs) + ": nothing to measure: of " +
                    counted(list.photographs.size(), "photograph") + ", " +
                    std::to_string(photographs.unreadable.size()) + " unreadable, " +
                    std::to_string(photographs.no_face.size()) + " without a face");
  const Verification verification = verify(score(list, photographs));
  arguments.json ? print_json(arguments, list, photographs, verification)
                 : print_report(arguments, list, photographs, verification);
  if (!arguments.roc.empty()) write_roc(arguments, list, model.info().architecture, verification);
  return photographs.unreadable.empty() ? kDone : kSomeInputsFailed;
}

}  // namespace

void add_evaluate(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb =
      app.add_subcommand("evaluate", "Verification accuracy on a list of pairs, as LFW measures it");
  verb->add_option("pairs", arguments->pairs,
                   "LFW's pairs.txt, or lines of \"a b 1\" (same person) and \"a b 0\"")
      ->type_name("PAIRS")
      ->required();
  verb->add_option("--images", arguments->images, "The directory of the photographs")
      ->type_name("DIR")
      ->required();
  verb->add_flag("--flip", arguments->flip, "Fuse each crop's embedding with that of its mirror image");
  verb->add_flag("--aligned", arguments->aligned, "The pictures are aligned 112x112 crops: no detection");
  add_output_file(*verb, "--roc", arguments->roc, "Also write the ROC curve as a picture (SVG)");
  add_model_option(*verb, *arguments);
  add_detection_options(*verb, *arguments, {"largest", "best"}, kOneFace);
  add_embedding_options(*verb, *arguments);
  add_run_options(*verb, *arguments);
  add_output_options(*verb, *arguments);
  verb->footer(
      "Example:\n"
      "  adaface evaluate pairs.txt --images lfw/ --model ir_101.afw --flip --roc lfw.svg\n"
      "\n"
      "For each fold the threshold that is best on the other folds is tried on it; accuracy is the mean over "
      "the "
      "folds, +-\n"
      "its standard error. Folds are the sets of LFW's pairs.txt (\"10 300\"); without sets, pairs of each "
      "kind are "
      "dealt in\n"
      "turn to 10 folds, or to as many as there are pairs of the rarer kind. TAR at FAR: the greatest share "
      "of pairs "
      "of one\n"
      "person that some threshold accepts while it accepts at most that share of the pairs of two.\n"
      "\n"
      "In a plain list names with blanks stand in double quotes, or fields are separated by tabs; # begins a "
      "comment. One\n"
      "face a picture: the largest, in reference mode the best. Pairs with a photograph that has no face, or "
      "cannot "
      "be read,\n"
      "count as different at every threshold.");
  verb->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace adaface::cli
