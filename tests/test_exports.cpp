// The libraries as a linker and a loader see them: what they export, what they ask for, how they are
// protected.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "tests/installed.h"

#include <map>
#include <regex>

namespace {

namespace fs = std::filesystem;
using adaface::testing::installed;
using adaface::testing::quoted;
using adaface::testing::read;
using adaface::testing::source_root;

std::vector<std::string> lines_of(const std::string& command) {
  const auto result = installed().shell(command);
  REQUIRE_MESSAGE(result.code == 0, command, "\n", result.err);
  std::vector<std::string> lines;
  std::istringstream stream(result.out);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Names of dynamic symbols, C++ ones as they are written. Lines of nm: [address] type name.
std::set<std::string> symbols(const std::string& which, const std::string& library) {
  std::set<std::string> names;
  for (const std::string& line :
       lines_of("nm -D -C " + which + " " + quoted(installed().library(library).string()))) {
    std::smatch match;
    REQUIRE_MESSAGE(std::regex_match(line, match, std::regex("[0-9a-f ]* [A-Za-z] (.*)")), line);
    names.insert(std::regex_replace(match[1].str(), std::regex("\\[abi:cxx11\\]"), ""));
  }
  return names;
}
std::set<std::string> exports(const std::string& library) {
  return symbols("--defined-only", library);
}

// Installed programs and shared libraries, each once.
std::vector<fs::path> binaries() {
  std::vector<fs::path> result;
  for (const std::string& name : installed().files()) {
    const fs::path path = installed().prefix / name;
    if (!fs::is_symlink(path) && read(path).starts_with("\x7f"
                                                        "ELF"))
      result.push_back(path);
  }
  return result;
}

// A public header without its comments, in which names of the interface stand as well.
std::string header(const std::string& name) {
  std::string text = read(installed().prefix / ADAFACE_INCLUDEDIR / "adaface" / name);
  for (const auto& [begin, end] : {std::pair("//", "\n"), std::pair("/*", "*/")})
    for (std::size_t at = 0; (at = text.find(begin, at)) != text.npos;)
      text.erase(at, text.find(end, at) - at);
  return text;
}

// Whether `headers` mark what this symbol belongs to: a function, or the class of a member.
bool is_public(const std::string& symbol, const std::string& headers) {
  std::smatch match;
  if (std::regex_match(symbol, match,
                       std::regex("(?:typeinfo for|typeinfo name for|vtable for) adaface::(\\w+)")) ||
      std::regex_match(symbol, match, std::regex("adaface::([A-Z]\\w*)::(?:Transaction::)?[~\\w]+=?\\(.*")))
    return std::regex_search(headers, std::regex("class ADAFACE_API " + match[1].str() + "\\b"));
  if (std::regex_match(symbol, match, std::regex("adaface::(?:memory::)?(\\w+)\\(.*")) ||
      std::regex_match(symbol, match, std::regex("(adaface_\\w+)")))
    return std::regex_search(headers, std::regex("ADAFACE_API [^;{}]*\\b" + match[1].str() + "\\b"));
  return false;
}

// NAME of "NAME.so.1", or of a program.
std::string without_version(const std::string& file) {
  return file.substr(0, file.find(".so"));
}

std::set<std::string> needed_by(const fs::path& path) {
  std::set<std::string> result;
  for (const std::string& line : lines_of("readelf -dW " + quoted(path.string()))) {
    std::smatch match;
    if (std::regex_search(line, match, std::regex("\\(NEEDED\\).*\\[(.*)\\]")))
      result.insert(without_version(match[1]));
  }
  return result;
}

std::vector<std::smatch> matches(const std::string& text, const std::regex& pattern) {
  return {std::sregex_iterator(text.begin(), text.end(), pattern), std::sregex_iterator()};
}

std::set<std::string> in_backticks(const std::string& text) {
  std::set<std::string> result;
  for (const std::smatch& match : matches(text, std::regex("`(adaface[a-z-]*|lib[^` ]*)`")))
    result.insert(without_version(match[1]));
  return result;
}

struct Library {
  std::string name;
  std::vector<std::string> headers;
  std::set<std::string> needed;  // without versions
};

// The loader is there where thread-local storage asks for it; the last three where glibc is older than 2.34.
const std::set<std::string> kGlibc{"libc",  "libm", "ld-linux-x86-64", "ld-linux-aarch64", "libpthread",
                                   "libdl", "librt"};
const std::set<std::string> kCompiler{"libstdc++", "libgcc_s"};

std::vector<Library> libraries() {
  std::vector<Library> result{
      {"libadaface.so", {"adaface.h", "adaface.hpp", "error.hpp", "runtime.hpp"}, {"libdnnl"}}};
  if (fs::exists(installed().library("libadaface-gallery.so")))
    result.push_back({"libadaface-gallery.so", {"gallery.hpp"}, {"libadaface", "libsqlite3"}});
  return result;
}

}  // namespace

TEST_CASE("the public interface is exported, and nothing else") {
  for (const Library& library : libraries()) {
    INFO(library.name);
    std::string headers;
    for (const std::string& name : library.headers) headers += header(name);
    const std::set<std::string> exported = exports(library.name);
    for (const std::string& symbol : exported) CHECK_MESSAGE(is_public(symbol, headers), symbol);

    // And the other way about: every function and class that a header marks.
    const std::regex marked("ADAFACE_API [^;{}(]*?\\b(\\w+)(?= [:{]|\\(|;)");
    std::size_t count = 0;
    for (std::sregex_iterator i(headers.begin(), headers.end(), marked), end; i != end; ++i, ++count) {
      const std::string name = (*i)[1];
      const bool found = std::any_of(exported.begin(), exported.end(), [&](const std::string& symbol) {
        return symbol == name || symbol.starts_with("adaface::" + name + "(") ||
               symbol.starts_with("adaface::memory::" + name + "(") ||
               symbol.starts_with("adaface::" + name + "::");
      });
      CHECK_MESSAGE(found, name, " is not exported");
    }
    CHECK(count > 4);
  }
}

// Errors are caught by type, and a second type_info of the same class is another type for some runtimes.
TEST_CASE("what the engine exports exists once") {
  if (libraries().size() < 2) return;
  const std::set<std::string> engine = exports("libadaface.so");
  for (const std::string& symbol : exports("libadaface-gallery.so"))
    CHECK_MESSAGE(!engine.contains(symbol), symbol);
  CHECK(symbols("--undefined-only", "libadaface-gallery.so").contains("typeinfo for adaface::Error"));
}

TEST_CASE("the libraries need what they are documented to need") {
  for (const Library& library : libraries()) {
    INFO(library.name);
    std::set<std::string> missing = library.needed;
    for (const std::string& name : needed_by(installed().library(library.name))) {
      CHECK_MESSAGE((kGlibc.contains(name) || kCompiler.contains(name) || library.needed.contains(name)),
                    name);
      missing.erase(name);
    }
    CHECK(missing.empty());
  }
}

// By a path that starts at the file itself: the prefix of `installed` was moved, and no loader was told of
// it.
TEST_CASE("what needs our libraries finds them beside itself, and looks nowhere else") {
  int finding = 0;
  for (const fs::path& path : binaries()) {
    INFO(path.string());
    bool needs = false;
    std::vector<std::string> found;
    for (const std::string& line : lines_of("readelf -dW " + quoted(path.string()))) {
      std::smatch match;
      needs |= std::regex_search(line, std::regex("\\(NEEDED\\).*\\[libadaface"));
      if (std::regex_search(line, match, std::regex("\\(RUNPATH\\).*\\[(.*)\\]"))) found.push_back(match[1]);
    }
    CHECK(found.size() == (needs ? 1u : 0u));
    for (const std::string& runpath : found) {
      ++finding;
      CHECK_MESSAGE(runpath.starts_with("$ORIGIN"), runpath);
      const fs::path directory = path.parent_path().string() + runpath.substr(std::string("$ORIGIN").size());
      CHECK_MESSAGE(fs::equivalent(directory, installed().prefix / ADAFACE_LIBDIR), runpath);
    }
  }
  CHECK(finding >= 1);
}

TEST_CASE("docs/deploy.md names every library that the installed files need, and by whom") {
  const std::string document = read(source_root() / "docs/deploy.md");
  // Cells in backticks: a library of the first, what needs it of the second; by their names without a
  // version.
  std::map<std::string, std::set<std::string>> documented;
  std::set<std::string> named;
  for (const std::smatch& row : matches(document, std::regex("\\n\\|([^|\\n]*`lib[^|\\n]*)\\|([^|\\n]*)\\|")))
    for (const std::string& library : in_backticks(row[1])) {
      named.insert(library);
      for (const std::string& user : in_backticks(row[2])) documented[library].insert(user);
    }
  REQUIRE(documented.size() >= 5);

  std::map<std::string, std::set<std::string>> needed;
  for (const fs::path& path : binaries()) {
    const std::string user = without_version(path.filename().string());
    if (user == "adaface-synthetic") continue;  // for tests, not to be shipped
    for (const std::string& library : needed_by(path))
      if (!kGlibc.contains(library)) needed[library].insert(user);
  }
  for (const auto& [library, users] : needed)
    for (const std::string& user : users)
      CHECK_MESSAGE(documented[library].contains(user), library, " is needed by ", user);
  // A build without galleries needs less.
  if (libraries().size() == 2)
    for (const auto& [library, users] : documented)
      for (const std::string& user : users)
        CHECK_MESSAGE(needed[library].contains(user), library, " is not needed by ", user);

  // What those need in turn is another matter on each system.
  if (!read("/etc/debian_version").starts_with("12.")) {
    std::printf("skipped: not Debian 12\n");
    return;
  }
  const std::regex package_list("apt-get install -y --no-install-recommends ([a-z0-9 .+-]+) &&");
  std::smatch match;
  REQUIRE(std::regex_search(document, match, package_list));
  std::set<std::string> packages;
  std::istringstream words(match[1]);
  for (std::string word; words >> word;) packages.insert(word);
  std::set<std::string> asked;
  for (const fs::path& path : binaries()) {
    for (const std::string& line : lines_of("ldd " + quoted(path.string()))) {
      std::smatch loaded;
      if (!std::regex_search(line, loaded, std::regex("(\\S+)\\.so\\S* => (/\\S+)"))) continue;
      const std::string library = loaded[1];
      if (!kGlibc.contains(library)) CHECK_MESSAGE(named.contains(library), library, " has no row");
    }
    for (const std::string& library : needed_by(path)) {
      if (kGlibc.contains(library) || kCompiler.contains(library) || library.starts_with("libadaface"))
        continue;
      const auto owner = lines_of("dpkg-query -S '/usr/lib/*/" + library + ".so.[0-9]*' | sort | head -n 1");
      REQUIRE(owner.size() == 1);
      asked.insert(owner[0].substr(0, owner[0].find(':')));
    }
  }
  if (libraries().size() == 2) CHECK(asked == packages);
}

TEST_CASE("no installed file has a writable and executable part, or a path of the machine that built it") {
  const std::vector<fs::path> files = binaries();
  for (const fs::path& path : files) {
    INFO(path.string());
    bool relro = false, bind_now = false, stack = false;
    for (const std::string& line : lines_of("readelf -dlW " + quoted(path.string()))) {
      CHECK_MESSAGE(!std::regex_search(line, std::regex("\\((RPATH|TEXTREL)\\)|\\bRWE\\b")), line);
      relro |= line.find("GNU_RELRO") != std::string::npos;
      bind_now |= line.find("BIND_NOW") != std::string::npos;
      stack |= line.find("GNU_STACK") != std::string::npos;
    }
    CHECK(relro);
    CHECK(stack);  // without it the loader would make stacks executable
    if (path.filename().string().find(".so") != std::string::npos) CHECK(bind_now);
    CHECK(read(path).find(source_root().string()) == std::string::npos);
  }
  CHECK(files.size() >= 2);
}
