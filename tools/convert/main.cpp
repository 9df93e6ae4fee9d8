// adaface-convert: released checkpoints to .afw weight files.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <map>

#include "src/error.hpp"
#include "tools/command_line.h"
#include "tools/convert/checkpoint.h"
#include "tools/convert/convert.h"
#include "tools/convert/listing.h"

namespace {

using namespace adaface;

constexpr int kInputFailed = 1;
constexpr int kUsage = 2;

constexpr const char* kExamples =
    "Examples:\n"
    "  adaface-convert adaface_ir101_webface12m.ckpt -o ir_101.afw\n"
    "  adaface-convert model.safetensors -o ir_50.afw --dtype bf16\n"
    "  adaface-convert backbone.pth -o ir_50.afw --color bgr\n"
    "  adaface-convert --mtcnn pnet.npy rnet.npy onet.npy -o mtcnn.afw\n"
    "  adaface-convert --list adaface_ir101_webface12m.ckpt\n"
    "\n"
    "Reads torch checkpoints (.ckpt, .pt, .pth), .safetensors and the .npy files of MTCNN; the content "
    "decides,\n"
    "not the name. Exit code: 0 done, 1 the input failed, 2 wrong usage.\n";

struct Arguments {
  std::vector<std::string> inputs;
  std::string output, color, dtype;
  bool mtcnn = false, list = false, json = false, quiet = false;
};

// A line on the terminal, rewritten five times a second and erased at the end.
class ProgressLine {
 public:
  explicit ProgressLine(bool wanted) : wanted_(wanted && isatty(STDERR_FILENO)) {}
  ~ProgressLine() {
    if (drawn_) std::fputs("\r\x1b[K", stderr);
  }
  void update(std::uint64_t done, std::uint64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (!wanted_ || now - last_ < std::chrono::milliseconds(200)) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
    const double left = rate > 0 ? static_cast<double>(total - done) / rate : 0;
    std::fprintf(stderr, "\r\x1b[K%3.0f %%  %s of %s MB  %.0f MB/s  %.0f s left",
                 100.0 * static_cast<double>(done) / static_cast<double>(total),
                 checkpoint::grouped(done / 1000000).c_str(), checkpoint::grouped(total / 1000000).c_str(),
                 rate / 1e6, left);
    drawn_ = true;
  }

 private:
  bool wanted_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), last_ = start_;
};

int usage_error(const std::string& message) {
  std::fprintf(stderr, "error: %s\n  'adaface-convert --help' shows what is expected\n", message.c_str());
  return kUsage;
}

int list(const Arguments& arguments) {
  const checkpoint::FileSource source(arguments.inputs.front());
  const auto checkpoint = checkpoint::open_checkpoint(source);
  const std::string text =
      arguments.json ? checkpoint::list_json(*checkpoint) : checkpoint::list_text(*checkpoint);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw Error(ErrorCode::io, "standard output: cannot write");
  return 0;
}

int convert(const Arguments& arguments) {
  static const std::map<std::string, weights::DataType> kTypes = {
      {"f32", weights::DataType::f32}, {"f16", weights::DataType::f16}, {"bf16", weights::DataType::bf16}};
  checkpoint::ConvertOptions options;
  if (!arguments.dtype.empty()) options.storage = kTypes.at(arguments.dtype);
  if (!arguments.color.empty())
    options.color = arguments.color == "bgr" ? weights::ColorOrder::bgr : weights::ColorOrder::rgb;
  checkpoint::Conversion done;
  {
    ProgressLine line(!arguments.quiet);
    options.progress = [&](std::uint64_t bytes, std::uint64_t total) { line.update(bytes, total); };
    done = arguments.mtcnn
               ? checkpoint::convert_mtcnn({arguments.inputs[0], arguments.inputs[1], arguments.inputs[2]},
                                           arguments.output, options)
               : checkpoint::convert_embedder(arguments.inputs[0], arguments.output, options);
  }
  if (!done.warning.empty()) std::fprintf(stderr, "warning: %s\n", done.warning.c_str());
  if (arguments.quiet) return 0;
  const std::string prefix =
      done.prefix.empty() ? "" : ", found after \"" + checkpoint::shown(done.prefix) + '"';
  std::printf("%s: %s, %zu tensors%s, %s parameters, expects %s pixels (%s)\n",
              io::printable(arguments.output).c_str(),
              std::string(weights::to_string(done.architecture)).c_str(), done.tensors, prefix.c_str(),
              checkpoint::grouped(done.parameters).c_str(),
              done.color == weights::ColorOrder::bgr ? "BGR" : "RGB", done.color_origin.c_str());
  return 0;
}

int run(const Arguments& arguments) {
  if (arguments.list) {
    if (arguments.inputs.size() != 1) return usage_error("--list takes one checkpoint");
    if (!arguments.output.empty() || arguments.mtcnn || !arguments.color.empty() || !arguments.dtype.empty())
      return usage_error("--list goes with --json only");
    return list(arguments);
  }
  if (arguments.json) return usage_error("--json goes with --list");
  if (arguments.output.empty()) return usage_error("-o FILE.afw is missing");
  if (arguments.mtcnn && arguments.inputs.size() != 3)
    return usage_error("--mtcnn takes three files: pnet.npy rnet.npy onet.npy");
  if (arguments.mtcnn && !arguments.color.empty()) return usage_error("MTCNN is RGB: --color does not apply");
  if (!arguments.mtcnn && arguments.inputs.size() != 1) return usage_error("one CHECKPOINT is expected");
  for (const std::string& input : arguments.inputs) {
    std::error_code ignored;
    if (std::filesystem::equivalent(input, arguments.output, ignored))
      return usage_error("-o names the input " + io::printable(input));
  }
  return convert(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Converts a face recognition checkpoint, or MTCNN's weights, to an .afw file.",
               "adaface-convert");
  app.footer(kExamples);
  app.set_version_flag("-V,--version", "adaface-convert " ADAFACE_VERSION);
  app.add_option("CHECKPOINT", arguments.inputs,
                 "the file to convert; with --mtcnn: pnet.npy rnet.npy onet.npy")
      ->required();
  add_output_file(app, "-o,--output", arguments.output, "the .afw file to write")->type_name("FILE.afw");
  app.add_option(
         "--color", arguments.color,
         "channel order the network was trained on; the default is what the layout tells (released "
         "AdaFace files: bgr, CVLFace files: rgb), and needed where tensor names have another prefix or none")
      ->check(CLI::IsMember({"bgr", "rgb"}))
      ->type_name("ORDER");
  app.add_option("--dtype", arguments.dtype, "storage of convolution and linear weights (default f32)")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->type_name("TYPE");
  app.add_flag("--mtcnn", arguments.mtcnn, "convert MTCNN's three .npy files");
  app.add_flag("--list", arguments.list, "print every tensor of CHECKPOINT: name, dtype, shape, bytes");
  app.add_flag("--json", arguments.json, "with --list: one JSON object");
  app.add_flag("-q,--quiet", arguments.quiet, "print errors and warnings only");
  app.failure_message(usage_failure);
  try {
    parse_as_given(app, std::vector<std::string>(argv + 1, argv + argc));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  try {
    return run(arguments);
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    // A missing --color and a --dtype too narrow for the values are matters of usage.
    return error.code() == ErrorCode::invalid_argument ? kUsage : kInputFailed;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return kInputFailed;
  }
}
