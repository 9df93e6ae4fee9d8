// What the programs' command lines have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace adaface {

// For CLI::App::failure_message: the error as all programs print errors, and where to look.
inline std::string usage_failure(const CLI::App* app, const CLI::Error& error) {
  std::string program = app->get_name();
  for (const CLI::App* verb : app->get_subcommands()) program += " " + verb->get_name();
  return std::string("error: ") + error.what() + "\n  '" + program + " --help' shows what is expected\n";
}

}  // namespace adaface
