#include <memory>
#include <span>

#include "src/c_api/status.h"

using namespace adaface;

namespace adaface::c_api {
namespace {

adaface_decode_options default_decode_options() {
  const DecodeOptions defaults;
  return {sizeof(adaface_decode_options), defaults.apply_orientation ? 1 : 0, defaults.max_side,
          defaults.max_file_bytes};
}

enum class Choice { no, yes };

DecodeOptions decode_options(const adaface_decode_options* options) {
  const adaface_decode_options known =
      read_options(options, default_decode_options(), sizeof(adaface_decode_options), "decode options",
                   "call adaface_decode_options_init first");
  return {enumerator(known.apply_orientation, Choice::yes, "apply_orientation") == Choice::yes,
          known.max_side, known.max_file_bytes};
}

}  // namespace

ImageView view_of(const adaface_image_view* view, const char* name) {
  const adaface_image_view& from = required(view, name);
  return {from.data, from.width, from.height, from.stride,
          enumerator(from.order, ChannelOrder::bgr, "order")};
}

}  // namespace adaface::c_api

extern "C" {

void adaface_decode_options_init(adaface_decode_options* options, size_t size) {
  c_api::init_options(options, size, c_api::default_decode_options());
}

adaface_status adaface_image_read(const char* path, const adaface_decode_options* options,
                                  adaface_image** image) {
  return c_api::guarded([&] {
    c_api::required(image, "image");
    auto read = read_image(&c_api::required(path, "path"), c_api::decode_options(options));
    *image = new adaface_image{std::move(read)};
  });
}

adaface_status adaface_image_decode(const void* bytes, size_t size, const char* name,
                                    const adaface_decode_options* options, adaface_image** image) {
  return c_api::guarded([&] {
    c_api::required(image, "image");
    if (size > 0 && !bytes) c_api::reject("bytes", "NULL", "a pointer");
    auto decoded = decode_image({static_cast<const std::byte*>(bytes), size}, c_api::decode_options(options),
                                name ? name : "image");
    *image = new adaface_image{std::move(decoded)};
  });
}

adaface_status adaface_image_get(const adaface_image* image, adaface_image_view* view) {
  return c_api::guarded([&] {
    const ImageView from = c_api::required(image, "image").image;
    c_api::required(view, "view") = {from.data, from.width, from.height, from.stride, ADAFACE_RGB};
  });
}

void adaface_image_free(adaface_image* image) {
  delete image;
}

adaface_status adaface_image_write(const char* path, const adaface_image_view* image, int32_t quality) {
  return c_api::guarded(
      [&] { write_image(&c_api::required(path, "path"), c_api::view_of(image, "image"), quality); });
}

}  // extern "C"
