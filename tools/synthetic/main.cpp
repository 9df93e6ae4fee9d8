// adaface-synthetic: an untrained checkpoint, for trials and tests without a released one.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "src/error.hpp"
#include "tools/command_line.h"
#include "tools/synthetic/synthetic.h"

int main(int argc, char** argv) {
  std::string name, output;
  std::uint64_t seed = 0;
  CLI::App app(
      "Writes an untrained checkpoint in the layout of the released ones. Its embeddings mean nothing: it is "
      "for "
      "trials and tests.",
      "adaface-synthetic");
  app.footer(
      "Example:\n  adaface-synthetic ir_18 1 untrained.ckpt && adaface-convert untrained.ckpt -o "
      "ir_18.afw\n");
  app.set_version_flag("-V,--version", "adaface-synthetic " ADAFACE_VERSION);
  std::vector<std::string> names;
  for (const auto architecture : adaface::weights::kEmbedders) names.emplace_back(to_string(architecture));
  app.add_option("ARCH", name, "the network")->required()->check(CLI::IsMember(names));
  app.add_option("SEED", seed, "any integer of at least 0: equal seeds give equal files")
      ->required()
      ->check([](const std::string& text) -> std::string {
        const bool fits =
            !text.empty() && text.size() <= 18 && text.find_first_not_of("0123456789") == std::string::npos;
        return fits ? "" : text + " is no integer from 0 to 10^18 - 1";
      });
  adaface::add_output_file(app, "OUT.ckpt", output, "the file to write")->required();
  app.failure_message(adaface::usage_failure);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    adaface::synthetic::write_checkpoint(*adaface::weights::architecture_from_string(name), seed, output);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
