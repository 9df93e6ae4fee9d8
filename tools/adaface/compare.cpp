#include <algorithm>
#include <memory>

#include "tools/adaface/batch.h"
#include "tools/adaface/embedding.h"
#include "tools/adaface/json.h"
#include "tools/adaface/verbs.h"

namespace adaface::cli {
namespace {

// A row of the matrix: one face, or a picture that has none or could not be read.
struct Row {
  std::string file, label;
  std::optional<Embedding> embedding;
  bool unreadable = false;
};

void print_matrix(const std::vector<Row>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::printf("%4zu  %s%s\n", i + 1, rows[i].label.c_str(),
                rows[i].embedding    ? ""
                : rows[i].unreadable ? "  (unreadable)"
                                     : "  (no face)");
  std::printf("\n    ");
  for (std::size_t i = 0; i < rows.size(); ++i) std::printf("%9zu", i + 1);
  std::printf("\n");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::printf("%4zu", i + 1);
    for (const Row& other : rows)
      if (rows[i].embedding && other.embedding)
        std::printf("%9.4f", similarity(*rows[i].embedding, *other.embedding));
      else
        std::printf("%9s", "-");
    std::printf("\n");
  }
}

void print_json(const std::vector<Row>& rows) {
  Json files = Json::array(), matrix = Json::array();
  for (const Row& row : rows) {
    files.push_back(row.file);
    Json values = Json::array();
    for (const Row& other : rows)
      values.push_back(row.embedding && other.embedding ? Json(similarity(*row.embedding, *other.embedding))
                                                        : Json());
    matrix.push_back(std::move(values));
  }
  print_line({{"files", files}, {"similarity", matrix}});
}

int run(const Options& options) {
  check_run_options(options);
  const std::vector<Input> inputs = find_inputs(options.inputs);
  const Weights model = load_model(options), detector = load_detector(options);
  // The published pipeline compares the face with the highest score.
  const FaceSelection selection = options.selection(
      options.detection_mode() == Mode::reference ? FaceSelection::best : FaceSelection::largest);
  std::vector<Row> rows;
  const auto make_worker = [&](int threads) { return FaceEmbedder(model, &detector, options, threads); };
  const auto work = [&](FaceEmbedder& embedder, const Input& input) {
    return embedder.embed(input, selection);
  };
  const auto take = [&](const Input& input, Embedded* embedded, const Failure* failure) {
    const std::string label = printable(input.path);
    if (failure) {
      report(input, *failure, options.json);
      rows.push_back({input.path.native(), label, std::nullopt, true});
      return;
    }
    if (embedded->embeddings.empty()) rows.push_back({input.path.native(), label, std::nullopt});
    for (std::size_t i = 0; i < embedded->embeddings.size(); ++i) {
      const std::string number = embedded->embeddings.size() == 1 ? "" : " #" + std::to_string(i + 1);
      rows.push_back({input.path.native() + number, label + number, embedded->embeddings[i]});
    }
  };
  const int failed =
      for_each_input<Embedded>(inputs, options.parallelism(), !options.quiet, make_worker, work, take);
  if (!std::ranges::all_of(rows, &Row::unreadable)) options.json ? print_json(rows) : print_matrix(rows);
  return failed == 0 ? kDone : kSomeInputsFailed;
}

}  // namespace

void add_compare(CLI::App& app, int& exit_code) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("compare", "The matrix of similarities between the faces of pictures");
  add_inputs(*verb, *options);
  add_model_option(*verb, *options);
  add_detection_options(*verb, *options, {"largest", "best", "all"}, kOneFace);
  add_embedding_options(*verb, *options);
  add_run_options(*verb, *options);
  add_output_options(*verb, *options);
  verb->footer(
      "Example:\n"
      "  adaface compare --model ir_101.afw a.jpg b.jpg c.jpg\n"
      "\n"
      "Similarity is the cosine between embeddings, in [-1, 1]; the authors of AdaFace suggest about 0.3 as "
      "the threshold\n"
      "for the same person. One face a picture: the largest, in reference mode the best; --faces all "
      "compares every face. A\n"
      "picture without a face, or one that cannot be read, keeps its place, with dashes (null in JSON).");
  verb->callback([options, &exit_code] { exit_code = run(*options); });
}

}  // namespace adaface::cli
