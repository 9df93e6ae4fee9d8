#include <algorithm>
#include <cmath>

#include "src/adaface.hpp"
#include "src/engine.h"
#include "src/image/view.h"
#include "src/mtcnn/cascade.h"
#include "src/mtcnn/cuda_cascade.h"
#include "src/mtcnn/nets.h"
#include "src/nn/thread_pool.h"
#include "src/weights_state.h"

namespace adaface {
namespace {

[[noreturn]] void reject(const std::string& option, double value, const std::string& expected) {
  throw Error(ErrorCode::invalid_argument,
              option + " is " + std::to_string(value) + ", expected " + expected);
}

const DetectorOptions& checked(const DetectorOptions& options) {
  check_device(options.device);
  if (!(options.min_face >= 12 && options.min_face <= 65535))
    reject("min_face", options.min_face, "12 to 65535 pixels");
  // Closer to 1 the pyramid would have thousands of levels.
  if (!(options.pyramid_factor > 0 && options.pyramid_factor <= 0.99))
    reject("pyramid_factor", options.pyramid_factor, "a number in (0, 0.99]");
  for (float threshold : options.score_thresholds)
    if (!(threshold >= 0 && threshold < 1)) reject("score threshold", threshold, "a number in [0, 1)");
  for (double threshold : options.overlap_thresholds)
    if (!(threshold > 0 && threshold <= 1)) reject("overlap threshold", threshold, "a number in (0, 1]");
  return options;
}

// On a device none has work.
int threads_of(const DetectorOptions& options) {
  const int threads = nn::thread_count(options.threads);
  return options.device.kind == DeviceKind::cpu ? threads : 1;
}

}  // namespace

struct Detector::Session {
  Session(const Weights& weights, const DetectorOptions& options)
      : state(weights.state()),
        pool(threads_of(checked(options)), nullptr),
        cascade{.options = options, .pool = pool, .nets = {}, .workers = {}} {
    const weights::AfwFile& file = state->file;
    if (file.info().architecture != weights::Architecture::mtcnn)
      throw Error(ErrorCode::invalid_argument, state->name + ": holds " +
                                                   std::string(to_string(file.info().architecture)) +
                                                   ", expected the detector's mtcnn");
    if (options.device.kind == DeviceKind::cuda) {
      on_device = mtcnn::cuda_cascade(*state, options);
      return;
    }
    warn_of_missing_threads(options.threads, pool);
    cascade.plan(*state);
  }

  nn::Progress& progress() { return on_device ? on_device->progress : cascade.progress; }

  std::shared_ptr<Weights::State> state;
  nn::ThreadPool pool;
  mtcnn::Cascade cascade;                         // where there is none
  std::unique_ptr<mtcnn::CudaCascade> on_device;  // of a CUDA device
};

Detector::Detector(const Weights& weights, const DetectorOptions& options)
    : session_(std::make_unique<Session>(weights, options)) {}
Detector::~Detector() = default;
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;

void Detector::on_progress(ProgressFunction function) {
  session_->progress().set(std::move(function));
}

std::vector<Face> Detector::detect(const ImageView& image) {
  image::check_view(image);
  return session_->on_device ? session_->on_device->detect(image, nullptr)
                             : session_->cascade.detect(image, nullptr);
}

int OnDevice::index(const Detector& detector) {
  const Detector::Session& session = *detector.session_;
  return session.on_device ? session.cascade.options.device.index : -1;
}

mtcnn::CudaCascade* OnDevice::cascade(Detector& detector) {
  return detector.session_->on_device.get();
}

std::vector<Face> select_faces(std::vector<Face> faces, FaceSelection selection) {
  if (selection == FaceSelection::all || faces.size() < 2) return faces;
  auto area = [](const Face& face) {
    return (static_cast<double>(face.box.x2) - face.box.x1 + 1) *
           (static_cast<double>(face.box.y2) - face.box.y1 + 1);
  };
  auto value = [&](const Face& face) {
    return selection == FaceSelection::largest ? area(face) : face.score;
  };
  // The first of equal ones, as max_element finds it.
  return {*std::ranges::max_element(faces, {}, value)};
}

}  // namespace adaface
