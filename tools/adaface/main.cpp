// adaface: the engine from the command line. One verb a file.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <new>
#include <string>
#include <string_view>

#include "src/runtime.hpp"
#include "tools/adaface/inputs.h"
#include "tools/adaface/options.h"
#include "tools/adaface/verbs.h"
#include "tools/command_line.h"

int main(int argc, char** argv) {
  using namespace adaface::cli;
  // `| head` ends us as it ends other filters; nothing is half-written that a name points to.
  std::signal(SIGPIPE, SIG_DFL);
  // A standard stream that the caller closed must not become the next file that is opened.
  while (true) {
    const int fd = ::open("/dev/null", O_RDONLY);
    if (fd > STDERR_FILENO) ::close(fd);
    if (fd < 0 || fd > STDERR_FILENO) break;
  }
  adaface::set_log(adaface::LogLevel::warning, [](adaface::LogLevel, std::string_view message) {
    std::fprintf(stderr, "warning: %s\n", adaface::printable(std::string(message)).c_str());
  });
  CLI::App app(
      "Finds faces in photographs, aligns them, turns them into embeddings, compares those and names people.",
      "adaface");
  app.set_version_flag("-V,--version", [] {
    std::string info = adaface::build_info();  // without a last line feed: it is added
    return "adaface " + info.substr(info.find(' ') + 1, info.size() - info.find(' ') - 2);
  });
  app.require_subcommand(1);
  app.footer(
      "Example:\n"
      "  adaface compare --model ir_101.afw --detector mtcnn.afw a.jpg b.jpg\n"
      "\n"
      "'adaface VERB --help' explains a verb. Models are looked for in $ADAFACE_HOME, else "
      "$XDG_DATA_HOME/adaface,\n"
      "else ~/.local/share/adaface (model.afw, mtcnn.afw).\n"
      "Exit code: 0 all done, 1 some inputs failed and the rest is done, 2 wrong usage, 3 a model or gallery "
      "cannot be "
      "used.");
  int exit_code = kDone;
  add_detect(app, exit_code);
  add_align(app, exit_code);
  add_embed(app, exit_code);
  add_compare(app, exit_code);
#ifdef ADAFACE_GALLERY
  add_enroll(app, exit_code);
  add_find(app, exit_code);
  add_gallery(app, exit_code);
#endif
  add_evaluate(app, exit_code);
  add_info(app, exit_code);
  add_bench(app, exit_code);
  app.failure_message(adaface::usage_failure);
  if (argc < 2) {
    std::cerr << app.help();
    return kWrongUsage;
  }
  std::vector<std::string> arguments(argv + 1, argv + argc);
  // As other programs with verbs understand it.
  const bool is_help = arguments.front() == "help", is_version = arguments.front() == "version";
  if (is_help) arguments.erase(arguments.begin());
  if (is_version) arguments.front() = "--version";
  // The first word names a verb, after "help" every word.
  const CLI::App* verb = &app;
  for (const std::string& word : arguments) {
    if (word.starts_with('-')) break;
    const std::string verbs = adaface::verbs_of(*verb);
    const auto named = verb->get_subcommands([&](const CLI::App* each) { return each->get_name() == word; });
    if (named.empty()) {
      std::cerr << "error: " << adaface::printable(word) << ": "
                << (verbs.empty() ? "unexpected" : "no such verb, expected " + verbs) << "\n";
      return kWrongUsage;
    }
    verb = named.front();
    if (!is_help) break;
  }
  if (is_help) arguments.emplace_back("--help");
  try {
    adaface::parse_as_given(app, arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, std::cout, std::cerr) == 0 ? kDone : kWrongUsage;
  } catch (const UsageError& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return kWrongUsage;
  } catch (const ModelError& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return kUnusableModel;
  } catch (const adaface::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return kSomeInputsFailed;
  } catch (const std::bad_alloc&) {
    std::fputs("error: out of memory\n", stderr);
    return kSomeInputsFailed;
  } catch (const std::exception& error) {  // threads or directories that the system refuses
    std::fprintf(stderr, "error: %s\n", error.what());
    return kSomeInputsFailed;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "error: standard output: cannot write: %s\n", std::strerror(errno));
    return kSomeInputsFailed;
  }
  return exit_code;
}
