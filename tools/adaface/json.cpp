#include "tools/adaface/json.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>

#include "src/io/hex.h"

namespace adaface::cli {
namespace {

// Its text; nothing where a string in it is not UTF-8.
std::optional<std::string> dumped(const Json& json) {
  try {
    return json.dump();
  } catch (const Json::type_error&) {
    return std::nullopt;
  }
}

// Null for what is UTF-8 or no text.
Json hexadecimal(const Json& text) {
  if (!text.is_string() || dumped(text)) return {};
  std::string digits;
  io::append_hex(digits, std::as_bytes(std::span(text.get_ref<const std::string&>())));
  return digits;
}

// With "_hex" beside what is not UTF-8.
Json with_bytes(const Json& json) {
  Json result = json.is_object() ? Json::object() : json.is_array() ? Json::array() : json;
  if (json.is_array())
    for (const Json& element : json) result.push_back(with_bytes(element));
  if (!json.is_object()) return result;
  for (const auto& [key, value] : json.items()) {
    result[key] = with_bytes(value);
    Json bytes = hexadecimal(value);
    bool any = !bytes.is_null();
    if (value.is_array()) {
      bytes = Json::array();
      for (const Json& element : value) {
        bytes.push_back(hexadecimal(element));
        any = any || !bytes.back().is_null();
      }
    }
    if (any) result[key + "_hex"] = std::move(bytes);
  }
  return result;
}

}  // namespace

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
  std::optional<std::string> text = dumped(json);
  if (!text) text = with_bytes(json).dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::string line = *text + "\n";
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
