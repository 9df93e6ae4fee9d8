// Reads one JSON object a line, by events, without a document in memory: keys that occur twice are seen, and
// numbers are read as float from their own text, not by way of double.
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "src/error.hpp"
#include "src/gallery/database.h"
#include "src/gallery/exchange_rows.h"
#include "src/gallery/exchange_text.h"

namespace adaface::gallery {
namespace {

using Json = nlohmann::json;

enum Key {
  identity,
  file,
  rules,
  model,
  architecture,
  hash,
  bytes,
  modified_ns,
  score,
  norm,
  box,
  embedding,
  kKeys
};
constexpr int kTexts = architecture + 1;

constexpr struct {
  const char* name;
  const char* expected;
} kKeyTable[kKeys] = {{"identity", "a string"},
                      {"file", "a string"},
                      {"rules", "a string"},
                      {"model", "a string"},
                      {"architecture", "a string"},
                      {"hash", "32 hexadecimal digits"},
                      {"bytes", "a whole number of at least 0"},
                      {"modified_ns", "a whole number of 64 bits"},
                      {"score", "a finite number"},
                      {"norm", "a finite number"},
                      {"box", "an array of 4 finite numbers"},
                      {"embedding", "an array of 512 finite numbers"}};

// The longest that is written: each byte of the texts as \u00xx, sixteen characters a number.
constexpr std::size_t kMaxLineBytes = kTexts * 6 * kMaxTextBytes + (1 << 16);
std::string& text_of(ExchangeRow& row, int key) {
  std::string* const texts[kTexts] = {&row.identity, &row.file, &row.rules, &row.model.weights_sha256,
                                      &row.model.architecture};
  return *texts[key];
}

std::span<float> numbers_of(ExchangeRow& row, int key) {
  FaceRecord& face = row.face;
  static_assert(sizeof(Box) == 4 * sizeof(float));
  switch (key) {
    case score: return {&face.score, 1};
    case norm: return {&face.embedding.norm, 1};
    case box: return {&face.box.x1, 4};
    case embedding: return face.embedding.unit;
    default: return {};
  }
}

// The events of one line. Each returns false once `fault` says what is wrong.
class RowEvents final : public nlohmann::json_sax<Json> {
 public:
  explicit RowEvents(ExchangeRow& row) : row_(row) {}

  std::string fault;

  bool start_object(std::size_t) override {
    if (key_ >= 0) return wrong("an object");
    return true;
  }

  bool key(string_t& name) override {
    for (key_ = 0; key_ < kKeys; ++key_) {
      const std::string_view known = kKeyTable[key_].name;
      as_hex_ = key_ < kTexts && name.size() > known.size() && name == std::string(known) + kHexSuffix;
      if (as_hex_ || name == known) break;
    }
    if (key_ == kKeys) return fail("has the key " + excerpt(name) + ", which no export has");
    if ((seen_ >> key_ & 1) != 0) return fail("has " + std::string(kKeyTable[key_].name) + " twice");
    seen_ |= 1u << key_;
    return true;
  }

  bool end_object() override {
    for (int i = 0; i < kKeys; ++i)
      if ((seen_ >> i & 1) == 0) return fail("has no " + std::string(kKeyTable[i].name));
    return true;
  }

  bool start_array(std::size_t) override {
    if (in_array_ || (key_ != box && key_ != embedding)) return wrong("an array");
    in_array_ = true;
    count_ = 0;
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    if (count_ != numbers_of(row_, key_).size()) return wrong(std::to_string(count_) + " numbers");
    return true;
  }

  bool string(string_t& value) override {
    if (key_ >= 0 && key_ < kTexts) {
      std::optional<std::string> text = as_hex_ ? from_hex(value) : std::move(value);
      if (!text)
        return fail(std::string(kKeyTable[key_].name) + kHexSuffix + ": expected hexadecimal digits");
      text_of(row_, key_) = std::move(*text);
      return true;
    }
    const std::optional<std::string> digits = key_ == hash ? from_hex(value) : std::nullopt;
    if (!digits || digits->size() != row_.hash.size()) return wrong(excerpt(value));
    std::memcpy(row_.hash.data(), digits->data(), row_.hash.size());
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (key_ == bytes)
      row_.bytes = value;
    else if (key_ == modified_ns && std::in_range<std::int64_t>(value))
      row_.modified_ns = static_cast<std::int64_t>(value);
    else
      return real(static_cast<float>(value));
    return true;
  }

  bool number_integer(number_integer_t value) override {
    if (key_ != modified_ns) return real(static_cast<float>(value));
    row_.modified_ns = value;
    return true;
  }

  bool number_float(number_float_t, const string_t& text) override {
    // The lexer puts the decimal point of the process's locale into its copy of the text.
    std::string number = text;
    for (char& c : number)
      if ((c < '0' || c > '9') && c != '-' && c != '+' && c != 'e' && c != 'E') c = '.';
    float value = 0;
    if (!read_number(number, value)) return wrong(excerpt(number));
    return real(value);
  }

  bool boolean(bool value) override { return wrong(value ? "true" : "false"); }
  bool null() override { return wrong("null"); }
  bool binary(binary_t&) override { return wrong("binary data"); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return fail("is no JSON: unexpected at byte " + std::to_string(position));
  }

 private:
  bool real(float value) {
    const std::span<float> numbers = numbers_of(row_, key_);
    if (numbers.empty() || in_array_ != (key_ == box || key_ == embedding)) return wrong("a number");
    const std::size_t i = in_array_ ? count_++ : 0;
    if (i == numbers.size()) return wrong("more than " + std::to_string(i) + " numbers");
    numbers[i] = value;
    return true;
  }

  bool wrong(const std::string& found) {
    if (key_ < 0) return fail("is " + found + ", expected an object");
    return fail(std::string(kKeyTable[key_].name) + " is " + found + ", expected " +
                kKeyTable[key_].expected);
  }

  bool fail(const std::string& what) {
    if (fault.empty()) fault = what;
    return false;
  }

  ExchangeRow& row_;
  int key_ = -1;  // none yet
  bool as_hex_ = false, in_array_ = false;
  std::size_t count_ = 0;
  unsigned seen_ = 0;
};

class JsonlReader final : public RowReader {
 public:
  explicit JsonlReader(const std::filesystem::path& path) : input_(path) {}

  bool next(ExchangeRow& row) override {
    line_ = input_.line();
    if (input_.peek() == TextInput::kEnd) return false;
    text_.clear();
    for (int byte; (byte = input_.get()) != '\n' && byte != TextInput::kEnd;) {
      if (text_.size() == kMaxLineBytes) fail("is longer than " + std::to_string(kMaxLineBytes) + " bytes");
      text_ += static_cast<char>(byte);
    }
    RowEvents events(row);
    if (!Json::sax_parse(text_.begin(), text_.end(), &events)) fail(events.fault);
    return true;
  }

  std::string where() const override { return place(input_.label(), line_); }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::corrupt, where() + ": " + what);
  }

  TextInput input_;
  std::uint64_t line_ = 1;
  std::string text_;
};

}  // namespace

std::unique_ptr<RowReader> read_jsonl(const std::filesystem::path& path) {
  return std::make_unique<JsonlReader>(path);
}

}  // namespace adaface::gallery
