#include <memory>

#include "tools/adaface/batch.h"
#include "tools/adaface/json.h"
#include "tools/adaface/options.h"
#include "tools/adaface/pictures.h"
#include "tools/adaface/verbs.h"

namespace adaface::cli {
namespace {

struct Arguments : Options {
  std::string output;
};

struct Aligned {
  int width, height;
  std::vector<Face> faces;
  std::vector<Image> crops;
};

int run(const Arguments& arguments) {
  check_run_options(arguments);
  const std::vector<Input> inputs = find_inputs(arguments.inputs);
  const Weights weights = load_detector(arguments);
  OutputNames names("--output", arguments.output, inputs);
  int failed = 0;
  const auto make_worker = [&](int threads) { return make_detector(weights, arguments, threads); };
  const auto work = [&](Detector& detector, const Input& input) {
    const Image image = read_picture(input, arguments);
    Aligned aligned{image.width(),
                    image.height(),
                    select_faces(detector.detect(image), arguments.selection(FaceSelection::all)),
                    {}};
    for (const Face& face : aligned.faces)
      aligned.crops.push_back(align_face(image, face.landmarks, arguments.detection_mode()));
    return aligned;
  };
  const auto take = [&](const Input& input, Aligned* aligned, const Failure* failure) {
    if (failure) return report(input, *failure, arguments.json);
    Json line = {{"file", input.path.native()},
                 {"width", aligned->width},
                 {"height", aligned->height},
                 {"faces", Json::array()}};
    if (!arguments.json)
      std::printf("%s: %s\n", printable(input.path).c_str(), count_text(aligned->faces.size()).c_str());
    try {
      for (std::size_t i = 0; i < aligned->crops.size(); ++i) {
        const std::string number = aligned->crops.size() == 1 ? "" : "_" + std::to_string(i + 1);
        const std::filesystem::path path = names.next(input, number, ".png");
        write_image(path, aligned->crops[i]);
        line["faces"].push_back(to_json(aligned->faces[i]));
        line["faces"].back()["crop"] = path.native();
        if (!arguments.json) std::printf("  %s\n", printable(path).c_str());
      }
      if (arguments.json) print_line(line);
    } catch (const Error& error) {
      report(input, {error.code(), error.what()}, arguments.json);
      ++failed;
    }
  };
  failed +=
      for_each_input<Aligned>(inputs, arguments.parallelism(), !arguments.quiet, make_worker, work, take);
  return failed == 0 ? kDone : kSomeInputsFailed;
}

}  // namespace

void add_align(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("align", "Write each face as an aligned 112x112 crop");
  add_inputs(*verb, *arguments);
  verb->add_option("-o,--output", arguments->output, "Directory for the crops")->type_name("DIR")->required();
  add_detection_options(*verb, *arguments);
  add_run_options(*verb, *arguments);
  add_output_options(*verb, *arguments);
  verb->footer(
      "Example:\n"
      "  adaface align people/ -o crops/\n"
      "\n"
      "people/ada/1.jpg becomes crops/ada/1.png, or 1_1.png, 1_2.png ... when it holds several faces, in "
      "descending score.");
  verb->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace adaface::cli
