#include <pybind11/stl/filesystem.h>

#include "src/python/arrays.h"
#include "src/python/module.h"

namespace adaface::python {
namespace {

namespace py = pybind11;

DecodeOptions decode_options(bool apply_orientation, int max_side, std::uint64_t max_file_bytes) {
  return {.apply_orientation = apply_orientation, .max_side = max_side, .max_file_bytes = max_file_bytes};
}

// Runs without the interpreter's lock and comes back to it.
template <typename Make>
py::array_t<std::uint8_t> array_of(Make make) {
  Image image;
  {
    const py::gil_scoped_release unlocked;
    image = make();
  }
  return to_array(std::move(image));
}

py::array_t<std::uint8_t> read(const std::filesystem::path& path, bool apply_orientation, int max_side,
                               std::uint64_t max_file_bytes) {
  return array_of(
      [&] { return read_image(path, decode_options(apply_orientation, max_side, max_file_bytes)); });
}

py::array_t<std::uint8_t> decode(const py::bytes& file, const std::string& name, bool apply_orientation,
                                 int max_side) {
  const std::string_view bytes = file;
  return array_of([&] {
    return decode_image(std::as_bytes(std::span(bytes)),
                        decode_options(apply_orientation, max_side, bytes.size()), name);
  });
}

void write(const std::filesystem::path& path, const py::object& image, int jpeg_quality, bool bgr) {
  const ImageArgument argument = image_argument(image, bgr, "image");
  const py::gil_scoped_release unlocked;
  write_image(path, argument.view, jpeg_quality);
}

py::array_t<std::uint8_t> align(const py::object& image, const py::object& landmarks, const std::string& mode,
                                bool bgr) {
  const ImageArgument argument = image_argument(image, bgr, "image");
  const std::array<Point, 5> points = landmarks_argument(landmarks);
  const Mode aligned_as = mode_from(mode);
  return array_of([&] { return align_face(argument.view, points, aligned_as); });
}

}  // namespace

void add_images(py::module_& module) {
  module.def("read_image", &read, py::arg("path"), py::arg("apply_orientation"), py::arg("max_side"),
             py::arg("max_file_bytes"));
  module.def("decode_image", &decode, py::arg("file"), py::arg("name"), py::arg("apply_orientation"),
             py::arg("max_side"));
  module.def("write_image", &write, py::arg("path"), py::arg("image"), py::arg("jpeg_quality"),
             py::arg("bgr"));
  module.def("align_face", &align, py::arg("image"), py::arg("landmarks"), py::arg("mode"), py::arg("bgr"));
}

}  // namespace adaface::python
