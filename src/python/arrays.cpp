#include "src/python/arrays.h"

#include <memory>

namespace adaface::python {
namespace {

namespace py = pybind11;

std::string shape_text(const py::array& array) {
  return py::str(array.attr("shape"));
}

std::string type_name(py::handle object) {
  return py::str(py::type::handle_of(object).attr("__name__"));
}

}  // namespace

ImageArgument image_argument(py::handle object, bool bgr, const std::string& name) {
  constexpr const char* kExpected = "expected a numpy array of uint8 with shape (height, width, 3)";
  if (!py::isinstance<py::array>(object))
    throw py::type_error(name + " is a " + type_name(object) + ", " + kExpected);
  py::array array = py::reinterpret_borrow<py::array>(object);
  if (!array.dtype().equal(py::dtype::of<std::uint8_t>()))
    throw py::type_error(name + " has dtype " + std::string(py::str(array.dtype())) + ", " + kExpected);
  if (array.ndim() != 3 || array.shape(2) != 3)
    throw py::value_error(name + " has shape " + shape_text(array) + ", " + kExpected);
  const py::ssize_t height = array.shape(0), width = array.shape(1);
  constexpr py::ssize_t kMaxSide = 65535;
  if (height < 1 || width < 1 || height > kMaxSide || width > kMaxSide)
    throw py::value_error(name + " has shape " + shape_text(array) + ", expected 1 to 65535 on each side");

  // The stride of a single row or column means nothing.
  const bool packed_pixels = array.strides(2) == 1 && (width == 1 || array.strides(1) == 3);
  if (!packed_pixels || (height > 1 && array.strides(0) < 3 * width))
    array = py::array_t<std::uint8_t, py::array::c_style>(array);
  const py::ssize_t stride = height > 1 ? array.strides(0) : 3 * width;
  const ImageView view{static_cast<const std::uint8_t*>(array.data()), static_cast<int>(width),
                       static_cast<int>(height), stride, bgr ? ChannelOrder::bgr : ChannelOrder::rgb};
  return {std::move(array), view};
}

std::array<Point, 5> landmarks_argument(py::handle object) {
  constexpr const char* kExpected = "expected numbers of shape (5, 2)";
  const auto array = py::array_t<float, py::array::c_style | py::array::forcecast>::ensure(object);
  if (!array) throw py::type_error("landmarks is a " + type_name(object) + ", " + kExpected);
  if (array.ndim() != 2 || array.shape(0) != 5 || array.shape(1) != 2)
    throw py::value_error("landmarks has shape " + shape_text(array) + ", " + kExpected);
  std::array<Point, 5> points;
  for (int i = 0; i < 5; ++i) points[static_cast<std::size_t>(i)] = {array.at(i, 0), array.at(i, 1)};
  return points;
}

py::array_t<std::uint8_t> to_array(Image&& image) {
  auto owner = std::make_unique<Image>(std::move(image));
  Image& pixels = *owner;
  const py::capsule keeper(owner.get(), [](void* kept) { delete static_cast<Image*>(kept); });
  owner.release();
  const py::ssize_t height = pixels.height(), width = pixels.width();
  return py::array_t<std::uint8_t>({height, width, py::ssize_t{3}}, pixels.row(0), keeper);
}

}  // namespace adaface::python
