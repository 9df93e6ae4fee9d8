// Options that Python names by words.
#include <initializer_list>
#include <utility>

#include "src/python/module.h"

namespace adaface::python {
namespace {

template <typename Value>
Value named(const char* option, const std::string& name,
            std::initializer_list<std::pair<const char*, Value>> choices) {
  std::string expected;
  for (const auto& [known, value] : choices) {
    if (name == known) return value;
    expected += (expected.empty() ? "\"" : " or \"") + std::string(known) + "\"";
  }
  throw Error(ErrorCode::invalid_argument,
              std::string(option) + " is \"" + name + "\", expected " + expected);
}

}  // namespace

Mode mode_from(const std::string& name) {
  return named<Mode>("mode", name, {{"standard", Mode::standard}, {"reference", Mode::reference}});
}

FaceSelection selection_from(const std::string& name) {
  return named<FaceSelection>(
      "faces", name,
      {{"all", FaceSelection::all}, {"largest", FaceSelection::largest}, {"best", FaceSelection::best}});
}

Precision precision_from(const std::string& name) {
  return named<Precision>("precision", name,
                          {{"f32", Precision::f32}, {"bf16", Precision::bf16}, {"f16", Precision::f16}});
}

PlanKind plan_from(const std::string& name) {
  return named<PlanKind>("plan", name, {{"fast", PlanKind::fast}, {"small", PlanKind::small}});
}

}  // namespace adaface::python
