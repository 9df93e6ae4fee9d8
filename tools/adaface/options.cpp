#include "tools/adaface/options.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "tools/command_line.h"

namespace adaface::cli {
namespace {

// Throws ModelError, naming `option`, where nothing says where to look.
std::filesystem::path weights_path(const std::string& given, const char* option, const char* name) {
  return given.empty() ? data_directory(std::string(option) + " FILE") / name : std::filesystem::path(given);
}
std::filesystem::path model_path(const Options& options) {
  return weights_path(options.model, "--model", "model.afw");
}
std::filesystem::path detector_path(const Options& options) {
  return weights_path(options.detector, "--detector", "mtcnn.afw");
}

Weights load(const std::filesystem::path& path, const char* option, const char* how) {
  try {
    return Weights::load(path);
  } catch (const std::bad_alloc&) {
    throw MemoryError(printable(path) + ": out of memory");
  } catch (const Error& error) {
    std::string message = error.what();
    if (error.code() == ErrorCode::not_found)
      message += std::string("\n  ") + option + " FILE names another; " + how;
    throw ModelError(message);
  }
}

// Makes a session that embeds. The device was checked before: what is unsupported now is the precision.
template <typename Make>
auto with_precision(const Options& options, Make make) {
  return usable([&] {
    try {
      return make();
    } catch (const std::bad_alloc&) {
      throw MemoryError(printable(model_path(options)) + ": out of memory" +
                        (options.plan_kind() == PlanKind::fast ? "; --plan small takes less" : ""));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::unsupported && options.arithmetic() != Precision::f32)
        throw UsageError("--precision " + options.precision + ": " + error.what());
      throw;
    }
  });
}

}  // namespace

FaceSelection Options::selection(FaceSelection fallback) const {
  if (faces == "largest") return FaceSelection::largest;
  if (faces == "best") return FaceSelection::best;
  return faces == "all" ? FaceSelection::all : fallback;
}

Parallelism Options::parallelism() const {
  // On a GPU the workers' kernels take turns: a few keep it busy while others decode. Each has device memory
  // for a picture and a batch, hundreds of megabytes where pictures are large.
  constexpr int kDeviceWorkers = 4;
  const int count = thread_count();
  const bool capped = threads == 0 && computing_device().kind != DeviceKind::cpu;
  return {capped ? std::min(count, kDeviceWorkers) : count, count};
}

Precision Options::arithmetic() const {
  if (precision == "bf16") return Precision::bf16;
  return precision == "f16" ? Precision::f16 : Precision::f32;
}

void add_inputs(CLI::App& app, Options& options) {
  app.add_option("pictures", options.inputs, "Files, or directories of .jpg .jpeg .png .bmp")
      ->type_name("IMAGE|DIR")
      ->required();
}

void add_output_options(CLI::App& app, Options& options) {
  app.add_flag("--json", options.json, "One JSON object a line on standard output");
  app.add_flag("--quiet", options.quiet, "No progress and no closing remarks: results and errors");
}

void add_run_options(CLI::App& app, Options& options) {
  app.add_option("--threads", options.threads,
                 "Threads; default: the CPUs this process may use, 4 on a CUDA device")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  app.add_option("--device", options.device,
                 "Where to compute: cpu, or cuda[:N] where that is built in and there (default cpu)")
      ->type_name("D");
}

void add_embedding_options(CLI::App& app, Options& options) {
  app.add_option("--precision", options.precision,
                 "Arithmetic of the embedding: f32, bf16 where the CPU has it, or f16 on cuda (default f32)")
      ->check(CLI::IsMember({"f32", "bf16", "f16"}))
      ->type_name("P");
  app.add_option("--plan", options.plan,
                 "fast, or small: a third of the memory for a third more time (default fast)")
      ->check(CLI::IsMember({"fast", "small"}))
      ->type_name("PLAN");
}

void add_detection_options(CLI::App& app, Options& options, const std::vector<std::string>& faces,
                           const std::string& by_default) {
  app.add_option("--detector", options.detector, "MTCNN weights; default: mtcnn.afw in the data directory")
      ->type_name("FILE");
  app.add_option("--mode", options.mode,
                 "standard, or reference: the published pipeline, defects included (default standard)")
      ->check(CLI::IsMember({"standard", "reference"}))
      ->type_name("MODE");
  if (!faces.empty())
    app.add_option("--faces", options.faces,
                   "Which faces of a picture: " + one_of(faces) + " (default " + by_default + ")")
        ->check(CLI::IsMember(faces))
        ->type_name("WHICH");
  app.add_option("--min-face", options.min_face, "Smallest face side in pixels (default 20)")
      ->check(number_between(12, 65535))
      ->type_name("PX");
}

void add_gallery_option(CLI::App& app, std::string& gallery) {
  app.add_option("--gallery", gallery, "The gallery file: known people and their embeddings")
      ->type_name("FILE")
      ->required();
}

void add_model_option(CLI::App& app, Options& options) {
  app.add_option("--model", options.model, "Embedding network; default: model.afw in the data directory")
      ->type_name("FILE");
}

std::filesystem::path data_directory(const std::string& otherwise) {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? value : "");
  };
  if (const auto home = variable("ADAFACE_HOME"); !home.empty()) return home;
  if (const auto data = variable("XDG_DATA_HOME"); !data.empty()) return data / "adaface";
  if (const auto home = variable("HOME"); !home.empty()) return home / ".local/share/adaface";
  throw ModelError("neither ADAFACE_HOME nor HOME is set: expected " + otherwise);
}

Weights load_model(const Options& options) {
  return load(model_path(options), "--model",
              "make one from a released checkpoint: adaface-convert CHECKPOINT -o model.afw");
}

Weights load_detector(const Options& options) {
  return load(
      detector_path(options), "--detector",
      "make one from the published weights: adaface-convert --mtcnn pnet.npy rnet.npy onet.npy -o mtcnn.afw");
}

void check_run_options(const Options& options) {
  Device device;
  try {
    device = options.computing_device();
  } catch (const Error&) {
    throw UsageError("--device " + printable(options.device) +
                     ": expected cpu, cuda or cuda:N, N from 0 to 1023");
  }
  try {
    check_device(device);
  } catch (const Error& error) {
    throw UsageError("--device " + std::string(error.what()));  // which begins with its name
  }
}

Detector make_detector(const Weights& weights, const Options& options, int threads) {
  return usable([&] {
    try {
      return Detector(weights, {.mode = options.detection_mode(),
                                .min_face = options.min_face,
                                .threads = threads,
                                .device = options.computing_device()});
    } catch (const std::bad_alloc&) {
      throw MemoryError(printable(detector_path(options)) + ": out of memory");
    }
  });
}

Embedder make_embedder(const Weights& weights, const Options& options, int threads) {
  return with_precision(options, [&] {
    return Embedder(weights, {.threads = threads,
                              .precision = options.arithmetic(),
                              .plan = options.plan_kind(),
                              .device = options.computing_device()});
  });
}

Engine make_engine(const Weights& model, const Weights& detector, const Options& options, int threads) {
  return with_precision(options, [&] {
    return Engine(model, detector,
                  {.detection = {.mode = options.detection_mode(), .min_face = options.min_face},
                   .threads = threads,
                   .precision = options.arithmetic(),
                   .plan = options.plan_kind(),
                   .device = options.computing_device()});
  });
}

}  // namespace adaface::cli
