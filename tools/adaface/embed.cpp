#include <cstring>
#include <memory>

#include "tools/adaface/batch.h"
#include "tools/adaface/embedding.h"
#include "tools/adaface/json.h"
#include "tools/adaface/verbs.h"
#include "tools/command_line.h"

namespace adaface::cli {
namespace {

struct Arguments : Options {
  std::string npy;
  bool aligned = false;
};

// NumPy format 1.0: {rows, 512} float32, row-major, little-endian; the data starts at a multiple of 64.
void write_npy(const std::filesystem::path& path, const std::vector<Embedding>& rows) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows.size()) +
                       ", " + std::to_string(kEmbeddingSize) + "), }";
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10, ' ');
  header.back() = '\n';
  std::string file = std::string("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 0xFF);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  for (const Embedding& row : rows)
    file.append(reinterpret_cast<const char*>(row.unit.data()), sizeof row.unit);
  write_file(path, std::as_bytes(std::span(file)));
}

void print_embedded(const Input& input, const Embedded& embedded, std::size_t first_row, bool rows) {
  const std::size_t count = embedded.embeddings.size();
  std::printf("%s: %s\n", printable(input.path).c_str(), count_text(count).c_str());
  for (std::size_t i = 0; i < count; ++i) {
    const Embedding& e = embedded.embeddings[i];
    std::printf("  %2zu  norm %.3f  unit %.4f %.4f %.4f %.4f ...", i + 1, e.norm, e.unit[0], e.unit[1],
                e.unit[2], e.unit[3]);
    if (rows) std::printf("  row %zu", first_row + i);
    std::printf("\n");
  }
}

int run(const Arguments& arguments) {
  check_run_options(arguments);
  if (!arguments.npy.empty()) check_can_write("--npy", arguments.npy);
  const std::vector<Input> inputs = find_inputs(arguments.inputs);
  const Weights model = load_model(arguments);
  std::optional<Weights> detector;
  if (!arguments.aligned) detector = load_detector(arguments);
  std::vector<Embedding> rows;
  const auto make_worker = [&](int threads) {
    return FaceEmbedder(model, detector ? &*detector : nullptr, arguments, threads);
  };
  const auto work = [&](FaceEmbedder& embedder, const Input& input) {
    return embedder.embed(input, arguments.selection(FaceSelection::all));
  };
  const auto take = [&](const Input& input, Embedded* embedded, const Failure* failure) {
    if (failure) return report(input, *failure, arguments.json);
    if (arguments.json) {
      Json line = {{"file", input.path.native()},
                   {"width", embedded->width},
                   {"height", embedded->height},
                   {"faces", Json::array()}};
      for (std::size_t i = 0; i < embedded->embeddings.size(); ++i) {
        Json face = embedded->faces.empty() ? Json::object() : to_json(embedded->faces[i]);
        add_embedding(face, embedded->embeddings[i]);
        line["faces"].push_back(std::move(face));
      }
      print_line(line);
    } else {
      print_embedded(input, *embedded, rows.size(), !arguments.npy.empty());
    }
    if (!arguments.npy.empty())
      rows.insert(rows.end(), embedded->embeddings.begin(), embedded->embeddings.end());
  };
  const int failed =
      for_each_input<Embedded>(inputs, arguments.parallelism(), !arguments.quiet, make_worker, work, take);
  if (!arguments.npy.empty()) write_npy(arguments.npy, rows);
  return failed == 0 ? kDone : kSomeInputsFailed;
}

}  // namespace

void add_embed(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb =
      app.add_subcommand("embed", "The 512-dimensional unit embedding of each face, and its norm");
  add_inputs(*verb, *arguments);
  add_output_file(*verb, "--npy", arguments->npy,
                  "Also write all embeddings as a float32 array {faces, 512}");
  add_model_option(*verb, *arguments);
  add_detection_options(*verb, *arguments);
  CLI::Option* aligned =
      verb->add_flag("--aligned", arguments->aligned, "The pictures are aligned 112x112 crops: no detection");
  for (const char* option : {"--detector", "--mode", "--faces", "--min-face"}) aligned->excludes(option);
  add_embedding_options(*verb, *arguments);
  add_run_options(*verb, *arguments);
  add_output_options(*verb, *arguments);
  verb->footer(
      "Example:\n"
      "  adaface embed people/ --model ir_101.afw --npy people.npy --json > people.jsonl\n"
      "\n"
      "The rows of the array are the faces in the order in which they are printed.");
  verb->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace adaface::cli
