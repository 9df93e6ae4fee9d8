#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "src/python/module.h"

namespace adaface::python {
namespace {

namespace py = pybind11;

py::dict info_of(const Weights& weights) {
  const WeightsInfo info = weights.info();
  py::list tensors;
  for (const TensorInfo& tensor : info.tensors)
    tensors.append(py::make_tuple(tensor.name, tensor.type, py::tuple(py::cast(tensor.shape)), tensor.bytes));
  py::dict result;
  result["architecture"] = info.architecture;
  result["color"] = info.color;
  result["storage"] = info.storage;
  result["source_sha256"] = info.source_sha256;
  result["weights_sha256"] = info.weights_sha256;
  result["file_bytes"] = info.file_bytes;
  result["parameters"] = info.parameters;
  result["tensors"] = py::tuple(tensors);
  return result;
}

}  // namespace

void add_weights(py::module_& module) {
  py::class_<Weights>(module, "Weights")
      .def(py::init([](const std::filesystem::path& path) {
             const py::gil_scoped_release unlocked;
             return Weights::load(path);
           }),
           py::arg("path"))
      .def("info", &info_of)
      .def("verify", &Weights::verify, py::call_guard<py::gil_scoped_release>());
}

}  // namespace adaface::python
