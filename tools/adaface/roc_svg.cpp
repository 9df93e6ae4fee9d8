#include "tools/adaface/roc_svg.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "tools/adaface/html.h"

namespace adaface::cli {
namespace {

constexpr double kWidth = 760, kHeight = 600;
constexpr double kLeft = 84, kRight = 728, kTop = 92, kBottom = 526;
constexpr const char* kInk = "#1f2933";
constexpr const char* kMuted = "#616e7c";
constexpr const char* kGrid = "#e4e7eb";
constexpr const char* kCurve = "#0b69a3";
constexpr const char* kMark = "#cf1124";

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  char buffer[512];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(buffer, sizeof buffer, pattern, arguments);
  va_end(arguments);
  return buffer;
}

struct Axes {
  int decades;    // FAR from 10^-decades to 1
  double lowest;  // TAR from here to 1

  double x(double far) const {
    const double position = far > 0 ? 1 + std::log10(far) / decades : 0;
    return kLeft + std::clamp(position, 0.0, 1.0) * (kRight - kLeft);
  }
  double y(double tar) const {
    return kBottom - std::clamp((tar - lowest) / (1 - lowest), 0.0, 1.0) * (kBottom - kTop);
  }
};

// Good networks differ in the last percents only: TAR begins where the curve does.
Axes axes_of(const Verification& verification) {
  const int decades = static_cast<int>(
      std::clamp(std::ceil(std::log10(static_cast<double>(verification.different))), 4.0, 6.0));
  const double first = operating_point(verification.roc, std::pow(10, -decades)).tar;
  double lowest = 0;
  for (const double level : {0.5, 0.8, 0.9, 0.95, 0.98})
    if (first > level) lowest = level;
  return {decades, lowest};
}

std::string label(double x, double y, const char* anchor, const char* fill, int size, const std::string& text,
                  const char* weight = "normal") {
  return format(
             "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\" font-size=\"%d\" "
             "font-weight=\"%s\">",
             x, y, anchor, fill, size, weight) +
         html_text(text) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const char* colour, double width,
                 const char* dashes = "none") {
  return format(
      "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"%.1f\" "
      "stroke-dasharray=\"%s\"/>\n",
      x1, y1, x2, y2, colour, width, dashes);
}

std::string grid(const Axes& axes) {
  std::string out;
  for (int decade = -axes.decades; decade <= 0; ++decade) {
    const double far = std::pow(10, decade);
    out += line(axes.x(far), kTop, axes.x(far), kBottom, kGrid, 1.2);
    for (int digit = 2; digit < 10 && decade < 0; ++digit)
      out += line(axes.x(digit * far), kBottom, axes.x(digit * far), kBottom + 4, kMuted, 0.8);
    out += line(axes.x(far), kBottom, axes.x(far), kBottom + 7, kMuted, 1);
    const std::string name = decade == 0 ? "1" : format("1e%d", decade);
    out += label(axes.x(far), kBottom + 24, "middle", kMuted, 13, name);
  }
  constexpr int kSteps = 5;
  for (int step = 0; step <= kSteps; ++step) {
    const double tar = axes.lowest + (1 - axes.lowest) * step / kSteps;
    out += line(kLeft, axes.y(tar), kRight, axes.y(tar), kGrid, 1.2);
    out += label(kLeft - 12, axes.y(tar) + 4.5, "end", kMuted, 13,
                 format("%.*f",
                        axes.lowest < 0.9    ? 1
                        : axes.lowest < 0.95 ? 2
                                             : 3,
                        tar));
  }
  return out;
}

// Steps: between two of its points the rates are those of the one with the higher threshold.
std::string path_of(const Verification& verification, const Axes& axes) {
  std::string out;
  double last_x = -1, last_y = -1;
  const auto go = [&](double x, double y) {
    constexpr double kVisible = 0.05;
    if (std::abs(x - last_x) < kVisible && std::abs(y - last_y) < kVisible) return;
    out += format("%s%.2f %.2f", out.empty() ? "M" : " L", x, y);
    last_x = x;
    last_y = y;
  };
  double tar = operating_point(verification.roc, 0).tar;
  go(axes.x(0), axes.y(tar));
  for (const OperatingPoint& point : verification.roc) {
    if (point.far == 0) continue;
    go(axes.x(point.far), axes.y(tar));
    go(axes.x(point.far), axes.y(point.tar));
    tar = point.tar;
  }
  go(axes.x(1), axes.y(tar));
  return out;
}

// A label stands below its point to the right, or, where there is no room, above it to the left: the curve
// rises, so it passes through neither.
std::string mark(const Verification& verification, const Axes& axes, double far, const char* name) {
  const OperatingPoint point = operating_point(verification.roc, far);
  const double x = axes.x(far), y = axes.y(point.tar);
  const bool above = y + 52 > kBottom;
  const double label_x = above ? x - 10 : x + 10, label_y = above ? y - 28 : y + 24;
  const char* anchor = above ? "end" : "start";
  return line(x, y, x, kBottom, kMark, 1.2, "3 4") +
         format(
             "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\" stroke=\"#ffffff\" stroke-width=\"2\"/>\n",
             x, y, kMark) +
         label(label_x, label_y, anchor, kMark, 14, format("%.2f%%", 100 * point.tar), "bold") +
         label(label_x, label_y + 17, anchor, kMuted, 12, std::string("TAR at FAR ") + name);
}

}  // namespace

std::string roc_svg(const Verification& verification, const RocText& text) {
  const Axes axes = axes_of(verification);
  std::string out = format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
      "font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n",
      kWidth, kHeight, kWidth, kHeight);
  out += "<title>" + html_text(text.title) + "</title>\n";
  out += format("<rect width=\"%.0f\" height=\"%.0f\" fill=\"#ffffff\"/>\n", kWidth, kHeight);
  out += label(kLeft, 40, "start", kInk, 20, text.title, "bold");
  out += label(kLeft, 64, "start", kMuted, 13, text.subtitle);
  out += grid(axes);
  const std::string path = path_of(verification, axes);
  out += "<path d=\"" + path +
         format(" L%.2f %.2f L%.2f %.2f Z\" fill=\"%s\" fill-opacity=\"0.07\"/>\n", kRight, kBottom, kLeft,
                kBottom, kCurve);
  out += "<path d=\"" + path +
         format("\" fill=\"none\" stroke=\"%s\" stroke-width=\"2.5\" stroke-linejoin=\"round\"/>\n", kCurve);
  out += line(kLeft, kBottom, kRight, kBottom, kInk, 1.4);
  out += line(kLeft, kTop, kLeft, kBottom, kInk, 1.4);
  out += mark(verification, axes, 1e-3, "1e-3");
  out += mark(verification, axes, 1e-2, "1e-2");
  out += label((kLeft + kRight) / 2, kBottom + 54, "middle", kInk, 14, "False accept rate (FAR)");
  out += format("<g transform=\"translate(26 %.1f) rotate(-90)\">", (kTop + kBottom) / 2) +
         label(0, 0, "middle", kInk, 14, "True accept rate (TAR)") + "</g>\n";
  return out + "</svg>\n";
}

}  // namespace adaface::cli
