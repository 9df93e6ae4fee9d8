#include <cstdio>
#include <memory>

#include "tools/adaface/json.h"
#include "tools/adaface/options.h"
#include "tools/adaface/verbs.h"

namespace adaface::cli {
namespace {

struct Arguments : Options {
  std::string file;
  bool tensors = false, verify = false;
};

std::string shape_text(const std::vector<std::uint32_t>& shape) {
  std::string text;
  for (std::uint32_t dim : shape) {
    if (!text.empty()) text += 'x';
    text += std::to_string(dim);
  }
  return text;
}

void print_text(const Arguments& arguments, const WeightsInfo& info) {
  std::printf("file            %s\n", printable(arguments.file).c_str());
  std::printf("architecture    %s\n", info.architecture.c_str());
  std::printf("input           %s pixels\n", info.color == "bgr" ? "BGR" : "RGB");
  std::printf("storage         %s\n", info.storage.c_str());
  std::printf("parameters      %llu in %zu tensors\n", static_cast<unsigned long long>(info.parameters),
              info.tensors.size());
  std::printf("size            %llu bytes\n", static_cast<unsigned long long>(info.file_bytes));
  std::printf("weights sha256  %s\n", info.weights_sha256.c_str());
  std::printf("source sha256   %s\n", info.source_sha256.c_str());
  if (arguments.verify) std::printf("verified        every tensor matches its checksum\n");
  if (!arguments.tensors) return;
  std::printf("\n");
  for (const TensorInfo& tensor : info.tensors)
    std::printf("%-32s %-4s %-14s %llu\n", tensor.name.c_str(), tensor.type.c_str(),
                shape_text(tensor.shape).c_str(), static_cast<unsigned long long>(tensor.bytes));
}

void print_json(const Arguments& arguments, const WeightsInfo& info) {
  Json line = {{"file", arguments.file},
               {"architecture", info.architecture},
               {"color", info.color},
               {"storage", info.storage},
               {"parameters", info.parameters},
               {"bytes", info.file_bytes},
               {"weights_sha256", info.weights_sha256},
               {"source_sha256", info.source_sha256}};
  if (arguments.verify) line["verified"] = true;
  if (arguments.tensors) {
    line["tensors"] = Json::array();
    for (const TensorInfo& tensor : info.tensors)
      line["tensors"].push_back(
          {{"name", tensor.name}, {"type", tensor.type}, {"shape", tensor.shape}, {"bytes", tensor.bytes}});
  }
  print_line(line);
}

int run(const Arguments& arguments) {
  const WeightsInfo info = usable([&] {
    const Weights weights = Weights::load(arguments.file);
    if (arguments.verify) weights.verify();
    return weights.info();
  });
  arguments.json ? print_json(arguments, info) : print_text(arguments, info);
  return kDone;
}

}  // namespace

void add_info(CLI::App& app, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("info", "What a weight file holds");
  verb->add_option("file", arguments->file, "An .afw weight file")->type_name("FILE.afw")->required();
  verb->add_flag("--tensors", arguments->tensors, "Also list every tensor: name, type, shape, bytes");
  verb->add_flag("--verify", arguments->verify, "Also compare every tensor with its checksum");
  add_output_options(*verb, *arguments);
  verb->footer("Example:\n  adaface info ir_101.afw --verify");
  verb->callback([arguments, &exit_code] { exit_code = run(*arguments); });
}

}  // namespace adaface::cli
