#include "src/python/module.h"

namespace py = pybind11;

PYBIND11_MODULE(_adaface, module) {
  using namespace adaface::python;
  module.doc() = "The compiled part of the package adaface, and private to it.";
  module.attr("__version__") = ADAFACE_VERSION;
  add_errors(module);
  add_weights(module);
  add_images(module);
  add_detector(module);
  add_embedder(module);
  module.def("available_cpus", &adaface::available_cpus);
}
