// Writes one JSON object a line.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "src/gallery/exchange_rows.h"
#include "src/gallery/exchange_text.h"
#include "src/io/hex.h"

namespace adaface::gallery {
namespace {

bool is_utf8(std::string text) {
  // Control bytes are valid, but not printable.
  std::replace_if(
      text.begin(), text.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7F; }, '?');
  return io::printable(text) == text;
}

void append_key(std::string& line, const char* name, const char* suffix = "") {
  line += line.empty() ? '{' : ',';
  line.append(1, '"').append(name).append(suffix).append("\":");
}

void append_text(std::string& line, const char* name, const std::string& text) {
  if (!is_utf8(text)) {
    append_key(line, name, kHexSuffix);
    io::append_hex(line += '"', std::as_bytes(std::span(text)));
    line += '"';
    return;
  }
  append_key(line, name);
  line += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      line.append(1, '\\').append(1, c);
    } else if (c >= 0 && c < 0x20) {
      io::append_hex(line += "\\u00", std::as_bytes(std::span(&c, 1)));
    } else {
      line += c;
    }
  }
  line += '"';
}

void append_float(std::string& line, float value) {
  // Without a fraction it would be an integer, which has no negative zero.
  if (value == 0 && std::signbit(value))
    line += "-0.0";
  else
    append_number(line, value);
}

class JsonlWriter final : public RowWriter {
 public:
  explicit JsonlWriter(const std::filesystem::path& path) : output_(path) {}

  void write(const ExchangeRow& row) override {
    const FaceRecord& face = row.face;
    line_.clear();
    append_text(line_, "identity", row.identity);
    append_text(line_, "file", row.file);
    append_key(line_, "hash");
    io::append_hex(line_ += '"', std::as_bytes(std::span(row.hash)));
    append_key(line_ += '"', "bytes");
    append_number(line_, row.bytes);
    append_key(line_, "modified_ns");
    append_number(line_, row.modified_ns);
    append_text(line_, "rules", row.rules);
    append_key(line_, "score");
    append_float(line_, face.score);
    append_key(line_, "box");
    append_array(std::array{face.box.x1, face.box.y1, face.box.x2, face.box.y2});
    append_key(line_, "norm");
    append_float(line_, face.embedding.norm);
    append_text(line_, "model", row.model.weights_sha256);
    append_text(line_, "architecture", row.model.architecture);
    append_key(line_, "embedding");
    append_array(face.embedding.unit);
    output_.append(line_ += "}\n");
  }

  void commit() override { output_.commit(); }

 private:
  void append_array(std::span<const float> values) {
    line_ += '[';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) line_ += ',';
      append_float(line_, values[i]);
    }
    line_ += ']';
  }

  TextOutput output_;
  std::string line_;
};

}  // namespace

std::unique_ptr<RowWriter> write_jsonl(const std::filesystem::path& path) {
  return std::make_unique<JsonlWriter>(path);
}

}  // namespace adaface::gallery
