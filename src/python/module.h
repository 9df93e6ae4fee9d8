// The extension module _adaface: what the package beside it is made of. Python sees the package alone; names
// here are private to it and may change with it.
//
// Every call that reads files or computes does so without the interpreter's lock. The package keeps a session
// from running in two threads at once.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "src/adaface.hpp"

namespace adaface::python {

// Error becomes the class of adaface.errors that stands for its code.
void add_errors(pybind11::module_& module);
void add_images(pybind11::module_& module);
void add_weights(pybind11::module_& module);
void add_detector(pybind11::module_& module);
void add_embedder(pybind11::module_& module);

// By the names that Python uses. They throw invalid_argument, naming the option.
Mode mode_from(const std::string& name);
FaceSelection selection_from(const std::string& name);
Precision precision_from(const std::string& name);
PlanKind plan_from(const std::string& name);

}  // namespace adaface::python
