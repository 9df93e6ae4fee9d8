// What the programs' command lines have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
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

// Control characters never reach a terminal raw.
inline std::string shown(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  return text;
}

// "list, remove or verify"
inline std::string one_of(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i)
    text += (i == 0 ? "" : i + 1 < words.size() ? ", " : " or ") + words[i];
  return text;
}

inline std::string verbs_of(const CLI::App& app) {
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    verbs.push_back(verb->get_name());
  return one_of(verbs);
}

// What stands for an option's value in the help: "FILE".
inline std::string value_text(const CLI::Option& option) {
  std::string type = option.get_type_name();
  type.erase(std::min(type.find(':'), type.size()));  // the parser adds what is checked
  const std::string name = option.get_name();
  // A positional argument whose name is in capitals, "CHECKPOINT", has no type of its own.
  const bool has_type = !option.get_positional() || !(name.front() >= 'A' && name.front() <= 'Z');
  return has_type ? type : name;
}

// What a required option is given as: "IMAGE|DIR ...", "--gallery FILE".
inline std::string expected_text(const CLI::Option& option) {
  if (!option.get_positional()) return option.get_name() + " " + value_text(option);
  return value_text(option) + (option.get_items_expected_max() > 1 ? " ..." : "");
}

// Whether its value is the name of a file or directory.
inline bool takes_file(const CLI::Option& option) {
  constexpr const char* kFiles[] = {"CHECKPOINT", "DIR",   "FILE",      "FILE.afw",
                                    "GALLERY",    "IMAGE", "IMAGE|DIR", "PAIRS"};
  return std::ranges::find(kFiles, value_text(option)) != std::end(kFiles);
}

// Whether a positional argument is still open that could be a file.
inline bool could_be_file(const CLI::App& verb) {
  for (const CLI::Option* option : verb.get_options())
    if (option->get_positional() && takes_file(*option) &&
        (option->count() == 0 || option->get_items_expected_max() > 1))
      return true;
  return false;
}

// What is wrong with a command line. The parser complains of what is missing before it names what it did not
// expect, which is mostly the cause.
inline std::string usage_message(const CLI::App& app, const CLI::App& verb, const CLI::Error& error) {
  const bool is_missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const bool is_extra = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  if (!is_missing && !is_extra) return error.what();
  const std::vector<std::string> unexpected = app.remaining(true);
  const std::string verbs = verbs_of(verb);
  if (!unexpected.empty()) {
    const auto option =
        std::ranges::find_if(unexpected, [](const std::string& text) { return text.starts_with('-'); });
    if (option != unexpected.end() && *option != "--") {
      const std::string what = "unexpected " + *option;
      if (&verb != &app && verb.get_option_no_throw(*option)) return what + ", expected after the verb";
      // Before the verb there are no files.
      const std::vector<std::string> before = app.remaining(false);
      const bool is_before = &verb != &app && std::ranges::find(before, *option) != before.end();
      return what + ": no such option" +
             (!is_before && could_be_file(verb) ? " (a file of that name: ./" + *option + ", or after --)"
                                                : "");
    }
    if (!verbs.empty()) return "unexpected " + unexpected.front() + ", expected " + verbs;
    return "unexpected " + unexpected.front();
  }
  if (!verbs.empty()) return "expected " + verbs;
  for (const CLI::Option* option : verb.get_options())
    if (option->get_required() && option->count() == 0) return "expected " + expected_text(*option);
  return error.what();
}

// For CLI::App::failure_message: the error as all programs print errors, and where to look.
inline std::string usage_failure(const CLI::App* app, const CLI::Error& error) {
  std::string program = app->get_name();
  const CLI::App* verb = app;
  while (!verb->get_subcommands().empty()) {
    verb = verb->get_subcommands().front();
    program += " " + verb->get_name();
  }
  return "error: " + shown(usage_message(*app, *verb, error)) + "\n  '" + program +
         " --help' shows what is expected\n";
}

// Parses with every argument taken as it stands: by itself the parser reads "[a,b]" as a list of two, so that
// a file of that name could not be given. An option's file without a name is refused: programs take it for
// none given. Call once all options are there.
inline void parse_as_given(CLI::App& app, const std::vector<std::string>& arguments) {
  constexpr char kShield = '\x01';
  const CLI::Validator unshield(
      [](std::string& text) {
        if (text.starts_with(kShield)) text.erase(0, 1);
        return std::string();
      },
      "", "");
  const CLI::Validator named(
      [](const std::string& text) {
        return text.empty() ? "\"\": expected the name of a file or directory" : "";
      },
      "", "");
  std::vector<CLI::App*> apps = {&app};
  for (std::size_t i = 0; i < apps.size(); ++i) {
    for (CLI::Option* option : apps[i]->get_options())
      if (option->get_items_expected_max() > 0) {
        option->transform(unshield);
        if (!option->get_positional() && takes_file(*option)) option->check(named);
      }
    for (CLI::App* verb : apps[i]->get_subcommands([](CLI::App*) { return true; })) apps.push_back(verb);
  }
  std::vector<std::string> reversed;
  for (std::size_t i = arguments.size(); i-- > 0;) {
    const std::string& text = arguments[i];
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
