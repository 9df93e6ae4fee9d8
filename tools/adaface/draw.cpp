#include "tools/adaface/draw.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_easy_font.h>
#pragma GCC diagnostic pop

namespace adaface::cli {

namespace {

struct Color {
  std::uint8_t r, g, b;
};

constexpr Color kBoxColor{64, 220, 96}, kPointColor{255, 214, 64}, kDark{16, 24, 16}, kLight{236, 240, 236};

// Pixels [x1, x2) x [y1, y2).
struct Rectangle {
  int x1, y1, x2, y2;
};

void fill(Image& image, Rectangle area, Color color) {
  area.x1 = std::max(area.x1, 0);
  area.y1 = std::max(area.y1, 0);
  area.x2 = std::min(area.x2, image.width());
  area.y2 = std::min(area.y2, image.height());
  for (int y = area.y1; y < area.y2; ++y) {
    for (int x = area.x1; x < area.x2; ++x) {
      std::uint8_t* pixel = image.row(y) + 3 * static_cast<std::ptrdiff_t>(x);
      pixel[0] = color.r;
      pixel[1] = color.g;
      pixel[2] = color.b;
    }
  }
}

void outline(Image& image, const Rectangle& box, int line, Color color) {
  fill(image, {box.x1, box.y1, box.x2, box.y1 + line}, color);
  fill(image, {box.x1, box.y2 - line, box.x2, box.y2}, color);
  fill(image, {box.x1, box.y1, box.x1 + line, box.y2}, color);
  fill(image, {box.x2 - line, box.y1, box.x2, box.y2}, color);
}

void disc(Image& image, int center_x, int center_y, int radius, Color color) {
  for (int dy = -radius; dy <= radius; ++dy) {
    const int half = static_cast<int>(std::sqrt(static_cast<double>(radius * radius - dy * dy)));
    fill(image, {center_x - half, center_y + dy, center_x + half + 1, center_y + dy + 1}, color);
  }
}

class Caption {
 public:
  explicit Caption(const std::string& text) {
    constexpr std::size_t kMaxLength = 100;
    text_ = drawable(text).substr(0, kMaxLength);
  }

  int width() { return stb_easy_font_width(text_.data()); }

  void draw(Image& image, int x, int y, int scale, Color color) {
    struct Vertex {
      float x, y, z;
      std::uint8_t color[4];
    };
    using Quad = std::array<Vertex, 4>;
    // At most 32 strokes a letter.
    std::vector<Quad> quads(text_.size() * 32);
    const int count = stb_easy_font_print(0, 0, text_.data(), nullptr, quads.data(),
                                          static_cast<int>(quads.size() * sizeof(Quad)));
    for (int i = 0; i < count; ++i) {
      const Vertex &first = quads[i][0], &opposite = quads[i][2];
      fill(image,
           {x + static_cast<int>(first.x) * scale, y + static_cast<int>(first.y) * scale,
            x + static_cast<int>(opposite.x) * scale, y + static_cast<int>(opposite.y) * scale},
           color);
    }
  }

 private:
  std::string text_;
};

// Boxes may lie far outside the picture: beyond these bounds nothing is visible, and within them no sum
// overflows.
int pixel(float coordinate) {
  constexpr float kFar = 1e6f;
  return static_cast<int>(std::lround(std::clamp(coordinate, -kFar, kFar)));
}

bool is_finite(const Face& face) {
  const Box& box = face.box;
  bool finite =
      std::isfinite(box.x1) && std::isfinite(box.y1) && std::isfinite(box.x2) && std::isfinite(box.y2);
  for (const Point& point : face.landmarks)
    finite = finite && std::isfinite(point.x) && std::isfinite(point.y);
  return finite;
}

// One size of letters for the whole picture: what at least half of the boxes have room for in one and a half
// times their width, with strokes of one pixel to `line`.
int caption_scale(std::span<const Annotation> annotations, int line) {
  std::vector<int> scales;
  for (const Annotation& annotation : annotations) {
    if (!is_finite(annotation.face)) continue;
    const int width = pixel(annotation.face.box.x2) + 1 - pixel(annotation.face.box.x1);
    scales.push_back(std::clamp(width * 3 / (2 * std::max(Caption(annotation.caption).width(), 1)), 1, line));
  }
  if (scales.empty()) return 1;
  const auto middle = scales.begin() + static_cast<std::ptrdiff_t>(scales.size() / 2);
  std::ranges::nth_element(scales, middle);
  return *middle;
}

// A caption's text with a margin around it.
struct Label {
  Caption caption;
  int scale;

  int margin() const { return 2 * scale; }
  int width() { return caption.width() * scale + 2 * margin(); }
  int height() const { return kTextHeight * scale + 2 * margin() - scale; }
};

bool meet(const Rectangle& a, const Rectangle& b) {
  return a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2;
}

// Where a label may stand, best first: above the box, below it, inside a box that is much larger; beginning
// or ending with it.
std::vector<Rectangle> places(const Image& image, const Rectangle& box, int width, int height) {
  std::vector<Rectangle> result;
  const auto add = [&](int x, int y) {
    x = std::clamp(x, 0, std::max(image.width() - width, 0));
    if (y >= 0 && y + height <= image.height()) result.push_back({x, y, x + width, y + height});
  };
  for (const int y : {box.y1 - height, box.y2})
    for (const int x : {box.x1, box.x2 - width}) add(x, y);
  if (box.x2 - box.x1 >= width && box.y2 - box.y1 >= 5 * height) {
    add(box.x1, std::max(box.y1, 0));
    add(box.x1, std::min(box.y2, image.height()) - height);
  }
  return result;
}

// `taken`: what is not to be covered, with what is drawn added; its element `own` is the caption's own box.
bool draw_caption(Image& image, std::vector<Rectangle>& taken, std::size_t own, const std::string& text,
                  int scale) {
  if (text.empty()) return false;
  Label label{Caption(text), scale};
  for (const Rectangle& place : places(image, taken[own], label.width(), label.height())) {
    bool is_free = true;
    for (std::size_t i = 0; i < taken.size(); ++i) is_free = is_free && (i == own || !meet(place, taken[i]));
    if (!is_free) continue;
    fill(image, place, kBoxColor);
    label.caption.draw(image, place.x1 + label.margin(), place.y1 + label.margin(), scale, kDark);
    taken.push_back(place);
    return true;
  }
  return false;
}

}  // namespace

std::string drawable(const std::string& text) {
  std::string result;
  for (const char c : printable(text)) {
    // printable() leaves valid UTF-8: a character's first byte stands for all of it.
    const bool continues = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (!continues) result += c >= ' ' && c <= '~' ? c : '?';
  }
  return result;
}

int text_width(const std::string& text) {
  return Caption(text).width();
}

void draw_text(Image& image, int x, int y, int scale, const std::string& text) {
  Caption(text).draw(image, x, y, scale, kLight);
}

void draw_faces(Image& image, std::span<const Annotation> annotations) {
  // Two pixels wide up to a side of 1000, then growing with the picture.
  const int line =
      std::max(2, static_cast<int>(std::lround(std::max(image.width(), image.height()) / 400.0)));
  const int scale = caption_scale(annotations, line);
  std::vector<const Annotation*> drawn;
  std::vector<Rectangle> taken;
  for (const Annotation& annotation : annotations) {
    const Face& face = annotation.face;
    if (!is_finite(face)) continue;
    const Rectangle box{pixel(face.box.x1), pixel(face.box.y1), pixel(face.box.x2) + 1,
                        pixel(face.box.y2) + 1};
    outline(image, box, line, kBoxColor);
    // Points of a twentieth of the face, so that small faces stay visible under them.
    const int radius = std::clamp((box.x2 - box.x1) / 40, 1, 2 * line);
    for (const Point& point : face.landmarks)
      disc(image, pixel(point.x), pixel(point.y), radius, kPointColor);
    drawn.push_back(&annotation);
    taken.push_back(box);
  }
  for (std::size_t i = 0; i < drawn.size(); ++i)
    if (!draw_caption(image, taken, i, drawn[i]->caption, scale))
      draw_caption(image, taken, i, drawn[i]->short_caption, scale);
}

}  // namespace adaface::cli
