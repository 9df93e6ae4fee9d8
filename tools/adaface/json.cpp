#include "tools/adaface/json.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace adaface::cli {

double decimal(float value) {
  char text[32];
  *std::to_chars(text, text + sizeof text - 1, value).ptr = 0;
  return std::strtod(text, nullptr);
}

Json to_json(const Box& box) {
  return Json::array({decimal(box.x1), decimal(box.y1), decimal(box.x2), decimal(box.y2)});
}

Json to_json(const Face& face) {
  Json landmarks = Json::array();
  for (const Point& point : face.landmarks) landmarks.push_back({decimal(point.x), decimal(point.y)});
  return {{"box", to_json(face.box)}, {"score", decimal(face.score)}, {"landmarks", landmarks}};
}

void add_embedding(Json& face, const Embedding& embedding) {
  Json values = Json::array();
  for (float value : embedding.unit) values.push_back(decimal(value));
  face["embedding"] = std::move(values);
  face["norm"] = decimal(embedding.norm);
}

Json to_json(const Input& input, const Failure& failure) {
  return {{"file", input.path.native()},
          {"error", {{"code", to_string(failure.code)}, {"message", failure.message}}}};
}

void print_line(const Json& json) {
  const std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0)
    throw Error(ErrorCode::io, std::string("standard output: cannot write: ") + std::strerror(errno));
}

void report(const Input& input, const Failure& failure, bool json) {
  if (json)
    print_line(to_json(input, failure));
  else
    std::fprintf(stderr, "error: %s\n", failure.message.c_str());
}

}  // namespace adaface::cli
