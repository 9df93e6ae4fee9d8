// What the programs' command lines have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace adaface {

inline std::string shown(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", number);
  return text;
}

// For CLI::App::failure_message: the error as all programs print errors, and where to look.
inline std::string usage_failure(const CLI::App* app, const CLI::Error& error) {
  std::string program = app->get_name();
  for (const CLI::App* verb : app->get_subcommands()) program += " " + verb->get_name();
  return std::string("error: ") + error.what() + "\n  '" + program + " --help' shows what is expected\n";
}

// Parses with every argument taken as it stands: by itself the parser reads "[a,b]" as a list of two, so that
// a file of that name could not be given. Call once all options are there.
inline void parse_as_given(CLI::App& app, int argc, char** argv) {
  constexpr char kShield = '\x01';
  const CLI::Validator unshield(
      [](std::string& text) {
        if (text.starts_with(kShield)) text.erase(0, 1);
        return std::string();
      },
      "", "");
  std::vector<CLI::App*> apps = {&app};
  for (std::size_t i = 0; i < apps.size(); ++i) {
    for (CLI::Option* option : apps[i]->get_options())
      if (option->get_items_expected_max() > 0) option->transform(unshield);
    for (CLI::App* verb : apps[i]->get_subcommands([](CLI::App*) { return true; })) apps.push_back(verb);
  }
  std::vector<std::string> reversed;
  for (int i = argc - 1; i > 0; --i) {
    const std::string text = argv[i];
    reversed.push_back(text.starts_with('[') && text.ends_with(']') ? kShield + text : text);
  }
  app.parse(std::move(reversed));
}

// CLI::Range takes "nan" for a number in any range.
inline CLI::Validator number_between(double least, double most) {
  return CLI::Validator(
      [=](const std::string& text) {
        double value = 0;
        const bool inside = CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
        return inside ? std::string()
                      : text + ": expected a number from " + shown(least) + " to " + shown(most);
      },
      "NUMBER in [" + shown(least) + " - " + shown(most) + "]", "");
}

// A file that io::AtomicFile will write, which cannot be standard output.
inline CLI::Option* add_output_file(CLI::App& app, const std::string& name, std::string& path,
                                    const std::string& description) {
  return app
      .add_option(
          name, path,
          description + "; replaces a file of that name once all is written, of a symbolic link the target")
      ->type_name("FILE")
      ->check([](const std::string& text) {
        return text == "-"
                   ? "-: expected the name of a file: nothing is written to standard output (a file of "
                     "that name is ./-)"
                   : "";
      });
}

}  // namespace adaface
