#include <memory>

#include "tools/adaface/batch.h"
#include "tools/adaface/draw.h"
#include "tools/adaface/json.h"
#include "tools/adaface/options.h"
#include "tools/adaface/pictures.h"
#include "tools/adaface/verbs.h"

namespace adaface::cli {
namespace {

struct Arguments : Options {
  std::string draw;
};

struct Found {
  Image image;  // kept only when it is drawn on
  int width, height;
  std::vector<Face> faces;
};

std::filesystem::path draw(Found& found, const Input& input, OutputNames& names) {
  std::vector<Annotation> annotations;
  for (std::size_t i = 0; i < found.faces.size(); ++i) {
    char caption[32];
    std::snprintf(caption, sizeof caption, "%zu  %.3f", i + 1, static_cast<double>(found.faces[i].score));
    annotations.push_back({found.faces[i], caption, std::to_string(i + 1)});
  }
  draw_faces(found.image, annotations);
  const std::string kind = lower_case(input.path.extension());
  const bool lossless = kind == ".png" || kind == ".bmp";
  const std::filesystem::path path = names.next(input, "", lossless ? ".png" : ".jpg");
  write_image(path, found.image);
  return path;
}

void print_faces(const Input& input, const Found& found) {
  std::printf("%s: %s\n", printable(input.path).c_str(), count_text(found.faces.size()).c_str());
  for (std::size_t i = 0; i < found.faces.size(); ++i) {
    const Face& face = found.faces[i];
    std::printf(
        "  %2zu  score %.4f  box %.1f,%.1f to %.1f,%.1f  eyes %.1f,%.1f %.1f,%.1f  nose %.1f,%.1f  mouth "
        "%.1f,%.1f %.1f,%.1f\n",
        i + 1, face.score, face.box.x1, face.box.y1, face.box.x2, face.box.y2, face.landmarks[0].x,
        face.landmarks[0].y, face.landmarks[1].x, face.landmarks[1].y, face.landmarks[2].x,
        face.landmarks[2].y, face.landmarks[3].x, face.landmarks[3].y, face.landmarks[4].x,
        face.landmarks[4].y);
  }
}

int run(const Arguments& arguments) {
  check_run_options(arguments);
  const std::vector<Input> inputs = find_inputs(arguments.inputs);
  const Weights weights = load_detector(arguments);
  OutputNames names("--draw", arguments.draw, inputs);
  int failed = 0;
  const auto make_worker = [&](int threads) { return make_detector(weights, arguments, threads); };
  const auto work = [&](Detector& detector, const Input& input) {
    Image image = read_picture(input, arguments);
    std::vector<Face> faces = select_faces(detector.detect(image), arguments.selection(FaceSelection::all));
    Found found{{}, image.width(), image.height(), std::move(faces)};
    if (!arguments.draw.empty()) found.image = std::move(image);
    return found;
  };
  const auto take = [&](const Input& input, Found* found, const Failure* failure) {
    if (failure) return report(input, *failure, arguments.json);
    if (arguments.json) {
      Json line = {{"file", input.path.native()},
                   {"width", found->width},
                   {"height", found->height},
                   {"faces", Json::array()}};
      for (const Face& face : found->faces) line["faces"].push_back(to_json(face));
      print_line(line);
    } else {
      print_faces(input, *found);
    }
    if (arguments.draw.empty()) return;
    try {
      const std::filesystem::path path = draw(*found, input, names);
      if (!arguments.json && !arguments.quiet) std::printf("  drawn: %s\n", printable(path).c_str());
    } catch (const Error& error) {
      std::fprintf(stderr, "error: %s\n", error.what());
      ++failed;
    }
  };
  failed += for_each_input<Found>(inputs, arguments.parallelism(), !arguments.quiet, make_worker, work, take);
  return failed == 0 ? kDone : kSomeInputsFailed;
}

}  // namespace

void add_detect(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("detect", "Boxes, scores and landmarks of the faces in pictures");
  add_inputs(*verb, *arguments);
  verb->add_option(
          "--draw", arguments->draw,
          "Also write the pictures with boxes and landmarks into this directory, numbers and scores beside "
          "them where there is room")
      ->check(CLI::Validator(
          [](const std::string& text) { return text.empty() ? "a directory is expected" : ""; }, ""))
      ->type_name("DIR");
  add_detection_options(*verb, *arguments);
  add_run_options(*verb, *arguments);
  add_output_options(*verb, *arguments);
  verb->footer(
      "Example:\n"
      "  adaface detect holiday/ --min-face 40 --draw marked/\n"
      "\n"
      "Coordinates are pixels from the top left corner of the picture, turned as its EXIF orientation says "
      "(not in\n"
      "reference mode). Landmarks: left eye, right eye, nose, left and right corner of the mouth, as seen.");
  verb->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace adaface::cli
