#include <memory>
#include <unordered_map>

#include "tools/adaface/batch.h"
#include "tools/adaface/embedding.h"
#include "tools/adaface/gallery.h"
#include "tools/adaface/json.h"
#include "tools/adaface/montage.h"
#include "tools/adaface/verbs.h"
#include "tools/command_line.h"

namespace adaface::cli {
namespace {

struct Arguments : Options {
  std::string gallery, montage;
  double threshold = 0.3;
  std::size_t top = 1;
};

// The gallery in memory: where each row of the index comes from.
class Known {
 public:
  // `portraits`: whether portrait() will be asked for; what it needs costs a query a photograph.
  Known(const Gallery& gallery, int threads, bool portraits) : index_(threads) {
    std::unordered_map<std::string, std::size_t> names, files;
    const auto number = [](auto& numbers, std::vector<std::string>& texts, const std::string& text) {
      const auto [found, added] = numbers.emplace(text, texts.size());
      if (added) texts.push_back(text);
      return static_cast<std::uint32_t>(found->second);
    };
    const auto add = [&](const GalleryFace& face, const Photograph& photograph) {
      const std::uint32_t person = number(names, identities_, face.identity);
      index_.add(face.embedding.unit, person);
      rows_.push_back({person, number(files, files_, face.photograph.native()), face.box, photograph.hash,
                       photograph.rules.find("mode=reference") == std::string::npos});
    };
    if (portraits)
      gallery.for_each_face(add);
    else
      gallery.for_each_face([&](const GalleryFace& face) { add(face, {}); });
  }

  const std::string& identity(const Match& match) const { return identities_[rows_[match.row].person]; }
  const std::string& file(const Match& match) const { return files_[rows_[match.row].file]; }

  // The face as it was enrolled; throws where the photograph is gone or another than that.
  Image portrait(const Match& match) const {
    const Row& row = rows_[match.row];
    const std::vector<std::byte> bytes = read_file(files_[row.file]);
    if (row.hash != ContentHash{} && content_hash(bytes) != row.hash)
      throw Error(ErrorCode::not_found, printable(files_[row.file]) + ": has changed since it was enrolled");
    return cut_portrait(decode_image(bytes, {.apply_orientation = row.upright}), row.box);
  }

  std::vector<std::vector<Match>> nearest(const std::vector<Embedding>& queries, std::size_t top) const {
    std::vector<float> packed;
    packed.reserve(queries.size() * kEmbeddingSize);
    for (const Embedding& query : queries) packed.insert(packed.end(), query.unit.begin(), query.unit.end());
    return index_.nearest(packed, top);
  }

 private:
  struct Row {
    std::uint32_t person, file;
    Box box;
    ContentHash hash;
    bool upright;  // the box is in the picture turned as its EXIF orientation says
  };
  SearchIndex index_;
  std::vector<Row> rows_;
  std::vector<std::string> identities_, files_;
};

struct Answered {
  std::vector<Face> faces;
  std::vector<std::vector<Match>> matches;  // of each face
  std::vector<Portrait> known, queries;     // of each face, when there is a montage
};

bool is_match(const std::vector<Match>& matches, double threshold) {
  return !matches.empty() && matches.front().similarity > threshold;
}

// A photograph of the gallery that is gone or changed leaves its place empty; the answer stands.
Portrait known_portrait(const Known& known, const Match& match) {
  Portrait portrait{{}, known.identity(match) + "  ", printable(known.file(match))};
  char similarity[16];
  std::snprintf(similarity, sizeof similarity, "%.4f", match.similarity);
  portrait.title += similarity;
  try {
    portrait.image = known.portrait(match);
  } catch (const Error&) {
  }
  return portrait;
}

Answered answer(FaceEmbedder& embedder, const Input& input, const Known& known, const Arguments& arguments) {
  const Image image = read_picture(input, arguments);
  Embedded embedded = embedder.embed(image, arguments.selection(FaceSelection::all));
  Answered answered{std::move(embedded.faces), known.nearest(embedded.embeddings, arguments.top), {}, {}};
  if (arguments.montage.empty()) return answered;
  for (std::size_t i = 0; i < answered.faces.size(); ++i) {
    const std::string number = answered.faces.size() == 1 ? "" : " #" + std::to_string(i + 1);
    answered.queries.push_back(
        {cut_portrait(image, answered.faces[i].box), "found in", printable(input.path) + number});
    const std::vector<Match>& matches = answered.matches[i];
    answered.known.push_back(is_match(matches, arguments.threshold) ? known_portrait(known, matches.front())
                                                                    : Portrait{});
  }
  return answered;
}

void add_to(Montage& montage, const Answered& answered, const Known& known, double threshold) {
  for (std::size_t i = 0; i < answered.faces.size(); ++i) {
    const std::vector<Match>& matches = answered.matches[i];
    if (is_match(matches, threshold))
      montage.add_match(known.identity(matches.front()), matches.front().similarity, answered.known[i],
                        answered.queries[i]);
    else if (matches.empty())
      montage.add_unknown("", 0, answered.queries[i]);
    else
      montage.add_unknown(known.identity(matches.front()), matches.front().similarity, answered.queries[i]);
  }
}

void print_text(const Input& input, const Answered& answered, const Known& known, double threshold) {
  std::printf("%s: %s\n", printable(input.path).c_str(), count_text(answered.faces.size()).c_str());
  for (std::size_t i = 0; i < answered.faces.size(); ++i) {
    const std::vector<Match>& matches = answered.matches[i];
    if (matches.empty()) {
      std::printf("  %2zu  unknown\n", i + 1);
      continue;
    }
    const bool match = is_match(matches, threshold);
    for (std::size_t k = 0; k < matches.size(); ++k) {
      const std::string name = printable(known.identity(matches[k])),
                        file = printable(known.file(matches[k]));
      if (k == 0 && match)
        std::printf("  %2zu  %s  %.4f  %s\n", i + 1, padded(name, 20).c_str(), matches[k].similarity,
                    file.c_str());
      else if (k == 0)
        std::printf("  %2zu  %-20s  %.4f  nearest: %s  %s\n", i + 1, "unknown", matches[k].similarity,
                    name.c_str(), file.c_str());
      else
        std::printf("      %s  %.4f  %s\n", padded(name, 20).c_str(), matches[k].similarity, file.c_str());
    }
  }
}

// One line a face; one for a picture without any.
void print_json(const Input& input, const Answered& answered, const Known& known, double threshold) {
  if (answered.faces.empty())
    print_line({{"file", input.path.native()}, {"matches", Json::array()}, {"decision", "no_face"}});
  for (std::size_t i = 0; i < answered.faces.size(); ++i) {
    Json matches = Json::array();
    for (const Match& match : answered.matches[i])
      matches.push_back({{"identity", known.identity(match)},
                         {"file", known.file(match)},
                         {"similarity", match.similarity}});
    print_line({{"file", input.path.native()},
                {"face", i + 1},
                {"box", to_json(answered.faces[i].box)},
                {"score", decimal(answered.faces[i].score)},
                {"matches", matches},
                {"decision", is_match(answered.matches[i], threshold) ? "match" : "unknown"}});
  }
}

int run(const Arguments& arguments) {
  check_run_options(arguments);
  const std::vector<Input> inputs = find_inputs(arguments.inputs);
  const Weights model = load_model(arguments), detector = load_detector(arguments);
  const Gallery gallery = open_gallery(arguments.gallery);
  require_gallery_model(gallery, model);
  // One picture: threads inside the search; several: each searches for itself.
  const int threads = arguments.thread_count();
  const Known known =
      usable([&] { return Known(gallery, inputs.size() == 1 ? threads : 1, !arguments.montage.empty()); });
  std::optional<Montage> montage;
  if (!arguments.montage.empty()) montage.emplace(arguments.montage, arguments.inputs, inputs);

  const auto make_worker = [&](int worker_threads) {
    return FaceEmbedder(model, &detector, arguments, worker_threads);
  };
  const auto work = [&](FaceEmbedder& embedder, const Input& input) {
    return answer(embedder, input, known, arguments);
  };
  const auto take = [&](const Input& input, Answered* answered, const Failure* failure) {
    if (failure) return report(input, *failure, arguments.json);
    arguments.json ? print_json(input, *answered, known, arguments.threshold)
                   : print_text(input, *answered, known, arguments.threshold);
    if (!montage) return;
    if (answered->faces.empty()) montage->add_without_face(printable(input.path));
    add_to(*montage, *answered, known, arguments.threshold);
  };
  const int failed =
      for_each_input<Answered>(inputs, arguments.parallelism(), !arguments.quiet, make_worker, work, take);
  if (montage) {
    montage->finish(printable(gallery.path()), arguments.threshold);
    if (!arguments.json && !arguments.quiet)
      std::printf("montage: %s\n",
                  printable(std::filesystem::path(arguments.montage) / "index.html").c_str());
  }
  return failed == 0 ? kDone : kSomeInputsFailed;
}

}  // namespace

void add_find(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("find", "Who of a gallery is in pictures");
  add_inputs(*verb, *arguments);
  add_gallery_option(*verb, arguments->gallery);
  verb->add_option(
          "--threshold", arguments->threshold,
          "Similarity above which a face is a match, -1 to 1 (default 0.3, as AdaFace's author suggests)")
      ->check(number_between(-1, 1))
      ->type_name("T");
  verb->add_option("--top", arguments->top, "How many people to list for each face (default 1)")
      ->check(CLI::Range(1, 1'000'000))
      ->type_name("K");
  verb->add_option("--montage", arguments->montage,
                   "Also write pictures of each answer, and a page that shows them, into this directory")
      ->type_name("DIR");
  add_model_option(*verb, *arguments);
  add_detection_options(*verb, *arguments);
  add_embedding_options(*verb, *arguments);
  add_run_options(*verb, *arguments);
  add_output_options(*verb, *arguments);
  verb->footer(
      "Example:\n"
      "  adaface find party.jpg --gallery people.gallery --top 3 --montage found/\n"
      "\n"
      "Of each person the most similar photograph counts. A face whose best similarity is not above "
      "the threshold is\n"
      "unknown. --json prints one line a face: file, face, box, score, matches, decision (match, unknown, "
      "no_face).");
  verb->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace adaface::cli
