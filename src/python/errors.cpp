#include "src/python/module.h"

namespace adaface::python {
namespace {

namespace py = pybind11;

void raise(ErrorCode code, const char* message) {
  const py::object kind = py::module_::import("adaface.errors").attr("error_class")(to_string(code));
  // Messages name files, whose names may be any bytes; the library shows those as valid UTF-8.
  PyErr_SetString(kind.ptr(), message);
}

void translate(std::exception_ptr thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    raise(error.code(), error.what());
  } catch (const std::bad_alloc&) {
    raise(ErrorCode::out_of_memory, "out of memory");
  }
}

}  // namespace

void add_errors(py::module_& module) {
  py::register_exception_translator(&translate);
  // For the package's table of classes, and to try each.
  py::list codes;
  for (int code = 0; code <= static_cast<int>(ErrorCode::internal); ++code)
    codes.append(to_string(static_cast<ErrorCode>(code)));
  module.attr("error_codes") = py::tuple(codes);
  module.def("raise_error", [](int code, const std::string& message) {
    throw Error(static_cast<ErrorCode>(code), message);
  });
}

}  // namespace adaface::python
