#include <pybind11/stl.h>

#include <algorithm>
#include <memory>

#include "src/python/arrays.h"
#include "src/python/interrupt.h"
#include "src/python/module.h"

namespace adaface::python {
namespace {

namespace py = pybind11;

std::unique_ptr<Embedder> make_embedder(const Weights& weights, int threads, const std::string& precision,
                                        const std::string& plan, const std::string& device) {
  const EmbedderOptions options{.threads = threads,
                                .precision = precision_from(precision),
                                .plan = plan_from(plan),
                                .device = parse_device(device)};
  const py::gil_scoped_release unlocked;
  auto embedder = std::make_unique<Embedder>(weights, options);
  embedder->on_progress(stop_by_signal());
  return embedder;
}

// (units {N,512}, norms {N}).
py::tuple embed(Embedder& embedder, const py::sequence& crops, bool bgr) {
  std::vector<ImageArgument> arguments;
  std::vector<ImageView> views;
  for (std::size_t i = 0; i < crops.size(); ++i) {
    const std::string name = crops.size() == 1 ? "crop" : "crop " + std::to_string(i);
    arguments.push_back(image_argument(crops[i], bgr, name));
    views.push_back(arguments.back().view);
  }
  std::vector<Embedding> embeddings;
  {
    const py::gil_scoped_release unlocked;
    embeddings = embedder.embed(views);
  }
  const auto count = static_cast<py::ssize_t>(embeddings.size());
  py::array_t<float> units({count, py::ssize_t{kEmbeddingSize}}), norms(count);
  for (py::ssize_t i = 0; i < count; ++i) {
    const Embedding& embedding = embeddings[static_cast<std::size_t>(i)];
    std::ranges::copy(embedding.unit, units.mutable_data(i, 0));
    norms.mutable_at(i) = embedding.norm;
  }
  return py::make_tuple(units, norms);
}

}  // namespace

void add_embedder(py::module_& module) {
  py::class_<Embedder>(module, "Embedder")
      .def(py::init(&make_embedder), py::arg("weights"), py::arg("threads"), py::arg("precision"),
           py::arg("plan"), py::arg("device"))
      .def("prepare", &Embedder::prepare, py::call_guard<py::gil_scoped_release>())
      .def("embed", &embed, py::arg("crops"), py::arg("bgr"));
}

}  // namespace adaface::python
