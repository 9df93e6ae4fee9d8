// The programs as a user runs them: exit codes, what stands on which stream, what is written and what is not.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "src/adaface.hpp"
#include "tests/cpu.h"
#include "tests/program.h"
#include "tests/synthetic_weights.h"

namespace {

namespace fs = std::filesystem;
using adaface::testing::contains;
using adaface::testing::Fixture;
using adaface::testing::fixture;
using adaface::testing::have;
using adaface::testing::Json;
using adaface::testing::lines;
using adaface::testing::picture;
using adaface::testing::quoted;
using adaface::testing::read;
using adaface::testing::Result;
using adaface::testing::Scratch;
using adaface::testing::shared_directory;
using adaface::testing::source_root;
using adaface::testing::write;

std::size_t count_files(const fs::path& directory) {
  std::size_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) count += !entry.is_directory();
  return count;
}

// A well-formed PNG signature and header of this size, and nothing after it.
std::string png_header(std::uint32_t width, std::uint32_t height) {
  std::string bytes("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", 16);
  for (std::uint32_t size : {width, height})
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
  bytes += std::string("\x08\x02\0\0\0", 5);
  std::uint32_t crc = ~0u;
  for (std::size_t i = 12; i < bytes.size(); ++i) {
    crc ^= static_cast<std::uint8_t>(bytes[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
  }
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(~crc >> shift);
  return bytes;
}

// Whether the program was built with the verbs of galleries.
bool has_gallery() {
  return contains(fixture().adaface({"--help"}).out, "\n  gallery ");
}

}  // namespace

TEST_CASE("no output file is standard output, and help says what becomes of one that is there") {
  Fixture& f = fixture();
  std::vector<std::pair<std::vector<std::string>, std::string>> verbs{{{"embed"}, "--npy"},
                                                                      {{"evaluate"}, "--roc"}};
  if (f.adaface({"gallery", "--help"}).code == 0) verbs.push_back({{"gallery", "export"}, "--csv"});
  for (auto [arguments, option] : verbs) {
    CAPTURE(option);
    std::vector<std::string> help = arguments;
    help.push_back("--help");
    CHECK_CONTAINS(f.adaface(help).out, "replaces a file of that name once all is written");
    arguments.insert(arguments.end(), {"x", option, "-"});
    const Result result = f.adaface(arguments);
    CHECK(result.code == 2);
    CHECK_CONTAINS(result.err, "nothing is written to standard output");
  }
}

TEST_CASE("help, version and wrong usage") {
  Fixture& f = fixture();
  const Result help = f.adaface({"--help"});
  CHECK(help.code == 0);
  CHECK(help.err.empty());
  for (const std::string verb : {"detect", "align", "embed", "compare", "evaluate", "info", "bench"}) {
    CAPTURE(verb);
    CHECK_CONTAINS(help.out, "\n  " + verb + " ");
    const Result own = f.adaface({verb, "--help"});
    CHECK(own.code == 0);
    CHECK_CONTAINS(own.out, "Example:\n  adaface " + verb);
    // Every option of the example is one that the verb has.
    const std::string example = own.out.substr(own.out.find("Example:"));
    const std::string options = own.out.substr(0, own.out.find("Example:"));
    std::istringstream words(example.substr(0, example.find('\n', 10)));
    for (std::string word; words >> word;)
      if (word.starts_with("-")) CHECK_CONTAINS(options, word);
  }
  const std::string version = f.adaface({"--version"}).out;
  CHECK(version.starts_with("adaface " + std::string(adaface::version()) + "\n"));
  CHECK(version.find("\nkernels: ") != std::string::npos);
  CHECK(version.find("\ncuda: ") != std::string::npos);

  CHECK(f.adaface({}).code == 2);
  CHECK_CONTAINS(f.adaface({}).err, "Usage: adaface");
  const Result unknown = f.adaface({"detct", "x.jpg"});
  CHECK(unknown.code == 2);
  CHECK_CONTAINS(unknown.err, "error: detct: no such verb, expected detect, align, embed, compare, ");
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"detect"},
                                             {"detect", "--nope", "x.jpg"},
                                             {"detect", "--mode", "odd", "x.jpg"},
                                             {"detect", "--threads", "0", "x.jpg"},
                                             {"detect", "--threads", "many", "x.jpg"},
                                             {"detect", "--min-face", "5", "x.jpg"},
                                             {"detect", "--faces", "some", "x.jpg"},
                                             {"detect", "--device", "tpu", "x.jpg"},
                                             {"detect", "--device", "cuda:01", "x.jpg"},
                                             {"detect", "--device", "cuda:1023", "x.jpg"},
                                             {"bench", "--device", "cuda:1023"},
                                             {"embed", "--precision", "f64", "x.jpg"},
                                             {"embed", "--plan", "tiny", "x.jpg"},
                                             {"embed", "--npy", "/nonexistent/x.npy", "x.jpg"},
                                             {"align", "x.jpg"},
                                             {"bench", "--net", "ir_99"},
                                             {"bench", "--layers", "--batch", "0"},
                                             {"bench", "--layers", "--net", "qnet"},
                                             {"bench", "--net", "pnet"},
                                             {"bench", "--layers", "--net", "pnet", "--model", "x.afw"},
                                             {"bench", "--layers", "--side", "24"},
                                             {"bench", "--layers", "--net", "pnet", "--plan", "small"},
                                             {"bench", "--image", "x.jpg", "--layers"},
                                             {"bench", "--image", "x.jpg", "--precision", "bf16"},
                                             {"bench", "--image", "x.jpg", "--plan", "small"},
                                             {"detect", "x.jpg", "--precision", "f32"},
                                             {"detect", "x.jpg", "--plan", "fast"},
                                             {"align", "-o", "y", "x.jpg", "--precision", "bf16"},
                                             {"align", "-o", "y", "x.jpg", "--plan", "small"},
                                             {"detect", "--min-face", "nan", "x.jpg"},
                                             {"detect", "--draw", "", "x.jpg"},
                                             {"embed", "--aligned", "--mode", "reference", "x.jpg"},
                                             {"info"}}) {
    const Result result = f.adaface(arguments);
    CAPTURE(arguments.back());
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK(result.err.starts_with("error: "));
  }
}

TEST_CASE("what is wrong with a command line is named first") {
  Fixture& f = fixture();
  const std::string there = "no such option (a file of that name: ./";
  std::vector<std::pair<std::vector<std::string>, std::string>> expected = {
      {{"detect"}, "expected IMAGE|DIR ...\n  'adaface detect --help'"},
      {{"detect", "-x.jpg"}, "unexpected -x.jpg: " + there + "-x.jpg, or after --)\n"},
      {{"detect", "--foo"}, "unexpected --foo: no such option"},
      {{"detect", "--foo", "x.jpg"}, "unexpected --foo: no such option"},
      {{"detect", "-\033[1m"}, "unexpected -?[1m: no such option"},
      {{"detect", "--faces", "\033[1m", "x"}, "--faces: ?[1m not in {"},
      {{"detect", "--min-face", "\033[1m", "x"}, "--min-face: ?[1m: expected a number"},
      {{"info", "a", "b"}, "unexpected b\n"},
      {{"bench", "--foo"}, "unexpected --foo: no such option\n"},
      {{"info", "a", "--foo"}, "unexpected --foo: no such option\n"},
      {{"--json", "detect", "x"}, "unexpected --json, expected after the verb\n"},
      {{"--foo", "detect", "x"}, "unexpected --foo: no such option\n"},
      {{"--json"}, "unexpected --json: no such option\n"},
      {{"help", "detct"}, "detct: no such verb, expected detect, align, "},
      {{"help", "info", "x"}, "x: unexpected\n"},
  };
  if (has_gallery())
    expected.insert(
        expected.end(),
        {{{"enroll", "x"}, "expected --gallery FILE\n"},
         {{"gallery"}, "expected list, remove, export, import or verify\n  'adaface gallery --help'"},
         {{"gallery", "list"}, "expected GALLERY\n  'adaface gallery list --help'"},
         {{"gallery", "list", "-x"}, "unexpected -x: " + there + "-x, or after --)\n"},
         {{"gallery", "remove", "x", "-x"}, "unexpected -x: no such option\n"},
         {{"gallery", "burn", "x"}, "unexpected burn, expected list, remove, "},
         {{"help", "gallery", "burn"}, "burn: no such verb, expected list, remove, "}});
  for (const auto& [arguments, message] : expected) {
    const Result result = f.adaface(arguments);
    CAPTURE(arguments.back());
    CHECK(result.code == 2);
    CHECK_MESSAGE(result.err.starts_with("error: " + message), "got: ", result.err);
  }
  // After "--" it is a file.
  CHECK(f.adaface({"info", "--", "-x.afw"}).code == 3);
  CHECK(f.adaface({"version"}).out == f.adaface({"--version"}).out);
  CHECK(f.adaface({"-V"}).out == f.adaface({"--version"}).out);
  CHECK(f.adaface({"help"}).out == f.adaface({"--help"}).out);
  CHECK(f.adaface({"help", "detect"}).out == f.adaface({"detect", "--help"}).out);
  const Result convert = f.run(ADAFACE_CONVERT, {"-x.ckpt", "-o", "z.afw"});
  CHECK(convert.code == 2);
  CHECK(convert.err.starts_with("error: unexpected -x.ckpt: " + there + "-x.ckpt, or after --)\n"));
  CHECK(f.run(ADAFACE_CONVERT, {}).err.starts_with("error: expected CHECKPOINT ...\n"));
}

TEST_CASE("tools/install takes --tests and nothing else") {
  // Without apt-get in reach, whatever becomes of it.
  const std::string script = (source_root() / "tools/install").string();
  const Result result =
      fixture().run("sh", {"-c", "PATH=/nonexistent; exec /bin/bash \"$0\" --test", script});
  CHECK(result.code == 2);
  CHECK(result.err == "error: --test: unknown argument, expected --tests or nothing\n");
}

TEST_CASE("the help says what goes without an option") {
  Fixture& f = fixture();
  std::vector<std::pair<std::string, std::string>> faces = {{"detect", "all"},
                                                            {"align", "all"},
                                                            {"embed", "all"},
                                                            {"compare", "largest, in reference mode best"},
                                                            {"evaluate", "largest, in reference mode best"}};
  if (has_gallery()) faces.insert(faces.end(), {{"enroll", "one"}, {"find", "all"}});
  for (const auto& [verb, by_default] : faces) {
    CAPTURE(verb);
    const std::string help = f.adaface({verb, "--help"}).out;
    CHECK_CONTAINS(help.substr(help.find("Which faces of a picture")), "(default " + by_default + ")\n");
    CHECK_CONTAINS(help, "defects included (default standard)\n");
  }
}

TEST_CASE("a device is one of this machine's, and f16 is for CUDA's") {
  Fixture& f = fixture();
  const std::vector<adaface::DeviceInfo> devices = adaface::cuda_devices();
  for (const std::string text :
       {"tpu", "CPU", "cpu:0", "cuda:", "cuda:01", "cuda:1024", "cuda 0", "\033[1m"}) {
    const Result result = f.adaface({"detect", "--device", text, "x.jpg"});
    CHECK(result.code == 2);
    CHECK(result.err == "error: --device " + adaface::printable(text) +
                            ": expected cpu, cuda or cuda:N, N from 0 to 1023\n");
  }
  // Before any model is read.
  const std::string missing = f.directory("devices") / "none.afw";
  for (const std::string verb : {"detect", "embed", "bench"}) {
    const std::string option = verb == "detect" ? "--detector" : "--model";
    const std::vector<std::string> picture =
        verb == "bench" ? std::vector<std::string>{} : std::vector<std::string>{"x.jpg"};
    std::vector<std::string> arguments = {verb, option, missing, "--device", "cuda:1023"};
    arguments.insert(arguments.end(), picture.begin(), picture.end());
    const Result result = f.adaface(arguments);
    CHECK(result.code == 2);
    CHECK(result.err.starts_with("error: --device cuda:1023: "));
    CHECK_CONTAINS(result.err, devices.empty() ? "" : "no such device");
    CHECK_CONTAINS(result.err, ", expected cpu");
  }
  if (!devices.empty())
    CHECK_CONTAINS(f.adaface({"bench", "--layers", "--device", "cuda"}).err, "--layers times the CPU's");
  // Named, the default is the default.
  const std::string crop = f.directory("devices") / "crop.png";
  adaface::write_image(crop, adaface::Image(112, 112));
  CHECK(f.adaface({"embed", "--aligned", "--json", "--device", "cpu", crop}).out ==
        f.adaface({"embed", "--aligned", "--json", crop}).out);
  const Result half = f.adaface({"embed", "--aligned", "--precision", "f16", crop});
  CHECK(half.code == 2);
  CHECK_CONTAINS(half.err, "--precision f16: precision is f16, which is for CUDA devices, expected f32 ");
}

TEST_CASE("models that cannot be used: exit code 3, and the file named") {
  Fixture& f = fixture();
  const fs::path folder = f.directory("models"), model = f.home() / "model.afw";
  const std::string whole = read(model);
  const std::string crop = (folder / "crop.png").string();
  adaface::write_image(crop, adaface::Image(112, 112));
  const auto check = [&](const fs::path& file, const std::string& expected) {
    const Result result = f.adaface({"embed", "--aligned", "--model", file.string(), crop});
    CAPTURE(file);
    CHECK(result.code == 3);
    CHECK(result.out.empty());
    CHECK_CONTAINS(result.err, file.string());
    CHECK_CONTAINS(result.err, expected);
  };
  check(folder / "missing.afw", "--model FILE");
  check(folder, "directory");
  write(folder / "empty.afw", "");
  check(folder / "empty.afw", "expected an .afw weight file");
  write(folder / "text.afw", std::string(4096, 'x'));
  check(folder / "text.afw", "is not an .afw weight file (make one with adaface-convert)");
  write(folder / "cut.afw", whole.substr(0, whole.size() / 2));
  check(folder / "cut.afw", "truncated");
  std::string flipped = whole;
  flipped[300] ^= 1;
  write(folder / "header.afw", flipped);
  check(folder / "header.afw", "checksum");
  flipped = whole;
  flipped[flipped.size() / 2] ^= 1;
  write(folder / "tensor.afw", flipped);
  check(folder / "tensor.afw", "tensor \"");
  CHECK(f.adaface({"info", (folder / "tensor.afw").string()}).code == 0);
  CHECK(f.adaface({"info", "--verify", (folder / "tensor.afw").string()}).code == 3);
  CHECK(f.adaface({"info", "--verify", model.string()}).code == 0);
  check(f.home() / "untrained.ckpt", "adaface-convert");

  const Result missing = f.run(ADAFACE_CLI, {"embed", "--aligned", crop},
                               "ADAFACE_HOME=" + quoted((folder / "nowhere").string()));
  CHECK(missing.code == 3);
  CHECK_CONTAINS(missing.err, (folder / "nowhere/model.afw").string());
  CHECK_CONTAINS(missing.err, "adaface-convert");
  const Result detector = f.adaface({"detect", "--detector", model.string(), crop});
  CHECK(detector.code == 3);
  CHECK_CONTAINS(detector.err, "ir_18");
  if (!f.can_detect()) return;
  check(f.home() / "mtcnn.afw", "holds mtcnn");
}

TEST_CASE("too little memory for a model: exit code 3, the model and the smaller plan named") {
  Fixture& f = fixture();
  const fs::path model = f.home() / "model.afw";
  const std::string crop = f.directory("memory") / "crop.png";
  adaface::write_image(crop, adaface::Image(112, 112));
  const auto limited = [&](int mib, const std::string& more) {
    // Where not even the program starts (sanitizers reserve terabytes), there is nothing to see.
    return f.run(
        "sh",
        {"-c",
         "ulimit -v " + std::to_string(mib << 10) +
             "; \"$0\" --version >/dev/null 2>&1 || exit 0; exec \"$0\" embed --aligned --threads 1 " + more +
             " \"$1\"",
         ADAFACE_CLI, crop},
        "ADAFACE_HOME=" + quoted(f.home().string()));
  };
  int refused = 0;
  for (int mib = 64; mib <= 512; mib += 16) {
    const Result result = limited(mib, "");
    // Enough for all, or for all but the one picture.
    if (result.code == 0 || result.err.starts_with("error: " + crop)) continue;
    CAPTURE(mib);
    CHECK(result.code == 3);
    CHECK_MESSAGE(result.err.starts_with("error: " + model.string() + ": "), "got: ", result.err);
    if (!contains(result.err, "out of memory")) continue;  // not even its file can be mapped
    ++refused;
    CHECK(result.err == "error: " + model.string() + ": out of memory; --plan small takes less\n");
    if (refused > 1) continue;
    const Result smaller = limited(mib, "--plan small");
    CHECK((smaller.code == 0 || smaller.err == "error: " + model.string() + ": out of memory\n"));
  }
  if (refused == 0) std::printf("skipped: no limit of memory between the file and the plan\n");
}

TEST_CASE("where nothing says where models lie, what a verb lacks is named") {
  Fixture& f = fixture();
  const std::string bare = "env -u ADAFACE_HOME -u XDG_DATA_HOME -u HOME";
  for (const auto& [verb, option] : {std::pair{"detect", "--detector"}, std::pair{"embed", "--model"}}) {
    const Result result = f.run(ADAFACE_CLI, {verb, "x.jpg"}, bare);
    CHECK(result.code == 3);
    CHECK(result.err ==
          "error: neither ADAFACE_HOME nor HOME is set: expected " + std::string(option) + " FILE\n");
  }
}

TEST_CASE("standard input is no picture") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const Result result = f.adaface({"detect", "-"});
  CHECK(result.code == 1);
  CHECK(result.err == "error: -: standard input is not read, expected a file or a directory\n");
}

TEST_CASE("info in both forms") {
  Fixture& f = fixture();
  const std::string model = (f.home() / "model.afw").string();
  const Json line = Json::parse(f.adaface({"info", "--json", "--tensors", model}).out);
  CHECK(line["architecture"] == "ir_18");
  CHECK(line["color"] == "bgr");
  CHECK(line["parameters"] == 24020352);
  CHECK(line["bytes"] == fs::file_size(model));
  CHECK(line["weights_sha256"].get<std::string>().size() == 64);
  CHECK(line["tensors"].size() == 149);
  const Result text = f.adaface({"info", "--tensors", model});
  CHECK_CONTAINS(text.out, "architecture    ir_18\n");
  CHECK_CONTAINS(text.out, "stem.conv.weight");
}

TEST_CASE("detect: both modes, both forms") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const Result text = f.adaface({"detect", picture("group.jpg")});
  CHECK(text.code == 0);
  CHECK(text.err.empty());
  CHECK_CONTAINS(text.out, "group.jpg: 13 faces\n");
  CHECK_CONTAINS(f.adaface({"detect", "--mode", "reference", picture("group.jpg")}).out,
                 "group.jpg: 4 faces\n");
  const Json line = Json::parse(f.adaface({"detect", "--json", picture("group.jpg")}).out);
  CHECK(line["file"] == picture("group.jpg"));
  CHECK(line["width"] == 1000);
  REQUIRE(line["faces"].size() == 13);
  for (const Json& face : line["faces"]) {
    CHECK(face.size() == 3);
    CHECK(face["box"].size() == 4);
    CHECK(face["landmarks"].size() == 5);
    CHECK(face["landmarks"][0].size() == 2);
    CHECK(face["score"].get<double>() > 0.9);
  }
  CHECK(Json::parse(f.adaface({"detect", "--json", "--faces", "largest", picture("group.jpg")}).out)["faces"]
            .size() == 1);
  const Result none = f.adaface({"detect", picture("no_face.jpg")});
  CHECK(none.code == 0);
  CHECK_CONTAINS(none.out, "no_face.jpg: no face\n");
}

TEST_CASE("captions cover no face") {
  Fixture& f = fixture();
  const std::string crowd = (shared_directory() / "images/office1.png").string();
  if (!f.can_detect() || !have(crowd)) return;
  const fs::path out = f.directory("captions");
  const Json faces = Json::parse(f.adaface({"detect", "--json", crowd, "--draw", out.string()}).out)["faces"];
  REQUIRE(faces.size() == 16);
  const adaface::Image plain = adaface::read_image(crowd), drawn = adaface::read_image(out / "office1.png");
  const auto is_green = [&](int x, int y) {
    const std::uint8_t* pixel = drawn.row(y) + 3 * x;
    return pixel[0] == 64 && pixel[1] == 220 && pixel[2] == 96;
  };
  std::size_t captions = 0;
  for (const Json& face : faces) {
    const std::vector<int> box = face["box"].get<std::vector<int>>();
    // Within the box's line of two pixels.
    for (int y = box[1] + 4; y < box[3] - 3; ++y)
      for (int x = box[0] + 4; x < box[2] - 3; ++x) CHECK(!is_green(x, y));
    const auto greens = [&](int y) {
      int count = 0;
      for (int x = box[0]; x < box[2]; ++x) count += is_green(x, y);
      return count;
    };
    // The margin of a caption above or below.
    captions += 2 * greens(box[1] - 4) > box[2] - box[0] || 2 * greens(box[3] + 4) > box[2] - box[0];
  }
  CHECK(captions == 16);
}

TEST_CASE("bad pictures are named, the others done, in the order given") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path folder = f.directory("bad"), out = f.directory("bad-out");
  const std::string good = read(picture("stranger.jpg"));
  write(folder / "a cut.jpg", good.substr(0, good.size() / 2));
  write(folder / "b empty.jpg", "");
  write(folder / "c text.png", "no picture at all\n");
  write(folder / "d huge.png", png_header(100000, 100000));
  write(folder / "e \xff\n\xc3\xa9.jpg", good);
  adaface::write_image(folder / "f one.png", adaface::Image(1, 1));
  adaface::write_image(folder / "g tall.png", adaface::Image(10, 2000));
  write(folder / "h good.JPG", good);
  fs::create_directories(folder / "i");
  fs::create_directory_symlink(folder, folder / "i/loop");
  const std::string missing = (folder / "missing.jpg").string();

  const Result json = f.adaface({"detect", "--json", missing, folder.string(), "--draw", out.string()});
  CHECK(json.code == 1);
  CHECK(json.err.empty());
  const std::vector<Json> found = lines(json.out);
  REQUIRE(found.size() == 9);
  const std::vector<std::string> codes = {"not_found", "corrupt", "corrupt", "unsupported", "limit"};
  for (std::size_t i = 0; i < codes.size(); ++i) {
    CAPTURE(found[i].dump());
    CHECK(found[i]["error"]["code"] == codes[i]);
    if (i > 0) CHECK_CONTAINS(found[i]["error"]["message"].get<std::string>(), folder.string());
  }
  CHECK_CONTAINS(found[4]["error"]["message"].get<std::string>(), "100000x100000");
  CHECK_CONTAINS(found[4]["error"]["message"].get<std::string>(), "16384");
  for (std::size_t i : {5, 8}) CHECK(found[i]["faces"].size() == 1);
  for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i].contains("file_hex") == (i == 5));
  CHECK(found[5]["file_hex"].get<std::string>().ends_with("6520ff0ac3a92e6a7067"));
  for (std::size_t i : {6, 7}) CHECK(found[i]["faces"].empty());
  CHECK(count_files(out) == 4);

  const Result text = f.adaface({"detect", missing, folder.string()});
  CHECK(text.code == 1);
  CHECK_CONTAINS(text.err, "error: " + missing);
  CHECK_CONTAINS(text.out, "f one.png: no face\n");
  CHECK_CONTAINS(text.out, "g tall.png: no face\n");
  // A name never reaches the terminal raw.
  CHECK_CONTAINS(text.out, "e ??\xc3\xa9.jpg: 1 face\n");

  const std::string empty = f.directory("nothing").string();
  const Result nothing = f.adaface({"detect", "--json", empty, picture("stranger.jpg")});
  CHECK(nothing.code == 1);
  const std::vector<Json> both = lines(nothing.out);
  REQUIRE(both.size() == 2);
  CHECK(both[0]["file"] == empty);
  CHECK_CONTAINS(both[0]["error"]["message"].get<std::string>(), "no .jpg .jpeg .png .bmp");
  CHECK(both[1]["faces"].size() == 1);
  const Result crop = f.adaface({"embed", "--aligned", (folder / "f one.png").string()});
  CHECK(crop.code == 1);
  CHECK_CONTAINS(crop.err, "is 1x1, --aligned expects 112x112");
}

TEST_CASE("results never replace what they are made of") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path own = f.directory("own"), other = f.directory("other");
  const std::string bytes = read(picture("stranger.jpg"));
  write(own / "a.jpg", bytes);
  fs::create_directories(other / "own");
  fs::create_directory_symlink(own, other / "link");
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"detect", own.string(), "--draw", own.string()},
           {"detect", (own / "a.jpg").string(), "--draw", (other / "link").string()},
           {"align", own.string(), "-o", (own / "../own/.").string()}}) {
    const Result result = f.adaface(arguments);
    CAPTURE(arguments[0]);
    CHECK(result.code == 2);
    CHECK_CONTAINS(result.err, "would write beside");
    CHECK(count_files(own) == 1);
  }
  // A name that another picture has already: a new one.
  write(other / "own/a.jpg", bytes);
  write(own / "own~a.jpg", bytes);
  CHECK(f.adaface({"detect", (other / "own").string(), (own / "own~a.jpg").string(), "--draw", own.string()})
            .code == 2);
  fs::create_directories(own / "own");
  write(own / "own/a.jpg", bytes);
  CHECK(f.adaface({"detect", other.string(), (own / "own/a.jpg").string(), "--draw", own.string()}).code ==
        0);
  CHECK(read(own / "own/a.jpg") == bytes);
  CHECK(fs::exists(own / "own/a~2.jpg"));

  const fs::path pipe = other / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const Result device = f.adaface({"embed", picture("stranger.jpg"), "--npy", pipe.string()});
  CHECK(device.code == 1);
  CHECK_CONTAINS(device.err, "not a regular file");
  CHECK(fs::is_fifo(pipe));
}

TEST_CASE("names in brackets are names") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path folder = f.directory("brackets");
  write(folder / "[a,b]", read(picture("stranger.jpg")));
  fs::create_directories(folder / "[2020]");
  write(folder / "[2020]/c.jpg", read(picture("stranger.jpg")));
  const Result result = f.run("sh",
                              {"-c", "cd \"$0\" && exec \"$1\" detect '[a,b]' '[2020]' --draw '[out]' --json",
                               folder.string(), ADAFACE_CLI},
                              "ADAFACE_HOME='" + f.home().string() + "'");
  CHECK(result.code == 0);
  const std::vector<Json> found = lines(result.out);
  REQUIRE(found.size() == 2);
  CHECK(found[0]["file"] == "[a,b]");
  CHECK(found[1]["file"] == "[2020]/c.jpg");
  CHECK(count_files(folder / "[out]") == 2);
}

TEST_CASE("output that cannot be written is an error") {
  Fixture& f = fixture();
  const std::string model = (f.home() / "model.afw").string();
  for (const std::string redirection : {">/dev/full", ">&-"})
    for (const std::string json : {"", "--json"}) {
      const Result result =
          f.run("sh", {"-c", "exec \"$0\" info " + json + " \"$1\" " + redirection, ADAFACE_CLI, model});
      CAPTURE(redirection);
      CHECK(result.code == 1);
      CHECK_CONTAINS(result.err, "standard output: cannot write");
    }
  CHECK(f.run("sh", {"-c", "exec \"$0\" --list \"$1\" >/dev/full", ADAFACE_CONVERT,
                     (f.home() / "untrained.ckpt").string()})
            .code == 1);
}

TEST_CASE("any number of threads prints the same") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const std::vector<std::string> command = {"embed", "--json", picture("people/ada"), picture("stranger.jpg"),
                                            picture("no_face.jpg")};
  std::vector<std::string> printed;
  for (const std::string threads : {"1", "2", "3"}) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), {"--threads", threads});
    const Result result = f.adaface(arguments);
    CHECK(result.code == 0);
    printed.push_back(result.out);
  }
  CHECK(lines(printed[0]).size() == 6);
  CHECK(printed[0] == printed[1]);
  CHECK(printed[0] == printed[2]);
  // One picture, its threads inside the layers.
  std::string one;
  for (const Json& line : lines(printed[0])) one += f.adaface({"embed", "--json", line["file"]}).out;
  CHECK(one == printed[0]);
}

TEST_CASE("plans and precisions change the time and the memory, not the face") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const auto embedding = [&](const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"embed", "--json", picture("stranger.jpg")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return lines(f.adaface(arguments).out).at(0)["faces"][0]["embedding"].get<std::vector<double>>();
  };
  const auto cosine = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  const std::vector<double> fast = embedding({}), small = embedding({"--plan", "small"});
  CHECK(fast == small);  // the same kernels, over weights that are transformed at each run
  // A CPU, or a cap, without bf16 says so.
  const std::vector<std::string> bf16 = {"embed", "--json", "--precision", "bf16", picture("stranger.jpg")};
  const Result capped = f.adaface(bf16, "ONEDNN_MAX_CPU_ISA=AVX2");
  CHECK(capped.code == 2);
  CHECK_CONTAINS(capped.err, "--precision bf16: precision is bf16, which this CPU does not multiply");
  if (adaface::testing::onednn_isa() >= adaface::testing::Isa::avx512_bf16) {
    CHECK(cosine(fast, embedding({"--precision", "bf16"})) > 0.999);
  } else {
    std::printf("skipped: bf16, which this CPU does not multiply\n");
    CHECK(f.adaface(bf16).code == 2);
  }
}

TEST_CASE("align, then embed the crops: the embeddings of the photographs") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path folder = f.directory("align"), crops = f.directory("crops");
  for (const std::string name : {"one", "two"}) {
    fs::create_directories(folder / name);
    fs::copy_file(picture(name == "one" ? "stranger.jpg" : "people/ada/ada1.jpg"),
                  folder / name / "same.jpg");
  }
  fs::copy_file(folder / "one/same.jpg", folder / "one/same.png");
  const Result align = f.adaface({"align", folder.string(), "-o", crops.string(), "--json"});
  CHECK(align.code == 0);
  const std::vector<Json> aligned = lines(align.out);
  REQUIRE(aligned.size() == 3);
  CHECK(count_files(crops) == 3);
  CHECK(aligned[0]["faces"][0]["crop"] == (crops / "one/same.png").string());
  CHECK(aligned[1]["faces"][0]["crop"] == (crops / "one/same~2.png").string());
  CHECK(aligned[2]["faces"][0]["crop"] == (crops / "two/same.png").string());

  const std::string npy = (f.directory("npy") / "x.npy").string();
  const std::vector<Json> whole = lines(f.adaface({"embed", "--json", folder.string(), "--npy", npy}).out);
  const std::vector<Json> cropped = lines(f.adaface({"embed", "--json", "--aligned", crops.string()}).out);
  REQUIRE(whole.size() == 3);
  REQUIRE(cropped.size() == 3);
  const std::string array = read(npy);
  CHECK(array.starts_with("\x93NUMPY"));
  CHECK_CONTAINS(array, "'shape': (3, 512)");
  REQUIRE(array.size() > 3 * 2048);
  for (std::size_t i = 0; i < 3; ++i) {
    const Json &a = whole[i]["faces"][0], &b = cropped[i]["faces"][0];
    CHECK(b.size() == 2);
    CHECK(a["embedding"] == b["embedding"]);
    CHECK(a["norm"] == b["norm"]);
    const auto values = a["embedding"].get<std::vector<float>>();
    REQUIRE(values.size() == 512);
    CHECK(std::string(reinterpret_cast<const char*>(values.data()), 2048) ==
          array.substr(array.size() - (3 - i) * 2048, 2048));
  }
  // The output directory is a file: nothing is written, and the file is left alone.
  const fs::path file = f.directory("blocked") / "file";
  write(file, "mine");
  const Result blocked = f.adaface({"align", picture("stranger.jpg"), "-o", file.string()});
  CHECK(blocked.code == 1);
  CHECK_CONTAINS(blocked.err, file.string());
  CHECK(read(file) == "mine");
}

TEST_CASE("compare: the matrix of dot products") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const std::vector<std::string> files = {picture("people/ada/ada1.jpg"), picture("no_face.jpg"),
                                          picture("stranger.jpg"), picture("people/ada/ada2.jpg")};
  std::vector<std::string> arguments = {"compare", "--json"},
                           embed = {"embed", "--json", "--faces", "largest"};
  arguments.insert(arguments.end(), files.begin(), files.end());
  embed.insert(embed.end(), files.begin(), files.end());
  const Result result = f.adaface(arguments);
  CHECK(result.code == 0);
  const Json compared = Json::parse(result.out);
  CHECK(compared["files"] == files);
  const std::vector<Json> embedded = lines(f.adaface(embed).out);
  const auto& matrix = compared["similarity"];
  REQUIRE(matrix.size() == 4);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 4; ++j) {
      CHECK(matrix[i][j] == matrix[j][i]);
      if (i == 1 || j == 1) {
        CHECK(matrix[i][j].is_null());
        continue;
      }
      const auto a = embedded[i]["faces"][0]["embedding"].get<std::vector<float>>();
      const auto b = embedded[j]["faces"][0]["embedding"].get<std::vector<float>>();
      double dot = 0;
      for (std::size_t k = 0; k < a.size(); ++k) dot += static_cast<double>(a[k]) * b[k];
      // Lengths rounded to float32 may pass 1.
      CHECK(std::abs(matrix[i][j].get<double>() - std::min(dot, 1.0)) < 1e-12);
    }
  arguments.erase(arguments.begin() + 1);
  const Result text = f.adaface(arguments);
  CHECK_CONTAINS(text.out, "no_face.jpg  (no face)\n");
  CHECK_CONTAINS(text.out, "   2        -        -        -        -\n");

  // What cannot be read keeps its place too; nothing but that is no matrix.
  const std::string bad = (f.directory("compare") / "\xff.jpg").string();
  write(bad, "no picture");
  const Result mixed = f.adaface({"compare", "--json", files[0], bad, files[2]});
  CHECK(mixed.code == 1);
  const std::vector<Json> both = lines(mixed.out);
  REQUIRE(both.size() == 2);
  CHECK(both[0].contains("error"));
  CHECK(both[1]["files"].size() == 3);
  CHECK(both[1]["files_hex"][0].is_null());
  CHECK(both[1]["files_hex"][1].get<std::string>().ends_with("2fff2e6a7067"));
  CHECK(both[1]["similarity"][0][1].is_null());
  CHECK(both[1]["similarity"][1][1].is_null());
  CHECK(both[1]["similarity"][0][2] == matrix[0][2]);
  CHECK_CONTAINS(f.adaface({"compare", bad, files[0]}).out, "?.jpg  (unreadable)\n");
  const Result nothing = f.adaface({"compare", bad, bad});
  CHECK(nothing.code == 1);
  CHECK(nothing.out.empty());
  CHECK(lines(f.adaface({"compare", "--json", bad}).out).size() == 1);
}

TEST_CASE("EXIF orientation is applied, but not in reference mode") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const std::string upright = read(picture("stranger.jpg"));
  // After the JPEG's start: an EXIF block that says "turned a quarter" (6).
  std::string turned = upright.substr(0, 2);
  turned += std::string(
      "\xff\xe1\0\x22"
      "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
      36);
  turned += upright.substr(2);
  const fs::path folder = f.directory("exif");
  write(folder / "turned.jpg", turned);
  const auto size = [&](const char* mode) {
    const Json line =
        Json::parse(f.adaface({"detect", "--json", "--mode", mode, (folder / "turned.jpg").string()}).out);
    return std::pair(line["width"].get<int>(), line["height"].get<int>());
  };
  const adaface::Image image = adaface::read_image(picture("stranger.jpg"));
  REQUIRE(image.width() != image.height());
  CHECK(size("standard") == std::pair(image.height(), image.width()));
  CHECK(size("reference") == std::pair(image.width(), image.height()));
}

TEST_CASE("a reader that goes away ends the program quietly") {
  Fixture& f = fixture();
  const Result result = f.run("sh", {"-c", std::string(ADAFACE_CLI) + " info --tensors \"$0\" | head -n 1",
                                     (f.home() / "model.afw").string()});
  CHECK(result.code == 0);
  CHECK(result.err.empty());
}

TEST_CASE("bench prints every layer, the machine's limits and what the layers add up to") {
  Fixture& f = fixture();
  const Result table = f.adaface({"bench", "--layers", "--repetitions", "1", "--threads", "1"});
  CHECK(table.code == 0);
  CHECK(table.err.empty());
  for (const char* part :
       {"ir_18, batch 1, f32, fast plan, 1 thread, 1 repetition\n", "limits: ", " min ms median ms alone ms ",
        "stem ", "stage4.unit01.conv2 ", "head ", "convolutions alone", "whole network", "the columns above"})
    CHECK_CONTAINS(table.out, part);
  // One repetition does not say what lies between the layers.
  const std::string::size_type between = table.out.find("between the layers: ");
  REQUIRE(between != std::string::npos);
  CHECK(table.out.substr(between, table.out.find('\n', between) - between).ends_with(" -"));
  // Of the model; then of the detector, untrained where its weights are not there.
  for (const std::string net : {"", "onet"}) {
    CAPTURE(net);
    std::vector<std::string> arguments = {"bench", "--layers",  "--json", "--repetitions",
                                          "2",     "--threads", "2"};
    if (!net.empty()) arguments.insert(arguments.end(), {"--net", net});
    const Result result = f.adaface(arguments);
    CHECK(result.code == 0);
    const std::vector<Json> json = lines(result.out);
    REQUIRE(json.size() == (net.empty() ? 23 : 10));
    CHECK(json[0]["layer"] == (net.empty() ? "stem" : "onet.conv1"));
    const Json& whole = json.back();
    CHECK(whole["net"] == (net.empty() ? "ir_18" : net));
    CHECK(whole["bench"] == "layers");
    for (const char* limit : {"peak_gflops", "l1_gb_s", "l2_gb_s", "l3_gb_s", "memory_gb_s"})
      CHECK(whole["limits"][limit].get<double>() > 0);
    double sum = 0, limit = 0, share = 0;
    for (std::size_t i = 0; i + 1 < json.size(); ++i) {
      const Json& layer = json[i];
      CAPTURE(layer.dump());
      CHECK(layer["bench"] == "layer");
      for (const char* key :
           {"net", "batch", "precision", "plan", "device", "threads", "repetitions", "context"})
        CHECK(layer[key] == whole[key]);
      CHECK(layer["run_ms"]["q1"].get<double>() >= layer["run_ms"]["min"].get<double>());
      CHECK(layer["run_ms"]["q3"].get<double>() >= layer["run_ms"]["median"].get<double>());
      for (const char* key : {"kind", "shape", "implementation", "level"})
        CHECK(!layer[key].get<std::string>().empty());
      CHECK(layer["run_ms"]["min"].get<double>() <= layer["run_ms"]["median"].get<double>());
      CHECK(layer["alone_ms"]["min"].get<double>() <= layer["alone_ms"]["median"].get<double>());
      CHECK(layer["bytes"].get<double>() ==
            layer["activation_bytes"].get<double>() + layer["weight_bytes"].get<double>());
      const double compute = layer["compute_ms"], bandwidth = layer["bandwidth_ms"];
      const double ms = layer["run_ms"]["min"];
      CHECK(layer["bound_by"] == (compute > bandwidth ? "compute" : layer["level"]));
      CHECK(layer["gflops"].get<double>() * ms ==
            doctest::Approx(2e-6 * layer["multiply_adds"].get<double>()));
      CHECK(layer["of_peak"].get<double>() * ms == doctest::Approx(compute));
      CHECK(layer["of_read"].get<double>() * ms == doctest::Approx(bandwidth));
      CHECK(layer["reached"].get<double>() * ms == doctest::Approx(std::max(compute, bandwidth)));
      sum += ms;
      limit += std::max(compute, bandwidth);
      share += layer["share"].get<double>();
    }
    // Least times of several passes add up to no more than one pass.
    CHECK(sum <= whole["layers_ms"]["min"].get<double>() * (1 + 1e-9));
    CHECK(sum == doctest::Approx(whole["column_ms"]["min"].get<double>()));
    CHECK(limit == doctest::Approx(whole["limit_ms"].get<double>()));
    CHECK(share == doctest::Approx(1));
    CHECK(whole["total_ms"]["min"].get<double>() > 0);
    CHECK(whole["between_ms"]["median"].is_null());
  }
}

TEST_CASE("bench says what it timed, and where") {
  Fixture& f = fixture();
  const std::vector<std::string> arguments = {"bench",     "--batch", "2",      "--repetitions", "3",
                                              "--threads", "2",       "--plan", "small"};
  std::vector<std::string> with_json = arguments;
  with_json.push_back("--json");
  const Result result = f.adaface(with_json, "ADAFACE_MAX_ISA=AVX2");
  REQUIRE(result.code == 0);
  CHECK(result.err.empty());
  const Json line = lines(result.out).at(0);
  const Json expected = {{"bench", "network"}, {"net", "ir_18"},   {"batch", 2},
                         {"precision", "f32"}, {"plan", "small"},  {"device", "cpu"},
                         {"threads", 2},       {"repetitions", 3}, {"count", 2}};
  for (const auto& [key, value] : expected.items()) CHECK(line[key] == value);
  double before = 0;
  for (const char* key : {"min", "q1", "median", "q3", "max"}) {
    CHECK(line["ms"][key].get<double>() >= before);
    before = line["ms"][key];
  }
  CHECK(before > 0);
  const Json& context = line["context"];
  CHECK(context["version"] == adaface::version());
  for (const char* key : {"kernels", "onednn", "onednn_isa"}) CHECK(!context[key].get<std::string>().empty());
  for (const char* key : {"cpu", "cpus"}) CHECK(context.contains(key));
  CHECK(context["caps"]["ADAFACE_MAX_ISA"] == "AVX2");
  CHECK(context["caps"].contains("ONEDNN_MAX_CPU_ISA"));
  const Result text = f.adaface(arguments);
  CHECK_CONTAINS(text.out, "ir_18, batch 2, f32, small plan, 2 threads, 3 repetitions: ");
  CHECK_CONTAINS(text.out, " crops a second\n");
  CHECK_CONTAINS(text.out, "adaface " + std::string(adaface::version()) + ", kernels ");
  if (!f.can_detect()) return;
  const Json detection = lines(f.adaface({"bench", "--image", picture("group.jpg"), "--repetitions", "1",
                                          "--min-face", "60", "--mode", "reference", "--json"})
                                   .out)
                             .at(0);
  CHECK(detection["bench"] == "detection");
  CHECK(detection["width"] == 1000);
  CHECK(detection["mode"] == "reference");
  CHECK(detection["min_face"] == 60);
  CHECK(detection["faces"].is_number());
  CHECK(detection["context"] == lines(f.adaface(with_json).out).at(0)["context"]);
}

TEST_CASE("bench refuses options of what it does not time") {
  Fixture& f = fixture();
  const auto refused = [&](std::vector<std::string> options, const std::string& expected) {
    options.insert(options.begin(), {"bench", "--net", "ir_18"});
    const Result result = f.adaface(options);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK_CONTAINS(result.err, expected);
  };
  refused({"--mode", "reference"}, "--mode requires --image");
  refused({"--min-face", "40"}, "--min-face requires --image");
  refused({"--detector", "/nope"}, "--detector /nope: is for --image, ");
  refused({"--layers", "--detector", "/nope"}, "--detector /nope: is for --image, ");
  refused({"--faces", "best"}, "--faces");
  for (const char* option : {"--image", "--against", "--model", "--detector"})
    refused({option, ""}, std::string("error: ") + option + ": \"\": expected the name of ");
}

TEST_CASE("bench --against: ratios to an earlier run of the same, and to no other") {
  Fixture& f = fixture();
  const fs::path folder = f.directory("against");
  const std::string whole = folder / "whole.json", layers = folder / "layers.json",
                    edited = folder / "edited.json";
  const auto bench = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"bench", "--repetitions", "1", "--threads", "1"});
    return f.adaface(options);
  };
  const Result old = bench({"--json"}), old_layers = bench({"--json", "--layers", "--net", "onet"});
  REQUIRE(old.code == 0);
  REQUIRE(old_layers.code == 0);
  write(whole, old.out);
  write(layers, old_layers.out);

  const Result text = bench({"--against", whole});
  CHECK(text.code == 0);
  CHECK(text.err.empty());
  CHECK_CONTAINS(text.out, "\nnew / old (below 1 is faster): ");
  const Json before = Json::parse(old.out), now = Json::parse(bench({"--json", "--against", whole}).out);
  for (const char* key : {"min", "median"})
    CHECK(now["against"][key].get<double>() ==
          doctest::Approx(now["ms"][key].get<double>() / before["ms"][key].get<double>()));

  const Result table = bench({"--layers", "--net", "onet", "--against", layers});
  CHECK(table.code == 0);
  CHECK(table.err.empty());
  CHECK_CONTAINS(table.out, " share min/old med/old\n");
  const std::vector<Json> rows = lines(old_layers.out),
                          again =
                              lines(bench({"--json", "--layers", "--net", "onet", "--against", layers}).out);
  REQUIRE(again.size() == rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const char* key = i + 1 < rows.size() ? "run_ms" : "total_ms";
    CHECK(again[i]["against"]["median"].get<double>() ==
          doctest::Approx(again[i][key]["median"].get<double>() / rows[i][key]["median"].get<double>()));
  }

  const auto refused = [&](const std::vector<std::string>& options, const std::string& expected) {
    const Result result = bench(options);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK_CONTAINS(result.err, "error: --against ");
    CHECK_CONTAINS(result.err, expected);
  };
  refused({"--against", whole, "--batch", "2"}, "measured with batch 1, this run has 2");
  refused({"--against", whole, "--plan", "small"}, "measured with plan fast, this run has small");
  refused({"--against", whole, "--net", "ir_34"}, "measured with net ir_18, this run has ir_34");
  refused({"--against", whole, "--layers"}, "holds no run of layers");
  refused({"--against", layers}, "holds no run of network");
  refused({"--against", (folder / "none").string()}, "cannot be read");
  refused({"--against", folder.string()}, "cannot be read");
  Json other = before;
  other["threads"] = 7;
  write(edited, other.dump());
  refused({"--against", edited}, "measured with threads 7, this run has 1");
  for (const std::string odd : {"text", "[1]", "{\"bench\": 5}\n{", "{\"net\": \"ir_18\"}"}) {
    write(edited, odd);
    refused({"--against", edited}, "is not what 'adaface bench --json' writes");
  }
  other = before;
  other["ms"] = {{"min", "1"}};
  write(edited, other.dump());
  refused({"--against", edited}, "has no ms min");

  // Of several runs that were appended the last one counts; without a context it has none to differ.
  other = before;
  other.erase("context");
  other["ms"] = {{"min", 1e6}, {"median", 1e6}};
  write(edited, old.out + other.dump() + "\n" + old_layers.out);
  const Result appended = bench({"--json", "--against", edited});
  CHECK(appended.code == 0);
  CHECK(appended.err == "warning: --against " + edited + ": has no context\n");
  CHECK(Json::parse(appended.out)["against"]["min"].get<double>() < 1e-2);

  other = before;
  other["context"]["cpu"] = "another";
  other["context"]["caps"]["ADAFACE_MAX_ISA"] = "avx2";
  other["repetitions"] = 9;
  write(edited, other.dump());
  const Result warned = bench({"--against", edited});
  CHECK(warned.code == 0);
  CHECK_CONTAINS(warned.err, "edited.json: cpu was another, now ");
  CHECK_CONTAINS(warned.err, "edited.json: ADAFACE_MAX_ISA was avx2, now none\n");
  CHECK_CONTAINS(warned.err, "edited.json: repetitions was 9, now 1\n");
}

TEST_CASE("bench --against: whatever has to be alike is, and other pictures are named") {
  Fixture& f = fixture();
  const fs::path folder = f.directory("alike");
  const std::string edited = folder / "edited.json", detector = folder / "mtcnn.afw",
                    image = folder / "grey.png", same = folder / "same.png";
  adaface::testing::write_weights(adaface::weights::Architecture::mtcnn, detector);
  for (const std::string& file : {image, same}) adaface::write_image(file, adaface::Image(48, 36));
  const auto bench = [&](std::vector<std::string> options) {
    options.insert(options.begin(), {"bench", "--repetitions", "1", "--threads", "1", "--json"});
    return f.adaface(options);
  };
  const std::vector<std::string> detection = {"--image", image, "--detector", detector};
  struct Run {
    std::vector<std::string> options;
    std::vector<const char*> alike;
  };
  for (const Run& run :
       {Run{{"--net", "ir_18"}, {"net", "batch", "precision", "plan", "device", "threads"}},
        Run{detection, {"device", "threads", "width", "height", "mode", "min_face", "faces"}},
        Run{{"--layers", "--net", "onet"},
            {"net", "batch", "precision", "plan", "device", "threads", "shape"}}}) {
    const std::vector<Json> old = lines(bench(run.options).out);
    REQUIRE(!old.empty());
    std::vector<std::string> against = run.options;
    against.insert(against.end(), {"--against", edited});
    for (const char* key : run.alike) {
      CAPTURE(key);
      REQUIRE(old.front().contains(key));
      std::string text;
      for (Json line : old) {
        if (line.contains(key)) line[key] = "another";
        text += line.dump() + "\n";
      }
      write(edited, text);
      const Result result = bench(against);
      CHECK(result.code == 2);
      CHECK(result.out.empty());
      CHECK_CONTAINS(result.err, std::string("with ") + key + " another, this run has ");
    }
  }
  write(edited, bench(detection).out);
  const Result again = bench({"--image", image, "--detector", detector, "--against", edited});
  CHECK(again.code == 0);
  CHECK(again.err.empty());
  CHECK(Json::parse(again.out)["against"]["median"].get<double>() > 0);
  const Result renamed = bench({"--image", same, "--detector", detector, "--against", edited});
  CHECK(renamed.code == 0);
  CHECK(renamed.err == "warning: --against " + edited + ": image was " + image + ", now " + same + "\n");
}

TEST_CASE("caps of instruction sets: in any case, and a word about those that are none") {
  Fixture& f = fixture();
  const std::string crop = f.directory("caps") / "crop.png";
  adaface::write_image(crop, adaface::Image(112, 112));
  const auto version = [&](const std::string& environment) {
    return f.adaface({"--version"}, environment).out;
  };
  CHECK_CONTAINS(version("ADAFACE_MAX_ISA=Reference"), "\nkernels: reference\n");
  CHECK(!contains(version("ADAFACE_MAX_ISA=Reference"), "unknown cap"));
  CHECK_CONTAINS(
      version("ADAFACE_MAX_ISA=avx9"),
      "\nunknown cap: ADAFACE_MAX_ISA=avx9 caps nothing, expected reference, sse41, avx2 or avx512\n");
  const Result warned = f.adaface({"embed", "--aligned", crop}, "ADAFACE_MAX_ISA=avx9");
  CHECK(warned.code == 0);
  CHECK(warned.err ==
        "warning: ADAFACE_MAX_ISA=avx9 caps nothing, expected reference, sse41, avx2 or avx512\n");
  for (const char* known : {"", "avx512", "SSE41"})
    CHECK(f.adaface({"embed", "--aligned", crop}, std::string("ADAFACE_MAX_ISA=") + known).err.empty());
  if (adaface::testing::isa_of_cpu() < adaface::testing::Isa::avx2) {
    std::printf("skipped: caps below AVX2, which this CPU does not have\n");
    return;
  }
  CHECK_CONTAINS(version("ADAFACE_MAX_ISA=AVX2 ONEDNN_MAX_CPU_ISA=avx2"),
                 "\nkernels: avx2\nonednn isa: AVX2\n");
  CHECK(!contains(version("ADAFACE_MAX_ISA=avx2 ONEDNN_MAX_CPU_ISA=AVX2"), "caps differ"));
  CHECK_CONTAINS(version("ADAFACE_MAX_ISA=sse41 ONEDNN_MAX_CPU_ISA=AVX2"),
                 "\ncaps differ: kernels sse41, oneDNN AVX2; ");
}

TEST_CASE("bench --layers: any batch, and the detector's file that was named") {
  Fixture& f = fixture();
  const fs::path folder = f.directory("detector"), file = folder / "named.afw";
  adaface::testing::write_weights(adaface::weights::Architecture::mtcnn, file);
  const auto layers = [&](const std::string& batch) {
    const Result result = f.run(ADAFACE_CLI,
                                {"bench", "--layers", "--net", "rnet", "--detector", file.string(), "--json",
                                 "--batch", batch, "--repetitions", "1", "--threads", "1"},
                                "ADAFACE_HOME=" + quoted((folder / "nowhere").string()));
    CHECK(result.code == 0);
    CHECK(result.err.empty());
    return lines(result.out);
  };
  const std::vector<Json> one = layers("1"), three = layers("3");
  REQUIRE(one.size() > 5);
  REQUIRE(three.size() == one.size());
  CHECK(one.back()["batch"] == 1);
  CHECK(three.back()["batch"] == 3);
  for (std::size_t i = 0; i + 1 < one.size(); ++i)
    for (const char* key : {"multiply_adds", "executed_multiply_adds", "activation_bytes", "weight_bytes"})
      CHECK(three[i][key].get<double>() == 3 * one[i][key].get<double>());
}

TEST_CASE("bench without a weight file makes weights up, and says so") {
  Fixture& f = fixture();
  const std::string nowhere = "ADAFACE_HOME=" + quoted(f.directory("nowhere").string());
  const std::vector<std::string> arguments = {"bench",  "--layers", "--net",         "pnet",
                                              "--side", "24",       "--repetitions", "1"};
  const Result made_up = f.run(ADAFACE_CLI, arguments, nowhere);
  CHECK(made_up.code == 0);
  CHECK_CONTAINS(made_up.err, "mtcnn.afw: not there");
  CHECK_CONTAINS(made_up.out, "3x24x24 -> 6x7x7");
  const fs::path temporary = f.directory("temporary");
  CHECK(f.run(ADAFACE_CLI, arguments, nowhere + " TMPDIR=" + quoted(temporary.string())).code == 0);
  CHECK(fs::is_empty(temporary));
  const Result unwritable = f.run(ADAFACE_CLI, arguments, nowhere + " TMPDIR=/dev/null");
  CHECK(unwritable.code == 1);
  CHECK(unwritable.out.empty());
  // A file that was named is never replaced by made-up weights, nor is the model without --net.
  for (const std::vector<std::string>& named :
       std::vector<std::vector<std::string>>{{"bench", "--layers", "--net", "pnet", "--detector", "nope.afw"},
                                             {"bench", "--net", "ir_18", "--model", "nope.afw"}}) {
    const Result result = f.run(ADAFACE_CLI, named, nowhere);
    CHECK(result.code == 3);
    CHECK_CONTAINS(result.err, "nope.afw: ");
  }
  CHECK(f.run(ADAFACE_CLI, {"bench", "--layers"}, nowhere).code == 3);
  const Result odd = f.run(ADAFACE_CLI, {"bench", "--layers", "--net", "pnet", "--side", "13"}, nowhere);
  CHECK(odd.code == 2);
  CHECK_CONTAINS(odd.err, "side is 13, expected an even number of pixels");
  CHECK(odd.out.empty());
}
