// RFC 4180, with the names' bytes as they are.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "src/error.hpp"
#include "src/gallery/database.h"
#include "src/gallery/exchange_rows.h"
#include "src/gallery/exchange_text.h"
#include "src/io/hex.h"

namespace adaface::gallery {
namespace {

enum Column {
  identity,
  file,
  hash,
  bytes,
  modified_ns,
  rules,
  score,
  x1,
  y1,
  x2,
  y2,
  norm,
  model,
  architecture,
  e0
};

constexpr const char* kNames[e0] = {"identity", "file",  "hash",  "bytes",       "modified_ns",
                                    "rules",    "score", "x1",    "y1",          "x2",
                                    "y2",       "norm",  "model", "architecture"};

std::string name_of(std::size_t column) {
  return column < e0 ? kNames[column] : std::string("e").append(std::to_string(column - e0));
}

std::size_t column_count(bool with_embedding) {
  return e0 + (with_embedding ? std::size_t{kEmbeddingSize} : 0);
}

std::string header_line(std::size_t columns) {
  std::string line;
  for (std::size_t i = 0; i < columns; ++i) line += name_of(i) + (i + 1 < columns ? ',' : '\n');
  return line;
}

void append_text(std::string& line, std::string_view text) {
  if (text.find_first_of("\",\r\n") == std::string_view::npos) {
    line += text;
    return;
  }
  line += '"';
  for (const char c : text) line.append(c == '"' ? 2 : 1, c);
  line += '"';
}

class CsvWriter final : public RowWriter {
 public:
  CsvWriter(const std::filesystem::path& path, bool with_embedding)
      : output_(path), with_embedding_(with_embedding) {
    output_.append(header_line(column_count(with_embedding)));
  }

  void write(const ExchangeRow& row) override {
    line_.clear();
    append_text(line_, row.identity);
    append_text(line_ += ',', row.file);
    io::append_hex(line_ += ',', std::as_bytes(std::span(row.hash)));
    append_number(line_ += ',', row.bytes);
    append_number(line_ += ',', row.modified_ns);
    append_text(line_ += ',', row.rules);
    const FaceRecord& face = row.face;
    for (const float value :
         {face.score, face.box.x1, face.box.y1, face.box.x2, face.box.y2, face.embedding.norm})
      append_number(line_ += ',', value);
    append_text(line_ += ',', row.model.weights_sha256);
    append_text(line_ += ',', row.model.architecture);
    if (with_embedding_)
      for (const float value : face.embedding.unit) append_number(line_ += ',', value);
    output_.append(line_ += '\n');
  }

  void commit() override { output_.commit(); }

 private:
  TextOutput output_;
  bool with_embedding_;
  std::string line_;
};

class CsvReader final : public RowReader {
 public:
  CsvReader(const std::filesystem::path& path, bool with_embedding)
      : input_(path), columns_(column_count(with_embedding)), fields_(column_count(true)) {
    read_header();
  }

  bool next(ExchangeRow& row) override {
    if (!read_record()) return false;
    if (count_ != columns_)
      fail("has " + std::to_string(count_) + " fields, expected " + std::to_string(columns_));
    row.identity = fields_[identity];
    row.file = fields_[file];
    read_hash(row.hash);
    if (!read_number(fields_[bytes], row.bytes)) wrong(bytes, "a whole number of at least 0");
    if (!read_number(fields_[modified_ns], row.modified_ns)) wrong(modified_ns, "a whole number of 64 bits");
    row.rules = fields_[rules];
    FaceRecord& face = row.face;
    face.score = real(score);
    face.box = {real(x1), real(y1), real(x2), real(y2)};
    face.embedding.norm = real(norm);
    row.model = {fields_[model], fields_[architecture]};
    for (std::size_t i = e0; i < columns_; ++i) face.embedding.unit[i - e0] = real(i);
    return true;
  }

  std::string where() const override { return place(input_.label(), line_); }

 private:
  void read_header() {
    bool other = true;
    try {
      other = !read_record() || fields_[0] != kNames[0];
    } catch (const Error& error) {
      // Of a file of some other kind, whatever is wrong with its first line says nothing.
      if (error.code() != ErrorCode::corrupt || (count_ > 0 && fields_[0] == kNames[0])) throw;
    }
    if (other)
      throw Error(ErrorCode::corrupt,
                  input_.label() +
                      ": is no export of a gallery: expected an .npy file, a JSON object, or the "
                      "columns identity,file,hash,... as the first line");
    for (std::size_t i = 0; i < std::min(count_, columns_); ++i)
      if (fields_[i] != name_of(i))
        fail("column " + std::to_string(i + 1) + ": found " + excerpt(fields_[i]) + ", expected " +
             name_of(i));
    if (count_ == e0 && columns_ > e0)
      fail("has no embeddings: expected the columns e0 to e511, or the .npy file that this one belongs to");
    if (count_ != columns_)
      fail("has " + std::to_string(count_) + " columns, expected " + std::to_string(columns_));
  }

  // False at the end. Sets fields_[0..count_).
  bool read_record() {
    line_ = input_.line();
    count_ = 0;
    if (input_.peek() == TextInput::kEnd) return false;
    for (int last = ','; last == ',';) {
      if (count_ == fields_.size())
        fail("has more than " + std::to_string(count_) + " fields, expected " + std::to_string(columns_));
      fields_[count_].clear();
      last = input_.peek() == '"' ? read_quoted(fields_[count_]) : read_plain(fields_[count_]);
      ++count_;
    }
    return true;
  }

  // Both return what ends the field, ',' or '\n'.
  int read_plain(std::string& field) {
    for (;;) {
      const int byte = input_.get();
      if (byte == ',' || byte == '\n') return byte;
      if (byte == '\r') return end_of_line();
      if (byte == '"')
        fail("field " + std::to_string(count_ + 1) + " has a quote inside, expected one around it all");
      add(field, byte);
    }
  }

  int read_quoted(std::string& field) {
    input_.get();
    for (;;) {
      const int byte = input_.get();
      if (byte != '"') {
        add(field, byte);
      } else if (input_.peek() == '"') {
        field += static_cast<char>(input_.get());
      } else {
        break;
      }
    }
    const int byte = input_.get();
    if (byte == '\r') return end_of_line();
    if (byte == TextInput::kEnd) cut_short();
    if (byte != ',' && byte != '\n')
      fail("field " + std::to_string(count_ + 1) + " goes on after its closing quote");
    return byte;
  }

  int end_of_line() {
    const int byte = input_.get();
    if (byte == TextInput::kEnd) cut_short();
    if (byte != '\n') fail("field " + std::to_string(count_ + 1) + " has a bare carriage return");
    return byte;
  }

  void add(std::string& field, int byte) {
    if (byte == TextInput::kEnd) cut_short();
    if (field.size() == kMaxTextBytes)
      fail("field " + std::to_string(count_ + 1) + " is longer than " + std::to_string(kMaxTextBytes) +
           " bytes");
    field += static_cast<char>(byte);
  }

  // Also at the end of a last line that has all its fields: a number that is cut short is another number.
  [[noreturn]] void cut_short() const { fail("ends in the middle of the line: expected a line end"); }

  void read_hash(ContentHash& value) {
    const std::optional<std::string> read = from_hex(fields_[hash]);
    if (!read || read->size() != value.size()) wrong(hash, "32 hexadecimal digits");
    std::memcpy(value.data(), read->data(), value.size());
  }

  float real(std::size_t column) const {
    float value = 0;
    if (!read_number(fields_[column], value) || !std::isfinite(value)) wrong(column, "a finite number");
    return value;
  }

  [[noreturn]] void wrong(std::size_t column, const char* expected) const {
    fail(name_of(column) + " is " + excerpt(fields_[column]) + ", expected " + expected);
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::corrupt, where() + ": " + what);
  }

  TextInput input_;
  std::size_t columns_;
  std::vector<std::string> fields_;
  std::size_t count_ = 0;
  std::uint64_t line_ = 1;  // where the last record begins
};

}  // namespace

std::unique_ptr<RowWriter> write_csv(const std::filesystem::path& path, bool with_embedding) {
  return std::make_unique<CsvWriter>(path, with_embedding);
}

std::unique_ptr<RowReader> read_csv(const std::filesystem::path& path, bool with_embedding) {
  return std::make_unique<CsvReader>(path, with_embedding);
}

}  // namespace adaface::gallery
