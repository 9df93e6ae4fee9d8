#include "tools/adaface/montage.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "tools/adaface/draw.h"
#include "tools/adaface/html.h"
#include "tools/adaface/options.h"

namespace adaface::cli {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 320, kGap = 8, kTextScale = 2, kLine = kTextHeight * kTextScale + 6;

std::string decimals(double value) {
  char text[16];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

void paste(const Image& src, Image& dst, int x, int y) {
  for (int row = 0; row < src.height(); ++row)
    std::memcpy(dst.row(y + row) + 3 * static_cast<std::ptrdiff_t>(x), src.row(row), src.stride());
}

// Text of at most `width` pixels: its end counts, where names of files differ.
std::string fitted(std::string text, int width) {
  text = drawable(text);
  if (text_width(text) * kTextScale <= width) return text;
  while (!text.empty() && text_width("..." + text) * kTextScale > width) text.erase(0, 1);
  return "..." + text;
}

// Portraits in a row, two or three lines of text below each.
Image compose(const std::vector<const Portrait*>& portraits) {
  const int count = static_cast<int>(portraits.size());
  const bool has_more =
      std::ranges::any_of(portraits, [](const Portrait* portrait) { return !portrait->more.empty(); });
  Image picture(count * kSide + (count + 1) * kGap, kSide + 2 * kGap + (has_more ? 3 : 2) * kLine + 8);
  for (int y = 0; y < picture.height(); ++y) std::memset(picture.row(y), 30, picture.stride());
  for (int i = 0; i < count; ++i) {
    const Portrait& portrait = *portraits[static_cast<std::size_t>(i)];
    const int x = kGap + i * (kSide + kGap);
    if (portrait.image)
      paste(*portrait.image, picture, x, kGap);
    else
      draw_text(picture, x + 8, kGap + kSide / 2, kTextScale, "photograph not readable");
    int y = kGap + kSide + 8;
    for (const std::string& text : {portrait.title, portrait.detail, portrait.more}) {
      draw_text(picture, x, y, kTextScale, fitted(text, kSide));
      y += kLine;
    }
  }
  return picture;
}

// Letters, digits and what is safe in a file name everywhere.
std::string file_name(const std::string& identity) {
  constexpr std::size_t kMaxLength = 40;
  std::string name;
  for (const char c : drawable(identity).substr(0, kMaxLength)) {
    const bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    name += safe ? c : '_';
  }
  return name;
}

constexpr const char* kMark = "<meta name=\"generator\" content=\"adaface find\">";

bool is_montage(const fs::path& directory) {
  try {
    const std::vector<std::byte> page = read_file(directory / "index.html");
    return std::string_view(reinterpret_cast<const char*>(page.data()), page.size()).find(kMark) !=
           std::string_view::npos;
  } catch (const Error&) {
    return false;
  }
}

// What save() wrote: names that begin with four digits.
void remove_pictures(const fs::path& folder) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().native();
    const bool ours = name.size() > 4 && name.find_first_not_of("0123456789") >= 4 && name.ends_with(".jpg");
    if (ours && entry.is_regular_file(error)) fs::remove(entry.path(), error);
  }
}

}  // namespace

Image cut_portrait(const Image& photograph, const Box& box) {
  Image portrait(kSide, kSide);
  const double width = static_cast<double>(box.x2) - box.x1 + 1,
               height = static_cast<double>(box.y2) - box.y1 + 1;
  const double side = 2 * std::max({width, height, 1.0}), scale = kSide / side;
  const double left = (static_cast<double>(box.x1) + box.x2 + 1) / 2 - side / 2,
               top = (static_cast<double>(box.y1) + box.y2 + 1) / 2 - side / 2;
  const auto inside = [](double value, int limit) {
    return static_cast<int>(std::lround(std::clamp(value, 0.0, static_cast<double>(limit))));
  };
  const int x1 = inside(left, photograph.width()), x2 = inside(left + side, photograph.width());
  const int y1 = inside(top, photograph.height()), y2 = inside(top + side, photograph.height());
  if (x1 >= x2 || y1 >= y2) return portrait;  // beside the picture: black
  const ImageView part{photograph.row(y1) + 3 * static_cast<std::ptrdiff_t>(x1), x2 - x1, y2 - y1,
                       static_cast<std::ptrdiff_t>(photograph.stride()), ChannelOrder::rgb};
  const int x = std::min(inside((x1 - left) * scale, kSide), kSide - 1),
            y = std::min(inside((y1 - top) * scale, kSide), kSide - 1);
  const Image shown = resize_image(part, std::max(1, std::min(inside((x2 - x1) * scale, kSide), kSide - x)),
                                   std::max(1, std::min(inside((y2 - y1) * scale, kSide), kSide - y)));
  paste(shown, portrait, x, y);
  return portrait;
}

Montage::Montage(fs::path directory, const std::vector<std::string>& arguments,
                 const std::vector<Input>& inputs)
    : directory_(std::move(directory)) {
  const std::string where = "--montage " + printable(directory_) + ": ";
  std::error_code error;
  const fs::path canonical = fs::weakly_canonical(directory_, error);
  bool among = false;
  for (const std::string& argument : arguments)
    among = among ||
            (fs::is_directory(argument, error) && is_below(canonical, fs::weakly_canonical(argument, error)));
  for (const Input& input : inputs)
    among = among || is_below(fs::weakly_canonical(input.path, error), canonical);
  if (among) throw UsageError(where + "lies among the pictures that are read; expected another directory");
  if (fs::exists(directory_, error) && !fs::is_empty(directory_, error)) {
    if (!is_montage(directory_))
      throw UsageError(where + "is not empty; expected a new directory, or one of an earlier montage");
    for (const char* folder : {"match", "unknown"}) remove_pictures(directory_ / folder);
  }
  make_directory(directory_ / "match");
  make_directory(directory_ / "unknown");
  finish("", 0);  // marks the directory as ours, whatever becomes of this run
}

fs::path Montage::save(const Image& picture, const char* folder, const std::string& name) {
  char number[16];
  std::snprintf(number, sizeof number, "%04d", ++count_);
  const fs::path relative = fs::path(folder) / (number + (name.empty() ? "" : "-" + name) + ".jpg");
  write_image(directory_ / relative, picture);
  return relative;
}

fs::path Montage::add_match(const std::string& identity, double similarity, const Portrait& known,
                            const Portrait& query) {
  const fs::path relative = save(compose({&known, &query}), "match", file_name(identity));
  matches_.push_back({relative.native(), identity + "  " + decimals(similarity), query.detail});
  return directory_ / relative;
}

fs::path Montage::add_unknown(const std::string& nearest, double similarity, const Portrait& query) {
  const std::string who = nearest.empty() ? "" : "nearest: " + nearest + "  " + decimals(similarity);
  const Portrait shown = nearest.empty() ? Portrait{query.image, "unknown", query.detail}
                                         : Portrait{query.image, "unknown", who, query.detail};
  const fs::path relative = save(compose({&shown}), "unknown", "");
  unknown_.push_back({relative.native(), nearest.empty() ? "unknown" : "unknown; " + who, query.detail});
  return directory_ / relative;
}

void Montage::add_without_face(const std::string& file) {
  without_face_.push_back(file);
}

void Montage::finish(const std::string& gallery, double threshold) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n" +
      std::string(kMark) + "\n<title>" + html_text(gallery) +
      "</title>\n<style>\n"
      "body{font:16px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem;"
      "background:#161816;color:#e8ece8}\n"
      "nav "
      "a{color:#7ddc96;margin-right:1.5rem}\nh1{font-size:1.3rem}\nh2{font-size:1.1rem;margin-top:2.5rem}\n"
      ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));gap:1rem}\n"
      "figure{margin:0;background:#1e221e;border-radius:6px;overflow:hidden}\nimg{width:100%;display:block}\n"
      "figcaption{padding:.5rem .75rem;overflow-wrap:anywhere}\nsmall{color:#a3aca3;display:block}\n"
      "</style>\n<h1>Who is in these photographs</h1>\n<p>Gallery " +
      html_text(gallery) + ", threshold " + decimals(threshold) + "</p>\n<nav><a href=\"#match\">" +
      std::to_string(matches_.size()) + " known</a><a href=\"#unknown\">" + std::to_string(unknown_.size()) +
      " unknown</a><a href=\"#none\">" + std::to_string(without_face_.size()) + " without a face</a></nav>\n";
  const auto grid = [&](const char* id, const char* title, const std::vector<Entry>& entries) {
    page += std::string("<h2 id=\"") + id + "\">" + title + "</h2>\n<div class=\"grid\">\n";
    for (const Entry& entry : entries)
      page += "<figure><a href=\"" + entry.picture + "\"><img loading=\"lazy\" src=\"" + entry.picture +
              "\" alt=\"" + html_text(entry.title) + "\"></a><figcaption>" + html_text(entry.title) +
              "<small>" + html_text(entry.detail) + "</small></figcaption></figure>\n";
    page += "</div>\n";
  };
  grid("match", "Known", matches_);
  grid("unknown", "Unknown", unknown_);
  page += "<h2 id=\"none\">Without a face</h2>\n<ul>\n";
  for (const std::string& file : without_face_) page += "<li>" + html_text(file) + "</li>\n";
  page += "</ul>\n</html>\n";
  write_file(directory_ / "index.html", std::as_bytes(std::span(page)));
}

}  // namespace adaface::cli
