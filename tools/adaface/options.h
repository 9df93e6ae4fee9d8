// Options that several verbs share, and the models that they name.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/adaface.hpp"

namespace adaface::cli {

// What main returns.
inline constexpr int kDone = 0;
inline constexpr int kSomeInputsFailed = 1;
inline constexpr int kWrongUsage = 2;
inline constexpr int kUnusableModel = 3;

// Wrong usage that the argument parser cannot see: exit code 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A model that cannot be used: exit code 3.
class ModelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Too little memory to use a model, the device's or the machine's.
class MemoryError : public ModelError {
 public:
  using ModelError::ModelError;
};

// Runs `use` of a model or gallery: an Error that it throws becomes a ModelError.
template <typename Use>
auto usable(Use use) {
  try {
    return use();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::out_of_memory) throw MemoryError(error.what());
    throw ModelError(error.what());
  }
}

// How a verb uses several threads.
struct Parallelism {
  int workers;  // among pictures, a thread each
  int threads;  // inside one picture, where there is one worker
};

struct Options {
  std::vector<std::string> inputs;
  std::string model, detector;  // empty: model.afw and mtcnn.afw of the data directory
  std::string mode = "standard", precision = "f32", plan = "fast", device = "cpu", faces;
  double min_face = 20;
  int threads = 0;
  bool json = false, quiet = false;

  Mode detection_mode() const { return mode == "reference" ? Mode::reference : Mode::standard; }
  // `fallback` where --faces was not given.
  FaceSelection selection(FaceSelection fallback) const;
  Precision arithmetic() const;
  PlanKind plan_kind() const { return plan == "small" ? PlanKind::small : PlanKind::fast; }
  // Throws invalid_argument for text that names none.
  Device computing_device() const { return parse_device(device); }
  int thread_count() const { return threads > 0 ? threads : available_cpus(); }
  Parallelism parallelism() const;
};

void add_inputs(CLI::App& app, Options& options);
void add_output_options(CLI::App& app, Options& options);     // --json --quiet
void add_run_options(CLI::App& app, Options& options);        // --threads --device
void add_embedding_options(CLI::App& app, Options& options);  // --precision --plan, of verbs that embed
// --detector --mode --faces --min-face; `faces`: what --faces may say, nothing: no such option; `by_default`:
// what goes without it.
void add_detection_options(CLI::App& app, Options& options,
                           const std::vector<std::string>& faces = {"largest", "best", "all"},
                           const std::string& by_default = "all");
inline constexpr const char* kOneFace = "largest, in reference mode best";  // the default of some verbs
void add_gallery_option(CLI::App& app, std::string& gallery);  // --gallery
void add_model_option(CLI::App& app, Options& options);        // --model

// $ADAFACE_HOME, else $XDG_DATA_HOME/adaface, else ~/.local/share/adaface. Throws ModelError where there is
// none of them: `otherwise` is what is expected then.
std::filesystem::path data_directory(const std::string& otherwise);

// Throw ModelError; UsageError for a device that this build or machine does not have.
Weights load_model(const Options& options);
Weights load_detector(const Options& options);
void check_run_options(const Options& options);

// Sessions over them; what the weights hold wrong comes out here. Throw ModelError; UsageError for a
// precision that the device does not have.
Detector make_detector(const Weights& weights, const Options& options, int threads);
Embedder make_embedder(const Weights& weights, const Options& options, int threads);
Engine make_engine(const Weights& model, const Weights& detector, const Options& options, int threads);

}  // namespace adaface::cli
