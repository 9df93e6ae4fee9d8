// docs/examples as a user of the installed library builds them, by the commands that stand in them, from a
// prefix that was moved; what they print is what the library computes here.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "src/adaface.hpp"
#include "src/runtime.hpp"
#include "tests/installed.h"
#include "tests/synthetic_weights.h"

namespace {

namespace fs = std::filesystem;
using adaface::testing::fixture;
using adaface::testing::installed;
using adaface::testing::picture;
using adaface::testing::quoted;
using adaface::testing::read;
using adaface::testing::Result;
using adaface::testing::Scratch;
using adaface::testing::source_root;
using adaface::testing::write;

// An untrained network, a detector that takes every window for a face, and small pictures.
struct Models {
  Scratch scratch{"examples"};
  const std::string model = (scratch.path / "model.afw").string();
  const std::string detector = (scratch.path / "mtcnn.afw").string();
  std::string faces[2], crops[2];

  Models() {
    using adaface::weights::Architecture;
    adaface::testing::write_weights(Architecture::ir_18, model);
    adaface::testing::write_weights(
        Architecture::mtcnn, detector, adaface::weights::DataType::f32, [](const auto& row, auto& values) {
          if (row.name.find(".score.") == row.name.npos && row.name.find(".offset.") == row.name.npos &&
              row.name.find(".landmark.") == row.name.npos)
            return;
          std::fill(values.begin(), values.end(), 0.0f);
          if (row.name.ends_with(".score.bias")) values[1] = 4;  // 0.98 of the softmax
          if (row.name.ends_with(".landmark.bias"))
            values = {0.3f, 0.7f, 0.5f, 0.35f, 0.65f, 0.4f, 0.4f, 0.6f, 0.8f, 0.8f};
        });
    const char* names[2] = {"people/ada/ada1.jpg", "people/bruno/bruno1.jpg"};
    for (int i = 0; i < 2; ++i) {
      const adaface::Image image = adaface::read_image(picture(names[i]));
      faces[i] = (scratch.path / ("face" + std::to_string(i) + ".png")).string();
      crops[i] = (scratch.path / ("crop" + std::to_string(i) + ".png")).string();
      adaface::write_image(faces[i], adaface::resize_image(image, 60, 60));
      adaface::write_image(crops[i], adaface::resize_image(image, 112, 112));
    }
  }

  // What the examples should print of both faces.
  std::string similarity() const {
    adaface::Engine engine({.model = model, .detector = detector, .faces = adaface::FaceSelection::largest});
    const auto a = engine.analyze(adaface::read_image(faces[0]));
    const auto b = engine.analyze(adaface::read_image(faces[1]));
    REQUIRE(a.size() == 1);
    REQUIRE(b.size() == 1);
    return formatted(adaface::similarity(a[0].embedding, b[0].embedding));
  }
  std::string similarity_of_crops() const {
    adaface::Embedder embedder(adaface::Weights::load(model));
    return formatted(adaface::similarity(embedder.embed(adaface::read_image(crops[0])),
                                         embedder.embed(adaface::read_image(crops[1]))));
  }

  static std::string formatted(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4f\n", value);
    return text;
  }
};

const Models& models() {
  static const Models instance;
  return instance;
}

// A copy of docs/examples/NAME.
fs::path example(const std::string& name) {
  const fs::path copy = models().scratch.path / name;
  fs::remove_all(copy);
  fs::copy(source_root() / "docs/examples" / name, copy, fs::copy_options::recursive);
  return copy;
}

// The command that a file's head gives after its comment sign, by the compilers of this build.
std::string command(const fs::path& file, const std::string& beginning) {
  std::istringstream text(read(file));
  for (std::string line; std::getline(text, line);) {
    const std::size_t start = line.find(beginning);
    if (start == line.npos) continue;
    line.erase(0, start);
    for (std::string more; line.ends_with('|') && std::getline(text, more);) line += more.substr(2);
    if (line.starts_with("g++ ")) line.replace(0, 3, ADAFACE_CXX);
    return line;
  }
  FAIL(file.string(), ": no command ", beginning);
  return {};
}

// Runs it in `directory`, where it must succeed without a word.
void build(const std::string& line, const fs::path& directory) {
  const Result result = installed().shell(line, directory);
  REQUIRE_MESSAGE(result.code == 0, line, "\n", result.out, result.err);
  CHECK(result.err == "");
}

Result run(const fs::path& program, const std::vector<std::string>& arguments) {
  std::string line = quoted(program.string());
  for (const std::string& argument : arguments) line += " " + quoted(argument);
  return installed().shell(line);
}

void compare(const fs::path& program) {
  const Models& m = models();
  Result result = run(program, {m.model, m.detector, m.faces[0], m.faces[1]});
  CHECK(result.err == "");
  CHECK(result.out == m.similarity());
  result = run(program, {m.model, m.detector, m.faces[0], m.faces[0]});
  CHECK(result.out == "1.0000\n");
  // Smaller than the smallest face.
  const std::string small = (source_root() / "tests/data/images/rgb.png").string();
  result = run(program, {m.model, m.detector, m.faces[0], small});
  CHECK(result.code == 1);
  CHECK(result.err == small + ": no face\n");
  CHECK(result.out == "");
  result = run(program, {m.model, m.detector, "/nowhere.jpg", small});
  CHECK(result.code == 1);
  CHECK_CONTAINS(result.err, "/nowhere.jpg");
  CHECK_CONTAINS(result.err, "(not_found)");
  CHECK(run(program, {m.model}).code == 2);
}

bool have_cmake() {
  if (installed().shell("command -v cmake").code == 0) return true;
  std::printf("skipped: no cmake\n");
  return false;
}

}  // namespace

TEST_CASE("C, by pkg-config") {
  const fs::path directory = example("c");
  const std::string line = command(directory / "compare.c", "cc ");
  build(line + " -std=c99 -pedantic -Wall -Wextra -Werror", directory);
  compare(directory / "compare");
  // Static needs the C++ runtime to be named.
  build(
      "cc compare.c -o static $(pkg-config --static --cflags --libs adaface | sed "
      "s/-ladaface/-l:libadaface.a/)",
      directory);
  compare(directory / "static");
}

TEST_CASE("C++, by pkg-config") {
  const fs::path directory = example("cpp");
  build(command(directory / "compare.cpp", "g++ "), directory);
  compare(directory / "compare");
}

// With the path of the libraries linked in, as the README says of a prefix of one's own.
TEST_CASE("the README's first embeddings, and what they say of a wrong path") {
  const fs::path directory = models().scratch.path;  // with model.afw and mtcnn.afw
  const std::string text = read(source_root() / "README.md");
  const std::pair<std::string, std::string> languages[] = {{"c", "cc first.c"},
                                                           {"cpp", ADAFACE_CXX " -std=c++20 first.cpp"}};
  std::set<std::string> printed;
  for (const auto& [language, compile] : languages) {
    INFO(language);
    const std::size_t begin = text.find("```" + language + "\n") + language.size() + 4;
    write(directory / ("first." + language), text.substr(begin, text.find("```", begin) - begin));
    build(compile + " $(pkg-config --cflags --libs adaface) -Wl,-rpath," +
              quoted((installed().prefix / ADAFACE_LIBDIR).string()),
          directory);
    Result result =
        installed().shell("env -u LD_LIBRARY_PATH ./a.out " + quoted(models().faces[0]), directory);
    CHECK(result.code == 0);
    CHECK_CONTAINS(result.out, " ... norm ");
    printed.insert(result.out.substr(0, result.out.find('\n')));
    result = installed().shell("env -u LD_LIBRARY_PATH ./a.out /nowhere.jpg", directory);
    CHECK(result.code == 1);
    CHECK(result.err == "/nowhere.jpg: cannot open: No such file or directory\n");
  }
  CHECK(printed.size() == 1);  // of the surest face
}

TEST_CASE("static, by pkg-config: nothing of ours is loaded") {
  const Models& m = models();
  const fs::path directory = example("static");
  build(command(directory / "crops.cpp", "g++ "), directory);
  const fs::path program = directory / "crops";
  CHECK(run(program, {m.model, m.crops[0], m.crops[1]}).out == m.similarity_of_crops());
  const Result result = run(program, {m.model, m.crops[0], m.faces[0]});
  CHECK(result.code == 1);
  CHECK_CONTAINS(result.err, "(invalid_argument)");
  CHECK(!adaface::testing::contains(installed().shell("readelf -d " + quoted(program.string())).out,
                                    "libadaface"));
}

TEST_CASE("static, as docs/deploy.md says: small, and nothing of ours is loaded") {
  if (!fs::exists(installed().library("libadaface-gallery.a"))) return;
  const fs::path directory = example("cmake");
  fs::rename(directory / "nearest.cpp", directory / "who.cpp");
  const std::string readme = read(source_root() / "README.md"), text = read(source_root() / "docs/deploy.md");
  const std::size_t begin = readme.find("```cpp\n") + 7;
  write(directory / "first.cpp", readme.substr(begin, readme.find("```", begin) - begin));
  for (const std::string name : {"first", "who"}) {
    INFO(name);
    const std::string beginning = "c++ -std=c++20 " + name + ".cpp", end = "&& strip " + name;
    const std::size_t at = text.find(beginning);
    REQUIRE(at != text.npos);
    build(ADAFACE_CXX + text.substr(at + 3, text.find(end, at) + end.size() - at - 3), directory);
    const Result needed = installed().shell("readelf -d " + quoted((directory / name).string()));
    CHECK(!adaface::testing::contains(needed.out, "libadaface"));
    CHECK_CONTAINS(needed.out, "libdnnl");
    // The device's kernels and the CUDA runtime, where they are built in.
    const bool has_cuda = !adaface::testing::contains(adaface::build_info(), "built without CUDA");
    CHECK(fs::file_size(directory / name) < (has_cuda ? 8'000'000 : 2'000'000));
    CHECK(run(directory / name, {}).code == 2);
  }
}

TEST_CASE("CMake, shared and static") {
  if (!have_cmake() || !fs::exists(installed().library("libadaface-gallery.a"))) return;
  const Models& m = models();
  const fs::path directory = example("cmake");
  const std::string line =
      command(directory / "CMakeLists.txt", "cmake ") + " > log 2>&1 || { cat log; exit 1; }";
  for (const std::string suffix : {"", "_static"}) {
    const std::string text = read(directory / "CMakeLists.txt");
    write(directory / "CMakeLists.txt",
          text.substr(0, text.find("adaface::gallery")) + "adaface::gallery" + suffix + ")\n");
    build("CXX=" + quoted(ADAFACE_CXX) + "; export CXX; " + line, directory);
    const Result result =
        run(directory / "build/nearest", {m.model, m.detector, m.faces[0], m.faces[1], m.faces[0]});
    CHECK(result.err == "");
    CHECK_MESSAGE(result.out.find(m.faces[0] + " 1.0000\n") != std::string::npos, result.out);
    const Result needed = installed().shell("readelf -d " + quoted((directory / "build/nearest").string()));
    CHECK(adaface::testing::contains(needed.out, "libadaface-gallery.so.1") == suffix.empty());
    CHECK(adaface::testing::contains(needed.out, "libadaface.so.1") == suffix.empty());
    CHECK(run(directory / "build/nearest", {m.model, m.detector, "/nowhere.jpg", "/nowhere.jpg"}).code == 1);
  }
}

// A project without C++ is not asked for a standard of it, nor for a linker that knows it.
TEST_CASE("CMake, C alone") {
  if (!have_cmake()) return;
  const fs::path directory = example("c");
  write(directory / "CMakeLists.txt",
        "cmake_minimum_required(VERSION 3.12)\nproject(p C)\nfind_package(adaface 1 CONFIG REQUIRED)\n"
        "add_executable(shared compare.c)\ntarget_link_libraries(shared adaface::adaface)\n"
        "add_executable(static compare.c)\ntarget_link_libraries(static adaface::adaface_static)\n");
  build("{ cmake -S . -B build && cmake --build build; } > log 2>&1 || { cat log; exit 1; }", directory);
  for (const char* program : {"build/shared", "build/static"})
    CHECK(run(directory / program, {models().model, models().detector, models().faces[0], models().faces[0]})
              .out == "1.0000\n");
}

TEST_CASE("CMake refuses another version, and a component that is not there") {
  if (!have_cmake()) return;
  const auto configure = [](const std::string& wanted) {
    const fs::path directory = models().scratch.path / "versions";
    fs::remove_all(directory);
    fs::create_directories(directory);
    write(directory / "CMakeLists.txt",
          "cmake_minimum_required(VERSION 3.12)\nproject(p C)\nfind_package(adaface " + wanted +
              " CONFIG REQUIRED)\n");
    return installed().shell("cmake -S . -B build 2>&1", directory);
  };
  CHECK(configure("").code == 0);
  CHECK(configure("1.0").code == 0);
  CHECK_CONTAINS(configure("0.1").out, "version: 1.");
  CHECK_CONTAINS(configure("1.999").out, "version: 1.");
  CHECK_CONTAINS(configure("2.0").out, "version: 1.");
  CHECK_CONTAINS(configure("1.0 COMPONENTS telepathy").out, "no component telepathy");
}

TEST_CASE("a program of another C++ interface does not link, and names why") {
  const fs::path directory = example("cpp");
  const std::string line = command(directory / "compare.cpp", "g++ ");
  write(directory / "old.cpp",
        "#define adaface_cpp_abi_2 adaface_cpp_abi_0\n" + read(directory / "compare.cpp"));
  std::string old = line;
  for (std::size_t at = 0; (at = old.find("compare", at)) != old.npos; at += 3) old.replace(at, 7, "old");
  const Result result = installed().shell(old, directory);
  CHECK(result.code != 0);
  CHECK_CONTAINS(result.err, "adaface_cpp_abi_0");

  // Nor does one start that was linked with another library, however late it binds its functions.
  const std::string compile = "cc -shared -fPIC then.c -o then.so";
  write(directory / "then.c", "const char adaface_cpp_abi_0 = 0;\n");
  build(compile, directory);
  build(old + " -Wl,-z,lazy ./then.so", directory);
  write(directory / "then.c", "");
  build(compile, directory);
  const Result started =
      installed().shell("./old || exit 3", directory);  // wrong usage would be 2, of its own
  CHECK(started.code == 3);
  CHECK_CONTAINS(started.err, "adaface_cpp_abi_0");
}

TEST_CASE("the prefix holds what it should, and nothing foreign") {
  const std::string lib = ADAFACE_LIBDIR, include = std::string(ADAFACE_INCLUDEDIR) + "/adaface";
  std::set<std::string> expected{"bin/adaface",
                                 "bin/adaface-convert",
                                 "bin/adaface-synthetic",
                                 include + "/adaface.h",
                                 include + "/adaface.hpp",
                                 include + "/runtime.hpp",
                                 include + "/error.hpp",
                                 include + "/export.h",
                                 "share/doc/adaface/LICENSE",
                                 "share/doc/adaface/THIRD-PARTY.md",
                                 lib + "/cmake/adaface/adaface-config.cmake",
                                 lib + "/cmake/adaface/adaface-config-version.cmake"};
  std::vector<std::string> names{"adaface"};
  if (fs::exists(installed().library("libadaface-gallery.so"))) {
    names.push_back("adaface-gallery");
    expected.insert(include + "/gallery.hpp");
  }
  for (const std::string& name : names)
    for (const std::string end : {".so", ".so.1", ".so." ADAFACE_VERSION, ".a"})
      expected.insert(lib + "/lib" + name + end);
  for (const std::string& name : names) expected.insert(lib + "/pkgconfig/" + name + ".pc");
  const std::set<std::string> found = installed().files();
  for (const std::string& file : expected) CHECK_MESSAGE(found.contains(file), file, " is missing");
  for (const std::string& file : found) CHECK_MESSAGE(expected.contains(file), file, " is foreign");
}

TEST_CASE("the binaries are accompanied by their licences") {
  for (const std::string name : {"LICENSE", "THIRD-PARTY.md"})
    CHECK(read(installed().prefix / "share/doc/adaface" / name) == read(source_root() / name));
}

TEST_CASE("the programs start from a prefix that nobody was told of") {
  for (const std::string name : {"adaface", "adaface-convert", "adaface-synthetic"}) {
    const Result result = installed().shell(
        "env -u LD_LIBRARY_PATH " + quoted((installed().prefix / "bin" / name).string()) + " --version");
    CHECK(result.err == "");
    CHECK_CONTAINS(result.out, name + " " ADAFACE_VERSION "\n");
  }
}
