// NumPy's format, version 1.0 (NEP 1): one array of float32 {faces, 512}; the other columns are CSV beside
// it.
#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

#include "src/error.hpp"
#include "src/gallery/exchange_rows.h"
#include "src/gallery/exchange_text.h"

namespace adaface::gallery {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are read and written as they lie in memory");

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::size_t kPreambleBytes = 10;        // magic, version, size of what follows
constexpr std::size_t kWrittenHeaderBytes = 128;  // with the preamble; a multiple of 64, enough for any count
constexpr std::uint64_t kRowBytes = sizeof(float) * kEmbeddingSize;

std::string header(std::uint64_t rows) {
  constexpr std::size_t kDictionaryBytes = kWrittenHeaderBytes - kPreambleBytes;
  std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) +
                           ", " + std::to_string(kEmbeddingSize) + "), }";
  dictionary.resize(kDictionaryBytes - 1, ' ');
  std::string text(kMagic);
  for (const std::size_t byte :
       {std::size_t{1}, std::size_t{0}, kDictionaryBytes & 255, kDictionaryBytes >> 8})
    text += static_cast<char>(byte);
  return text + dictionary + '\n';
}

class NpyWriter final : public RowWriter {
 public:
  explicit NpyWriter(const std::filesystem::path& path)
      : path_(path), columns_(write_csv(columns_of_npy(path), false)), output_(path) {
    output_.append(header(0));
  }

  void write(const ExchangeRow& row) override {
    columns_->write(row);
    const std::span<const std::byte> values = std::as_bytes(std::span(row.face.embedding.unit));
    output_.append({reinterpret_cast<const char*>(values.data()), values.size()});
    ++rows_;
  }

  // At no moment do embeddings stand beside the columns of another export. An import begins with the .npy:
  // an earlier one goes first and the new one comes last, and columns alone are nothing that is imported.
  void commit() override {
    output_.overwrite_start(header(rows_));
    std::error_code error;
    const std::filesystem::path earlier = std::filesystem::canonical(path_, error);
    if (!error) std::filesystem::remove(earlier, error);
    if (error && error != std::errc::no_such_file_or_directory)
      throw Error(ErrorCode::io, io::printable(path_) + ": cannot replace: " + error.message());
    columns_->commit();
    output_.commit();
  }

 private:
  std::filesystem::path path_;
  std::unique_ptr<RowWriter> columns_;
  TextOutput output_;
  std::uint64_t rows_ = 0;
};

// A reader of the dictionary in the header: a Python literal of which only three keys are known.
class Dictionary {
 public:
  explicit Dictionary(std::string_view text) : rest_(text) {}

  std::string_view descr, fortran_order, shape;  // as they are written

  // False when it is anything else.
  bool read() {
    if (!take('{')) return false;
    while (!take('}')) {
      std::string_view name, value;
      if (!take_quoted(name) || !take(':') || !take_value(value)) return false;
      std::string_view* const member = name == "descr"           ? &descr
                                       : name == "fortran_order" ? &fortran_order
                                       : name == "shape"         ? &shape
                                                                 : nullptr;
      if (!member || !member->empty()) return false;
      *member = value;
      if (!take(',') && !starts_with('}')) return false;
    }
    skip_spaces();
    return rest_.empty() && !descr.empty() && !fortran_order.empty() && !shape.empty();
  }

 private:
  void skip_spaces() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \n"), rest_.size())); }

  bool starts_with(char c) {
    skip_spaces();
    return rest_.starts_with(c);
  }

  bool take(char c) {
    if (!starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool take_quoted(std::string_view& text) {
    if (!starts_with('\'') && !starts_with('"')) return false;
    const std::size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) return false;
    text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return true;
  }

  // A string without its quotes, a tuple or list with its brackets, else what is before the next ',' or '}'.
  bool take_value(std::string_view& text) {
    if (starts_with('\'') || starts_with('"')) return take_quoted(text);
    std::size_t end = rest_.find_first_of(",}");
    if (starts_with('(') || starts_with('[')) end = std::min(rest_.find_first_of(")]"), rest_.size() - 1) + 1;
    text = rest_.substr(0, end);
    rest_.remove_prefix(text.size());
    return true;
  }

  std::string_view rest_;
};

// The n of "(n, 512)".
std::optional<std::uint64_t> rows_of(std::string_view shape) {
  std::string text;
  for (const char c : shape)
    if (c != ' ') text += c;
  if (text.ends_with(",)")) text.erase(text.size() - 2, 1);
  constexpr std::string_view end = ",512)";
  static_assert(kEmbeddingSize == 512);
  std::uint64_t rows = 0;
  if (text.size() <= end.size() || text[0] != '(' || !text.ends_with(end)) return std::nullopt;
  if (!read_number(std::string_view(text).substr(1, text.size() - 1 - end.size()), rows)) return std::nullopt;
  return rows;
}

class NpyReader final : public RowReader {
 public:
  explicit NpyReader(const std::filesystem::path& path)
      : path_(path), label_(io::printable(path)), file_(path) {
    read_header();
    columns_ = read_csv(columns_of_npy(path), false);
  }

  bool next(ExchangeRow& row) override {
    if (!columns_->next(row)) {
      if (row_ < rows_)
        fail("has " + std::to_string(rows_) + " rows, but " + io::printable(columns_of_npy(path_)) + " has " +
             std::to_string(row_));
      return false;
    }
    if (row_ == rows_)
      throw Error(ErrorCode::corrupt, columns_->where() + ": there is no such row in " + label_ +
                                          ", which has " + std::to_string(rows_));
    file_.read_at(data_ + row_ * kRowBytes, std::as_writable_bytes(std::span(row.face.embedding.unit)));
    ++row_;
    return true;
  }

  std::string where() const override {
    return columns_->where() + " (row " + std::to_string(row_) + " of " + label_ + ")";
  }

 private:
  void read_header() {
    unsigned char preamble[kPreambleBytes];
    if (file_.size() < sizeof preamble) fail("ends in the middle of its header");
    file_.read_at(0, std::as_writable_bytes(std::span(preamble)));
    if (std::memcmp(preamble, kMagic.data(), kMagic.size()) != 0) fail("is no .npy file");
    if (preamble[6] != 1 || preamble[7] != 0)
      fail("is .npy version " + std::to_string(preamble[6]) + "." + std::to_string(preamble[7]) +
           ", expected 1.0");
    std::string text(preamble[8] + std::size_t{256} * preamble[9], '\0');
    data_ = kPreambleBytes + text.size();
    if (file_.size() < data_) fail("ends in the middle of its header");
    file_.read_at(kPreambleBytes, std::as_writable_bytes(std::span(text)));
    Dictionary dictionary(text);
    if (!dictionary.read())
      fail("has the header " + excerpt(text) + ", expected descr, fortran_order and shape");
    if (dictionary.descr != "<f4") fail("holds " + excerpt(dictionary.descr) + ", expected \"<f4\"");
    if (dictionary.fortran_order != "False") fail("is in Fortran order, expected rows one after the other");
    const std::optional<std::uint64_t> rows = rows_of(dictionary.shape);
    if (!rows) fail("is of shape " + excerpt(dictionary.shape) + ", expected (faces, 512)");
    const std::uint64_t payload = file_.size() - data_;
    if (payload % kRowBytes != 0 || payload / kRowBytes != *rows)
      fail("holds " + std::to_string(payload) + " bytes of embeddings, expected " + std::to_string(*rows) +
           " rows of " + std::to_string(kRowBytes));
    rows_ = *rows;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::corrupt, label_ + ": " + what);
  }

  std::filesystem::path path_;
  std::string label_;
  io::InputFile file_;
  std::unique_ptr<RowReader> columns_;
  std::uint64_t data_ = 0, rows_ = 0, row_ = 0;
};

}  // namespace

std::unique_ptr<RowWriter> write_npy(const std::filesystem::path& path) {
  return std::make_unique<NpyWriter>(path);
}

std::unique_ptr<RowReader> read_npy(const std::filesystem::path& path) {
  return std::make_unique<NpyReader>(path);
}

}  // namespace adaface::gallery
