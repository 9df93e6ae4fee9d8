#include "src/python/module.h"

namespace py = pybind11;

namespace {

// Before 2.12 pybind11 reads NumPy's dtypes as NumPy 1 lays them out.
void check_numpy() {
#if PYBIND11_VERSION_MAJOR == 2 && PYBIND11_VERSION_MINOR < 12
  const std::string version = py::str(py::module_::import("numpy").attr("__version__"));
  if (!version.starts_with("1."))
    throw py::import_error("adaface: built with pybind11 2." + std::to_string(PYBIND11_VERSION_MINOR) +
                           ", which needs NumPy 1, but NumPy is " + version +
                           "; build it with pybind11 2.12 or newer");
#endif
}

// (name of the device, its own name, memory in bytes, compute capability) of each.
py::list cuda_devices() {
  std::vector<adaface::DeviceInfo> devices;
  {
    const py::gil_scoped_release unlocked;
    devices = adaface::cuda_devices();
  }
  py::list result;
  for (const adaface::DeviceInfo& info : devices)
    result.append(py::make_tuple(adaface::to_string(info.device), info.name, info.memory_bytes,
                                 py::make_tuple(info.compute_major, info.compute_minor)));
  return result;
}

}  // namespace

PYBIND11_MODULE(_adaface, module) {
  using namespace adaface::python;
  check_numpy();
  module.doc() = "The compiled part of the package adaface, and private to it.";
  module.attr("__version__") = adaface::version();
  add_errors(module);
  add_weights(module);
  add_images(module);
  add_detector(module);
  add_embedder(module);
  module.def("build_info", &adaface::build_info, py::call_guard<py::gil_scoped_release>());
  module.def("available_cpus", &adaface::available_cpus);
  module.def("cuda_devices", &cuda_devices);
}
