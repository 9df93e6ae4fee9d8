// The programs as a user runs them, with models of this run: an untrained ir_18, and MTCNN where its
// published weights are.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/golden.h"

namespace adaface::testing {

namespace fs = std::filesystem;
using Json = nlohmann::json;

inline std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string quoted(const std::string& word) {
  std::string result = "'";
  for (char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

struct Result {
  int code;
  std::string out, err;
};

// One directory for the whole run; the weights are made once.
class Fixture {
 public:
  Result run(const std::string& program, const std::vector<std::string>& arguments,
             const std::string& environment = "") {
    std::string command = environment;
    // An emulator, where meson runs programs of another architecture.
    if (const char* wrapper = std::getenv("MESON_EXE_WRAPPER"); wrapper && program.starts_with('/'))
      command.append(" ").append(wrapper);
    command.append(" ").append(quoted(program));
    for (const std::string& argument : arguments) command.append(" ").append(quoted(argument));
    const fs::path out = scratch_.path / "stdout", err = scratch_.path / "stderr";
    command += " >" + quoted(out.string()) + " 2>" + quoted(err.string()) + " </dev/null";
    const int status = std::system(command.c_str());
    const Result result{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read(out),
                        read(err)};
    INFO(command);
    CHECK(result.code <= 3);
    return result;
  }

  // adaface with the models of this run.
  Result adaface(const std::vector<std::string>& arguments, const std::string& environment = "") {
    return run(ADAFACE_CLI, arguments, "ADAFACE_HOME=" + quoted(home().string()) + " " + environment);
  }

  const fs::path& home() {
    if (home_.empty()) {
      home_ = scratch_.path / "home";
      fs::create_directories(home_);
      const std::string ckpt = (home_ / "untrained.ckpt").string();
      REQUIRE(run(ADAFACE_SYNTHETIC, {"ir_18", "1", ckpt}).code == 0);
      REQUIRE(run(ADAFACE_CONVERT, {ckpt, "-o", (home_ / "model.afw").string()}).code == 0);
      const fs::path mtcnn = shared_directory() / "weights/mtcnn";
      if (fs::exists(mtcnn))
        REQUIRE(run(ADAFACE_CONVERT, {"--mtcnn", (mtcnn / "pnet.npy").string(), (mtcnn / "rnet.npy").string(),
                                      (mtcnn / "onet.npy").string(), "-o", (home_ / "mtcnn.afw").string()})
                    .code == 0);
    }
    return home_;
  }

  bool can_detect() { return have(shared_directory() / "weights/mtcnn") && fs::exists(home() / "mtcnn.afw"); }

  // An empty directory of this name.
  fs::path directory(const std::string& name) {
    const fs::path path = scratch_.path / name;
    fs::remove_all(path);
    fs::create_directories(path);
    return path;
  }

 private:
  Scratch scratch_{"program"};
  fs::path home_;
};

inline Fixture& fixture() {
  static Fixture instance;
  return instance;
}

inline std::string picture(const std::string& name) {
  return (source_root() / "tests/data/synthetic_faces" / name).string();
}

inline std::vector<Json> lines(const std::string& text) {
  std::vector<Json> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.push_back(Json::parse(line));
  return result;
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
#define CHECK_CONTAINS(text, part) CHECK_MESSAGE(::adaface::testing::contains(text, part), "got: ", text)

}  // namespace adaface::testing
