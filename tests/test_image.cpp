#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "src/adaface.hpp"
#include "src/image/orientation.h"
#include "src/image/resize.h"
#include "src/io/file.h"
#include "tests/golden.h"
#include "tests/noise.h"

namespace {

namespace fs = std::filesystem;
using adaface::ErrorCode;
using adaface::Image;
using adaface::ImageView;
using Bytes = std::vector<std::byte>;

using adaface::testing::files_in;
using adaface::testing::have;
using adaface::testing::noise;
using adaface::testing::Scratch;
using adaface::testing::shared_directory;

// Smooth, so that JPEG keeps it closely.
Image gradient(int width, int height) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.row(y)[3 * x] = static_cast<std::uint8_t>(x * 255 / width);
      image.row(y)[3 * x + 1] = static_cast<std::uint8_t>(y * 255 / height);
      image.row(y)[3 * x + 2] = static_cast<std::uint8_t>((x + y) * 127 / (width + height));
    }
  }
  return image;
}

bool equal(const Image& a, const Image& b) {
  if (a.width() != b.width() || a.height() != b.height()) return false;
  for (int y = 0; y < a.height(); ++y) {
    if (std::memcmp(a.row(y), b.row(y), a.stride()) != 0) return false;
  }
  return true;
}

Bytes bytes_of(std::string_view text) {
  const auto span = std::as_bytes(std::span(text.data(), text.size()));
  return {span.begin(), span.end()};
}

// The error's code; its message must name the file and hold `part`.
ErrorCode refusal(const Bytes& file, std::string_view part = "", const adaface::DecodeOptions& options = {}) {
  try {
    adaface::decode_image(file, options, "x.jpg");
  } catch (const adaface::Error& error) {
    const std::string message = error.what();
    CAPTURE(message);
    CHECK(message.starts_with("x.jpg: "));
    CHECK(message.find(part) != std::string::npos);
    return error.code();
  }
  return ErrorCode::internal;  // decoded
}

void put16(Bytes& file, unsigned value, bool little) {
  for (const int shift : {little ? 0 : 8, little ? 8 : 0})
    file.push_back(static_cast<std::byte>(value >> shift & 255));
}
void put32(Bytes& file, unsigned value, bool little) {
  put16(file, little ? value & 65535 : value >> 16, little);
  put16(file, little ? value >> 16 : value & 65535, little);
}

// A TIFF block with one unrelated entry before the orientation.
Bytes tiff_block(int orientation, bool little) {
  Bytes block = bytes_of(little ? "II" : "MM");
  put16(block, 42, little);
  put32(block, 8, little);
  put16(block, 2, little);
  for (const auto& [tag, value] : {std::pair{0x0100, 77}, std::pair{0x0112, orientation}}) {
    put16(block, tag, little);
    put16(block, 3, little);
    put32(block, 1, little);
    put16(block, value, little);
    put16(block, 0, little);
  }
  put32(block, 0, little);
  return block;
}

Bytes with_exif(const Bytes& jpeg, const Bytes& block) {
  Bytes file = bytes_of("\xFF\xD8\xFF\xE1");
  put16(file, static_cast<unsigned>(block.size() + 8), false);
  for (const char c : std::string_view("Exif\0\0", 6)) file.push_back(static_cast<std::byte>(c));
  file.insert(file.end(), block.begin(), block.end());
  file.insert(file.end(), jpeg.begin() + 2, jpeg.end());
  return file;
}

// Pixel (x, y) of the upright picture, from the definition of the eight values: where the stored row 0 and
// column 0 are to be seen.
const std::uint8_t* expected_pixel(const Image& stored, int orientation, int x, int y) {
  const int right = stored.width() - 1, bottom = stored.height() - 1;
  const int row[] = {0, y, y, bottom - y, bottom - y, x, bottom - x, bottom - x, x};
  const int column[] = {0, x, right - x, right - x, x, y, y, right - y, right - y};
  return stored.row(row[orientation]) + 3 * column[orientation];
}

// `kind`: bit depth and colour type.
Bytes png_header_only(unsigned width, unsigned height, std::string_view kind = "\x08\x02") {
  Bytes file = bytes_of({"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16});
  put32(file, width, false);
  put32(file, height, false);
  const Bytes rest = bytes_of(std::string(kind) + std::string(7, '\0'));
  file.insert(file.end(), rest.begin(), rest.end());
  return file;
}

}  // namespace

TEST_CASE("resize equals Pillow's") {
  const fs::path golden = shared_directory() / "golden";
  if (!have(golden / "resize.json")) return;
  const auto cases = adaface::testing::read_json(golden / "resize.json")["cases"];
  const Image image = adaface::read_image(shared_directory() / "images" / "img2.png");
  adaface::Resizer resizer;
  int count = 0, differing = 0;
  for (const auto& entry : cases) {
    const auto crop = entry["crop"].get<std::array<int, 4>>();
    const Image expected = adaface::read_image(golden / entry["file"].get<std::string>());
    ImageView view = image;
    view.data += crop[1] * view.stride + 3 * crop[0];
    view.width = crop[2] - crop[0];
    view.height = crop[3] - crop[1];
    Image out(entry["size"][0], entry["size"][1]);
    resizer.resize(view, out.width(), out.height(), out.row(0));
    CAPTURE(entry["file"].get<std::string>());
    CHECK(equal(out, expected));
    for (int y = 0; y < out.height(); ++y) {
      for (std::size_t i = 0; i < out.stride(); ++i) differing += out.row(y)[i] != expected.row(y)[i];
    }
    ++count;
  }
  std::printf("%d resizes: %d samples differ\n", count, differing);
  CHECK(count >= 10);
}

TEST_CASE("resize: straight from the definition, on odd shapes") {
  const unsigned seed = 20;
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  adaface::Resizer resizer;
  for (int round = 0; round < 60; ++round) {
    const int width = 1 + random() % 90, height = 1 + random() % 90;
    const int new_width = 1 + random() % 90, new_height = 1 + random() % 90;
    const Image image = noise(width, height, random());
    Image out(new_width, new_height);
    resizer.resize(image, new_width, new_height, out.row(0));
    // Two exact triangle filters, the horizontal rounded to integers: within half a level of the vertical.
    const auto weight = [](int i, int source, int k, double scale) {
      const double support = std::max(scale, 1.0), center = (i + 0.5) * scale;
      double sum = 0, own = 0;
      for (int j = 0; j < source; ++j) {
        const double value = std::max(0.0, 1.0 - std::abs((j + 0.5 - center) / support));
        sum += value;
        if (j == k) own = value;
      }
      return own / sum;
    };
    double worst = 0;
    for (int probe = 0; probe < 4; ++probe) {
      const int x = random() % new_width, y = random() % new_height, c = random() % 3;
      double sum = 0;
      for (int j = 0; j < height; ++j) {
        double row = 0;
        for (int i = 0; i < width; ++i) {
          row += image.row(j)[3 * i + c] * weight(x, width, i, static_cast<double>(width) / new_width);
        }
        sum += row * weight(y, height, j, static_cast<double>(height) / new_height);
      }
      worst = std::max(worst, std::abs(sum - out.row(y)[3 * x + c]));
    }
    CAPTURE(width);
    CAPTURE(height);
    CAPTURE(new_width);
    CAPTURE(new_height);
    CHECK(worst <= 1.001);  // half a level for each of the two roundings
  }
}

TEST_CASE("resize: a view with a stride and in BGR order gives RGB; empty sizes are refused") {
  const Image image = noise(40, 30, 3);
  Image swapped(40, 30);
  for (int y = 0; y < 30; ++y) {
    for (int i = 0; i < 120; ++i) swapped.row(y)[i] = image.row(y)[i / 3 * 3 + 2 - i % 3];
  }
  ImageView view = image, reversed = swapped;
  reversed.order = adaface::ChannelOrder::bgr;
  for (ImageView* region : {&view, &reversed}) {
    region->data += 5 * region->stride + 3 * 7;
    region->width = 20;
    region->height = 21;
  }
  adaface::Resizer resizer;
  for (const auto& [width, height] :
       {std::pair{11, 13}, std::pair{20, 9}, std::pair{9, 21}, std::pair{20, 21}}) {
    Image a(width, height), b(width, height);
    resizer.resize(view, width, height, a.row(0));
    resizer.resize(reversed, width, height, b.row(0));
    CHECK(equal(a, b));
  }
  Image out(4, 4);
  CHECK_THROWS_AS(resizer.resize(view, 0, 4, out.row(0)), adaface::Error);
  CHECK_THROWS_AS(resizer.resize(ImageView{}, 4, 4, out.row(0)), adaface::Error);
}

TEST_CASE("PNG round-trips exactly, in both channel orders; JPEG closely") {
  for (const auto& [width, height] :
       {std::pair{1, 1}, std::pair{10, 2000}, std::pair{2000, 10}, std::pair{61, 47}}) {
    const Image image = noise(width, height, static_cast<unsigned>(width));
    CHECK(equal(adaface::decode_image(adaface::encode_png(image)), image));
    ImageView bgr = image;
    bgr.order = adaface::ChannelOrder::bgr;
    const Image swapped = adaface::decode_image(adaface::encode_png(bgr));
    CHECK(swapped.row(0)[0] == image.row(0)[2]);
    CHECK(swapped.row(0)[1] == image.row(0)[1]);
  }
  const Image smooth = gradient(90, 70);
  const Image decoded = adaface::decode_image(adaface::encode_jpeg(smooth, 95));
  REQUIRE(decoded.width() == 90);
  REQUIRE(decoded.height() == 70);
  int worst = 0;
  for (int y = 0; y < 70; ++y) {
    for (int i = 0; i < 270; ++i) worst = std::max(worst, std::abs(decoded.row(y)[i] - smooth.row(y)[i]));
  }
  CHECK(worst <= 8);
  CHECK_THROWS_AS(adaface::encode_jpeg(smooth, 0), adaface::Error);
  CHECK_THROWS_AS(adaface::encode_jpeg(smooth, 101), adaface::Error);
  CHECK_THROWS_AS(adaface::encode_png(ImageView{}), adaface::Error);
  CHECK_THROWS_AS(Image(0, 5), adaface::Error);
  CHECK_THROWS_AS(Image(70000, 5), adaface::Error);
}

TEST_CASE("JPEG photographs decode as libjpeg-turbo does, within 3 levels") {
  const fs::path directory = shared_directory() / "synthetic_faces";
  if (!have(directory)) return;
  const Image jpeg = adaface::read_image(directory / "group.jpg");
  const Image png = adaface::read_image(directory / "png" / "group.png");
  REQUIRE(jpeg.width() == png.width());
  REQUIRE(jpeg.height() == png.height());
  int worst = 0;
  for (int y = 0; y < png.height(); ++y) {
    for (std::size_t i = 0; i < png.stride(); ++i)
      worst = std::max(worst, std::abs(jpeg.row(y)[i] - png.row(y)[i]));
  }
  CHECK(worst <= 3);
}

TEST_CASE("EXIF orientation: all eight, both byte orders, and off") {
  const Bytes jpeg = adaface::encode_jpeg(gradient(48, 32), 95);
  const Image stored = adaface::decode_image(jpeg);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const bool little : {true, false}) {
      CAPTURE(orientation);
      const Bytes file = with_exif(jpeg, tiff_block(orientation, little));
      const Image image = adaface::decode_image(file);
      const bool turned = orientation >= 5;
      REQUIRE(image.width() == (turned ? 32 : 48));
      REQUIRE(image.height() == (turned ? 48 : 32));
      int differing = 0;
      for (int y = 0; y < image.height(); ++y) {
        for (int x = 0; x < image.width(); ++x) {
          differing += std::memcmp(image.row(y) + 3 * x, expected_pixel(stored, orientation, x, y), 3) != 0;
        }
      }
      CHECK(differing == 0);
      CHECK(equal(adaface::decode_image(file, {.apply_orientation = false}), stored));
    }
  }
}

TEST_CASE("EXIF orientation: damaged blocks mean upright") {
  const Bytes good = tiff_block(6, true);
  CHECK(adaface::exif_orientation(good) == 6);
  for (std::size_t size = 0; size < 34; ++size) CHECK(adaface::exif_orientation({good.data(), size}) == 1);
  for (const int value : {0, 9, 65535}) CHECK(adaface::exif_orientation(tiff_block(value, false)) == 1);
  Bytes far = good;
  for (int i = 4; i < 8; ++i) far[i] = std::byte{0xFF};
  CHECK(adaface::exif_orientation(far) == 1);
}

TEST_CASE("every prefix of a PNG and of a JPEG is refused as corrupt or no image") {
  for (const Bytes& file : {adaface::encode_png(noise(19, 13, 9)), adaface::encode_jpeg(noise(19, 13, 9))}) {
    int accepted = 0, other = 0;
    for (std::size_t size = 0; size < file.size(); ++size) {
      const ErrorCode code = refusal({file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)});
      accepted += code == ErrorCode::internal;
      other += code != ErrorCode::corrupt && code != ErrorCode::internal && size >= 8;
    }
    CHECK(accepted == 0);
    CHECK(other == 0);
  }
}

TEST_CASE("every flipped bit of a PNG is refused; of a JPEG refused or decoded to its size") {
  const Image image = noise(12, 9, 11);
  Bytes png = adaface::encode_png(image);
  int accepted = 0;
  for (std::size_t bit = 0; bit < png.size() * 8; ++bit) {
    png[bit / 8] ^= std::byte{1} << (bit % 8);
    try {
      adaface::decode_image(png);
      ++accepted;
    } catch (const adaface::Error&) {
    }
    png[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  CHECK(accepted == 0);

  Bytes jpeg = adaface::encode_jpeg(image);
  for (std::size_t bit = 0; bit < jpeg.size() * 8; ++bit) {
    jpeg[bit / 8] ^= std::byte{1} << (bit % 8);
    try {
      const Image first = adaface::decode_image(jpeg, {.max_side = 2000});
      const Image second = adaface::decode_image(jpeg, {.max_side = 2000});
      if (!equal(first, second)) FAIL("a damaged JPEG decodes differently each time");
    } catch (const adaface::Error&) {
    }
    jpeg[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

TEST_CASE("oversized headers are refused before decoding, naming both sizes") {
  CHECK(refusal(png_header_only(100000, 100000), "100000x100000, expected at most 16384x16384") ==
        ErrorCode::limit);
  const Image image = noise(30, 20, 1);
  CHECK(refusal(adaface::encode_png(image), "30x20, expected at most 25x25", {.max_side = 25}) ==
        ErrorCode::limit);
  CHECK(refusal(adaface::encode_jpeg(image), "30x20, expected at most 25x25", {.max_side = 25}) ==
        ErrorCode::limit);
  CHECK(refusal(adaface::encode_png(image), "expected at most 50", {.max_file_bytes = 50}) ==
        ErrorCode::limit);
  CHECK(refusal(bytes_of("P6 99999 2 255\n"), "99999x2") == ErrorCode::limit);
  // Within the sides, but more than the decoder can count: 16 bits of four channels.
  CHECK(refusal(png_header_only(16384, 16384, "\x10\x06"), "unpack to 2147500032 bytes") == ErrorCode::limit);
  CHECK(refusal(png_header_only(0, 4), "0x4") == ErrorCode::corrupt);
}

TEST_CASE("a PNG that unpacks to more than its size is refused") {
  Bytes png = adaface::encode_png(Image(4000, 4000));
  for (int i = 16; i < 24; ++i) png[i] = std::byte(i % 4 == 3 ? 1 : 0);
  std::uint32_t crc = ~0u;
  for (int i = 12; i < 29; ++i) {
    crc ^= std::to_integer<std::uint32_t>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
  }
  for (int i = 0; i < 4; ++i) png[29 + i] = static_cast<std::byte>(~crc >> (24 - 8 * i) & 255);
  CHECK(refusal(png, "1x1 unpacks to more data") == ErrorCode::limit);
}

TEST_CASE("what is no image") {
  CHECK(refusal({}, "empty file") == ErrorCode::corrupt);
  CHECK(refusal(bytes_of("Dear reader,\nthis is a text.\n"), "not an image in a known format") ==
        ErrorCode::unsupported);
  CHECK(refusal(Bytes(4000, std::byte{0}), "not an image") == ErrorCode::unsupported);
}

TEST_CASE("files: missing, a directory, empty, unknown extension") {
  const Scratch scratch("image");
  const auto code_of = [](const fs::path& path) {
    try {
      adaface::read_image(path);
    } catch (const adaface::Error& error) {
      CHECK(std::string(error.what()).find(path.filename().string()) != std::string::npos);
      return error.code();
    }
    return ErrorCode::internal;
  };
  CHECK(code_of(scratch.path / "missing.jpg") == ErrorCode::not_found);
  CHECK(code_of(scratch.path) == ErrorCode::io);
  adaface::write_file(scratch.path / "empty.jpg", {});
  CHECK(code_of(scratch.path / "empty.jpg") == ErrorCode::corrupt);

  const Image image = gradient(20, 10);
  adaface::write_image(scratch.path / "a.PNG", image);
  CHECK(equal(adaface::read_image(scratch.path / "a.PNG"), image));
  adaface::write_image(scratch.path / "a.jpeg", image, 100);
  CHECK(adaface::read_image(scratch.path / "a.jpeg").width() == 20);
  CHECK_THROWS_AS(adaface::write_image(scratch.path / "a.webp", image), adaface::Error);
  CHECK_THROWS_AS(adaface::write_image(scratch.path / "none" / "a.png", image), adaface::Error);
  CHECK(files_in(scratch.path) == 3);
}

TEST_CASE("views that are none are refused everywhere") {
  const std::vector<std::uint8_t> pixels(300);
  const std::array<adaface::Point, 5> landmarks = {{{40, 50}, {70, 50}, {56, 70}, {42, 92}, {70, 92}}};
  for (const adaface::ImageView& view :
       {adaface::ImageView{}, adaface::ImageView{pixels.data(), 10, 10, 29},
        adaface::ImageView{pixels.data(), 10, 10, -30}, adaface::ImageView{pixels.data(), 0, 10, 30},
        adaface::ImageView{pixels.data(), 10, -1, 30}, adaface::ImageView{nullptr, 10, 10, 30}}) {
    CAPTURE(view.stride);
    CHECK_THROWS_AS(adaface::encode_png(view), adaface::Error);
    CHECK_THROWS_AS(adaface::encode_jpeg(view), adaface::Error);
    CHECK_THROWS_AS(adaface::write_image("never.png", view), adaface::Error);
    CHECK_THROWS_AS(adaface::align_face(view, landmarks), adaface::Error);
  }
  CHECK(!fs::exists("never.png"));
}

TEST_CASE("a file is complete or absent, and replaces files only") {
  const Scratch scratch("image-atomic");
  const fs::path path = scratch.path / "x.bin";
  {
    adaface::io::AtomicFile unfinished(path);
    unfinished.append(Bytes(100000));
    CHECK(!fs::exists(path));
  }
  CHECK(fs::is_empty(scratch.path));
  adaface::write_file(path, Bytes(10));
  adaface::write_file(path, Bytes(20));
  CHECK(fs::file_size(path) == 20);
  fs::create_symlink("x.bin", scratch.path / "link");
  adaface::write_file(scratch.path / "link", Bytes(30));
  CHECK(fs::is_symlink(scratch.path / "link"));
  CHECK(fs::file_size(path) == 30);
  // Links to links, by relative and absolute paths, to what is not there yet.
  fs::create_directory(scratch.path / "d");
  fs::create_symlink("../new.bin", scratch.path / "d/inner");
  fs::create_symlink(scratch.path / "d/inner", scratch.path / "outer");
  adaface::write_file(scratch.path / "outer", Bytes(40));
  CHECK(fs::is_symlink(scratch.path / "outer"));
  CHECK(fs::is_symlink(scratch.path / "d/inner"));
  CHECK(fs::file_size(scratch.path / "new.bin") == 40);
  fs::create_symlink("round", scratch.path / "round");
  CHECK_THROWS_AS(adaface::write_file(scratch.path / "round", Bytes(1)), adaface::Error);
  for (const char* name : {"outer", "new.bin", "round"}) fs::remove(scratch.path / name);
  fs::remove_all(scratch.path / "d");
  REQUIRE(::mkfifo((scratch.path / "pipe").c_str(), 0600) == 0);
  CHECK_THROWS_AS(adaface::write_file(scratch.path / "pipe", Bytes(1)), adaface::Error);
  CHECK(fs::is_fifo(scratch.path / "pipe"));
  CHECK(files_in(scratch.path) == 3);
}

TEST_CASE("control characters of any kind never reach a terminal") {
  CHECK(adaface::printable("a\nb\x1b[0m\x7f") == "a?b?[0m?");
  CHECK(adaface::printable("\xc2\x9b[31m") == "?[31m");              // C1
  CHECK(adaface::printable("gpj.\xe2\x80\xae.exe") == "gpj.?.exe");  // right-to-left override
  CHECK(adaface::printable("\xe2\x81\xa6x\xe2\x81\xaay") == "?x\xe2\x81\xaay");
  CHECK(adaface::printable("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80") ==
        "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
}

// 2x1 of `depth` bits in RGBA: dark, half transparent; bright, nearly so.
Bytes psd_with_alpha(int depth, bool packed) {
  Bytes psd = bytes_of({"8BPS\0\1\0\0\0\0\0\0", 12});
  put16(psd, 4, false);
  put32(psd, 1, false);
  put32(psd, 2, false);
  put16(psd, static_cast<unsigned>(depth), false);
  put16(psd, 3, false);
  for (int section = 0; section < 3; ++section) put32(psd, 0, false);
  put16(psd, packed ? 1 : 0, false);
  for (int channel = 0; packed && channel < 4; ++channel) put16(psd, 3, false);
  for (const int value : {1, 200, 2, 210, 3, 220, 128, 5}) {
    if (packed && value != 200 && value != 210 && value != 220 && value != 5) psd.push_back(std::byte{1});
    psd.push_back(std::byte(value));
    if (depth == 16) psd.push_back(std::byte(value));
  }
  return psd;
}

TEST_CASE("a PSD's alpha is dropped and changes nothing else") {
  for (const bool packed : {false, true}) {
    for (const int depth : {8, 16}) {
      if (packed && depth == 16) continue;
      CAPTURE(packed);
      CAPTURE(depth);
      const Bytes psd = psd_with_alpha(depth, packed);
      const Image image = adaface::decode_image(psd);
      REQUIRE(image.width() == 2);
      const std::uint8_t* row = image.row(0);
      CHECK(std::vector<int>(row, row + 6) == std::vector<int>{1, 2, 3, 200, 210, 220});
      CHECK(refusal({psd.begin(), psd.end() - 1}, "truncated") == ErrorCode::corrupt);
    }
  }
}

TEST_CASE("the other formats: read, and refused when cut off") {
  const Bytes ppm = bytes_of({"P6 # comment\n2 1\n255\n\x01\x02\x03\xFF\xFE\xFD", 27});
  const Image two = adaface::decode_image(ppm);
  CHECK(two.width() == 2);
  CHECK(two.row(0)[1] == 2);
  CHECK(two.row(0)[5] == 0xFD);
  CHECK(refusal({ppm.begin(), ppm.end() - 1}, "1 bytes are missing") == ErrorCode::corrupt);

  const Image grey = adaface::decode_image(bytes_of({"P5 3 1 65535\n\0\0\x80\x80\xFF\xFF", 19}));
  CHECK(grey.row(0)[0] == 0);
  CHECK(grey.row(0)[4] == 128);
  CHECK(grey.row(0)[8] == 255);

  Bytes bmp = bytes_of("BM");  // 2x2, 24 bits, rows from the bottom
  for (const unsigned value : {70u, 0u, 54u, 40u, 2u, 2u}) put32(bmp, value, true);
  put16(bmp, 1, true);
  put16(bmp, 24, true);
  for (int i = 0; i < 6; ++i) put32(bmp, 0, true);
  for (const int value : {1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0}) bmp.push_back(std::byte(value));
  const Image bitmap = adaface::decode_image(bmp);
  CHECK(bitmap.row(0)[0] == 9);
  CHECK(bitmap.row(1)[5] == 4);
  CHECK(refusal({bmp.begin(), bmp.end() - 3}, "truncated") == ErrorCode::corrupt);

  Bytes tga =
      bytes_of({"\0\0\x0A\0\0\0\0\0\0\0\0\0\x03\0\x01\0\x18\x20\x82\x01\x02\x03", 22});  // a run of three
  const Image run = adaface::decode_image(tga);
  CHECK(run.width() == 3);
  CHECK(run.row(0)[6] == 3);
  CHECK(refusal({tga.begin(), tga.end() - 1}, "TGA") == ErrorCode::corrupt);

  Bytes hdr = bytes_of("#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 2\n");
  for (const int value : {128, 128, 128, 129, 255, 255, 255, 140}) hdr.push_back(std::byte(value));
  const Image bright = adaface::decode_image(hdr);
  CHECK(bright.row(0)[0] == 255);
  CHECK(refusal({hdr.begin(), hdr.end() - 1}, "truncated") == ErrorCode::corrupt);

  // One black and one white pixel: 1x2, codes clear, 0, 1, end.
  Bytes gif = bytes_of(
      {"GIF89a\x02\0\x01\0\x80\0\0\0\0\0\xFF\xFF\xFF,\0\0\0\0\x02\0\x01\0\0\x02\x02\x44\x0A\0;", 35});
  const Image frame = adaface::decode_image(gif);
  CHECK(frame.row(0)[0] == 0);
  CHECK(frame.row(0)[3] == 255);
  CHECK(refusal({gif.begin(), gif.end() - 2}, "truncated") == ErrorCode::corrupt);
}
