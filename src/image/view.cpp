#include "src/image/view.h"

namespace adaface::image {

void check_view(const ImageView& view) {
  constexpr int kMaxSide = 65535;
  if (view.width < 1 || view.height < 1 || view.width > kMaxSide || view.height > kMaxSide)
    throw Error(ErrorCode::invalid_argument, "image size " + std::to_string(view.width) + "x" +
                                                 std::to_string(view.height) +
                                                 ", expected 1 to 65535 on each side");
  if (!view.data) throw Error(ErrorCode::invalid_argument, "image view has no pixels (data is null)");
  if (view.stride < 3 * static_cast<std::ptrdiff_t>(view.width))
    throw Error(ErrorCode::invalid_argument, "image stride is " + std::to_string(view.stride) +
                                                 " bytes, expected at least " +
                                                 std::to_string(3 * view.width));
}

}  // namespace adaface::image
