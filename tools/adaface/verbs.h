// One function a verb: adds its subcommand to `app`; the subcommand's callback sets `exit_code`.
#pragma once

#include <CLI/CLI.hpp>

namespace adaface::cli {

void add_info(CLI::App& app, int& exit_code);
void add_detect(CLI::App& app, int& exit_code);
void add_align(CLI::App& app, int& exit_code);
void add_embed(CLI::App& app, int& exit_code);
void add_compare(CLI::App& app, int& exit_code);
void add_enroll(CLI::App& app, int& exit_code);
void add_find(CLI::App& app, int& exit_code);
void add_gallery(CLI::App& app, int& exit_code);
void add_evaluate(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);

}  // namespace adaface::cli
