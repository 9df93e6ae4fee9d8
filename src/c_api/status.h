// From exceptions to status codes, and what every function of the C interface checks.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include "src/adaface.h"
#include "src/adaface.hpp"

namespace adaface::c_api {

// Keeps the message of the exception in flight for this thread, and returns its status. Allocates nothing.
adaface_status failed() noexcept;

// Runs the body of a function that can fail.
template <typename Body>
adaface_status guarded(Body&& body) noexcept {
  try {
    body();
    return ADAFACE_OK;
  } catch (...) {
    return failed();
  }
}

[[noreturn]] void reject(const char* name, const std::string& found, const char* expected);

template <typename T>
T& required(T* pointer, const char* name) {
  if (!pointer) reject(name, "NULL", "a pointer");
  return *pointer;
}

// The size that a caller's struct begins with. Throws invalid_argument below `first_size`, that of
// version 1.0, and says `remedy`: what sets it.
template <typename Struct>
std::size_t struct_size(const Struct& from, std::size_t first_size, const char* name, const char* remedy) {
  if (from.struct_size < first_size)
    reject((std::string(name) + ": struct_size").c_str(), std::to_string(from.struct_size),
           (std::to_string(first_size) + " or more: " + remedy).c_str());
  return from.struct_size;
}

// A struct that the caller may have compiled against another version of the header: the defaults, overwritten
// by as much as the caller knows. Throws invalid_argument for a size that is too small, and unsupported where
// something is set that this version does not know.
template <typename Options>
Options read_options(const Options* options, const Options& defaults, std::size_t first_size,
                     const char* name, const char* remedy) {
  static_assert(std::is_trivially_copyable_v<Options>);
  if (!options) return defaults;
  const std::size_t size = struct_size(*options, first_size, name, remedy);
  Options known = defaults;
  std::memcpy(&known, options, std::min(size, sizeof known));
  const auto* bytes = reinterpret_cast<const unsigned char*>(options);
  for (std::size_t i = sizeof known; i < size; ++i)
    if (bytes[i] != 0)
      throw Error(ErrorCode::unsupported, std::string(name) + ": byte " + std::to_string(i) +
                                              " is set, but this version knows " +
                                              std::to_string(sizeof known));
  return known;
}

// The defaults, as much of them as the caller's struct holds; what lies beyond is 0.
template <typename Options>
void init_options(Options* options, std::size_t size, Options defaults) noexcept {
  if (!options) return;
  defaults.struct_size = size;
  std::memset(options, 0, size);
  std::memcpy(options, &defaults, std::min(size, sizeof defaults));
}

// An enumerator that came as an integer: 0 to `last`.
template <typename Enum>
Enum enumerator(int value, Enum last, const char* name) {
  if (value < 0 || value > static_cast<int>(last))
    reject(name, std::to_string(value), ("0 to " + std::to_string(static_cast<int>(last))).c_str());
  return static_cast<Enum>(value);
}

ImageView view_of(const adaface_image_view* view, const char* name);
// As options have it. Throws invalid_argument for a kind that there is not; sessions check the index.
inline Device device_of(int device, int index) {
  return {.kind = enumerator(device, DeviceKind::cuda, "device"), .index = index};
}

DetectorOptions detector_options(const adaface_detector_options* options);
std::array<Point, 5> points_of(const float landmarks[5][2]);
void write_face(const Face& face, adaface_face& to);
void write_embedding(const Embedding& embedding, adaface_embedding& to);
ProgressFunction progress_function(adaface_progress function, void* user);

}  // namespace adaface::c_api

struct adaface_image {
  adaface::Image image;
};
struct adaface_weights {
  adaface::Weights weights;
  adaface::WeightsInfo info;
};
struct adaface_detector {
  adaface::Detector detector;
};
struct adaface_embedder {
  adaface::Embedder embedder;
};
struct adaface_engine {
  adaface::Engine engine;
  adaface::FaceSelection faces;
  adaface::Mode mode;
};
