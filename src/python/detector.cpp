#include <pybind11/stl.h>

#include <memory>

#include "src/python/arrays.h"
#include "src/python/interrupt.h"
#include "src/python/module.h"

namespace adaface::python {
namespace {

namespace py = pybind11;

std::unique_ptr<Detector> make_detector(const Weights& weights, const std::string& mode, double min_face,
                                        double pyramid_factor, const std::array<float, 3>& score_thresholds,
                                        const std::array<double, 3>& overlap_thresholds, int threads,
                                        const std::string& device) {
  const DetectorOptions options{.mode = mode_from(mode),
                                .min_face = min_face,
                                .pyramid_factor = pyramid_factor,
                                .score_thresholds = score_thresholds,
                                .overlap_thresholds = overlap_thresholds,
                                .threads = threads,
                                .device = parse_device(device)};
  const py::gil_scoped_release unlocked;
  auto detector = std::make_unique<Detector>(weights, options);
  detector->on_progress(stop_by_signal());
  return detector;
}

// (box, score, landmarks) of each face.
py::list detect(Detector& detector, const py::object& image, const std::string& faces, bool bgr) {
  const ImageArgument argument = image_argument(image, bgr, "image");
  const FaceSelection selection = selection_from(faces);
  std::vector<Face> found;
  {
    const py::gil_scoped_release unlocked;
    found = select_faces(detector.detect(argument.view), selection);
  }
  py::list result;
  for (const Face& face : found) {
    const float box[] = {face.box.x1, face.box.y1, face.box.x2, face.box.y2};
    py::array_t<float> landmarks({5, 2});
    for (int i = 0; i < 5; ++i) {
      const Point& point = face.landmarks[static_cast<std::size_t>(i)];
      landmarks.mutable_at(i, 0) = point.x;
      landmarks.mutable_at(i, 1) = point.y;
    }
    result.append(py::make_tuple(py::array_t<float>(4, box), face.score, landmarks));
  }
  return result;
}

}  // namespace

void add_detector(py::module_& module) {
  py::class_<Detector>(module, "Detector")
      .def(py::init(&make_detector), py::arg("weights"), py::arg("mode"), py::arg("min_face"),
           py::arg("pyramid_factor"), py::arg("score_thresholds"), py::arg("overlap_thresholds"),
           py::arg("threads"), py::arg("device"))
      .def("detect", &detect, py::arg("image"), py::arg("faces"), py::arg("bgr"));
}

}  // namespace adaface::python
