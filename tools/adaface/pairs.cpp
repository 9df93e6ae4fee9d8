#include "tools/adaface/pairs.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "src/adaface.hpp"

namespace adaface::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFolds = 10;
constexpr std::size_t kMaxSets = 1000;  // each is a pass over all pairs

std::string read_text(const fs::path& path) {
  constexpr std::uintmax_t kMaxBytes = 64u << 20;
  const std::string name = printable(path);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status))
    throw Error(ErrorCode::not_found, name + ": no such file, expected a list of pairs");
  if (fs::is_directory(status))
    throw Error(ErrorCode::io, name + ": is a directory, expected a list of pairs");
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 1 << 16> piece;
  while (file.good()) {
    file.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kMaxBytes)
      throw Error(ErrorCode::limit, name + ": more than 64 MiB, expected a list of pairs");
  }
  if (!file.eof()) throw Error(ErrorCode::io, name + ": cannot be read");
  return text;
}

std::optional<std::size_t> number(std::string_view text) {
  constexpr std::size_t kGreatest = 10'000'000;
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > kGreatest) return std::nullopt;
  return value;
}

class Reader {
 public:
  Reader(const fs::path& list, const fs::path& images)
      : name_(printable(list)), images_(images), text_(read_text(list)) {}

  PairList read() {
    std::vector<std::string> fields;
    if (!next(fields)) throw Error(ErrorCode::corrupt, name_ + ": is empty, expected a list of pairs");
    const bool numbers =
        fields.size() <= 2 && std::all_of(fields.begin(), fields.end(),
                                          [](const std::string& field) { return number(field).has_value(); });
    numbers ? read_lfw(fields) : read_plain(fields);
    return std::move(result_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorCode::corrupt, name_ + ", line " + std::to_string(line_) + ": " + what);
  }

  // The fields of the next line that counts; false at the end.
  bool next(std::vector<std::string>& fields);
  std::vector<std::string> split(std::string_view line) const;

  void read_lfw(const std::vector<std::string>& header);
  void read_plain(std::vector<std::string>& fields);
  void deal();

  std::size_t lfw_photograph(const std::string& person, const std::string& index);
  std::size_t photograph(const fs::path& path);

  std::string name_;
  fs::path images_;
  std::string text_;
  std::size_t at_ = 0, line_ = 0;
  PairList result_;
  std::unordered_map<std::string, std::size_t> known_;
};

bool Reader::next(std::vector<std::string>& fields) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  while (at_ < text_.size()) {
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    std::string_view line(text_.data() + at_, end - at_);
    at_ = end + 1;
    ++line_;
    if (line_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t'))
      line.remove_suffix(1);
    if (line.find('\0') != std::string_view::npos) fail("holds a NUL byte, expected text");
    const std::size_t first = line.find_first_not_of(" \t");
    if (first == std::string_view::npos || line[first] == '#') continue;
    fields = split(line);
    return true;
  }
  return false;
}

// At tabs where there are any, else at blanks, where quotes hold names together.
std::vector<std::string> Reader::split(std::string_view line) const {
  std::vector<std::string> fields;
  if (line.find('\t') != std::string_view::npos) {
    for (std::size_t at = 0; at <= line.size();) {
      const std::size_t end = std::min(line.find('\t', at), line.size());
      fields.emplace_back(line.substr(at, end - at));
      if (fields.back().empty()) fail("two tabs without a name between them");
      at = end + 1;
    }
    return fields;
  }
  for (std::size_t at = line.find_first_not_of(' '); at < line.size(); at = line.find_first_not_of(' ', at)) {
    std::string field;
    if (line[at] != '"') {
      const std::size_t end = std::min(line.find(' ', at), line.size());
      field = line.substr(at, end - at);
      at = end;
    } else {
      for (++at; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] == '\\' && at + 1 < line.size() && (line[at + 1] == '"' || line[at + 1] == '\\')) ++at;
        field += line[at];
      }
      if (at == line.size()) fail("a name without its closing quote");
      if (++at < line.size() && line[at] != ' ') fail("text follows a closing quote, expected a blank");
      if (field.empty()) fail("an empty name");
    }
    fields.push_back(std::move(field));
  }
  return fields;
}

std::size_t Reader::photograph(const fs::path& path) {
  const fs::path whole = (images_ / path).lexically_normal();
  const auto [found, added] = known_.emplace(whole.native(), result_.photographs.size());
  if (added) result_.photographs.push_back(whole);
  return found->second;
}

std::size_t Reader::lfw_photograph(const std::string& person, const std::string& index) {
  const std::optional<std::size_t> value = number(index);
  if (!value || *value == 0) fail("\"" + printable(index) + "\" is not the number of a photograph, from 1");
  std::string digits = std::to_string(*value);
  digits.insert(0, digits.size() < 4 ? 4 - digits.size() : 0, '0');
  const fs::path stem = fs::path(person) / (person + "_" + digits);
  for (const char* extension : {".jpg", ".jpeg", ".png", ".bmp"}) {
    std::error_code ignored;
    if (fs::exists(images_ / (stem.native() + extension), ignored))
      return photograph(stem.native() + extension);
  }
  return photograph(stem.native() + ".jpg");
}

void Reader::read_lfw(const std::vector<std::string>& header) {
  const std::size_t sets = header.size() == 2 ? *number(header[0]) : 1;
  const std::size_t each = *number(header.back());
  if (sets == 0 || each == 0) fail("a header of 0, expected the number of pairs");
  if (sets > kMaxSets)
    fail(std::to_string(sets) + " sets of pairs, expected at most " + std::to_string(kMaxSets));
  std::vector<std::string> fields;
  std::size_t same = 0, different = 0;  // of the current set
  for (std::size_t set = 0; next(fields);) {
    if (set == sets)
      fail("more pairs than the header says: " + std::to_string(sets) + " x " + std::to_string(each) +
           " of each kind");
    if (fields.size() != 3 && fields.size() != 4)
      fail(std::to_string(fields.size()) + " fields, expected \"name i j\" or \"name i name j\"");
    const bool one_person = fields.size() == 3;
    std::size_t& count = one_person ? same : different;
    if (count == each)
      fail("more than " + std::to_string(each) + " pairs of " +
           (one_person ? "the same person" : "different people") + " in set " + std::to_string(set + 1));
    ++count;
    const std::size_t a = lfw_photograph(fields[0], fields[1]);
    const std::size_t b =
        one_person ? lfw_photograph(fields[0], fields[2]) : lfw_photograph(fields[2], fields[3]);
    result_.pairs.push_back({a, b, one_person, set});
    if (same == each && different == each) {
      same = different = 0;
      ++set;
    }
  }
  if (result_.pairs.size() / 2 != sets * each || same + different != 0)
    throw Error(ErrorCode::corrupt, name_ + ": ends after " + std::to_string(result_.pairs.size()) +
                                        " pairs, expected " + std::to_string(sets) + " x " +
                                        std::to_string(each) + " of each kind");
  result_.folds = sets;
  result_.own_folds = sets > 1;
  if (sets == 1) deal();
}

void Reader::read_plain(std::vector<std::string>& fields) {
  do {
    if (fields.size() != 3 || (fields[2] != "0" && fields[2] != "1"))
      fail(
          (fields.size() != 3 ? std::to_string(fields.size()) + " fields"
                              : "ends in \"" + printable(fields[2]) + "\"") +
          ", expected two photographs, then 1 for the same person or 0; or, on the first line, LFW's header");
    const std::size_t a = photograph(fields[0]);
    const std::size_t b = photograph(fields[1]);
    result_.pairs.push_back({a, b, fields[2] == "1", 0});
  } while (next(fields));
  deal();
}

void Reader::deal() {
  const auto same = static_cast<std::size_t>(std::count_if(
      result_.pairs.begin(), result_.pairs.end(), [](const PhotographPair& pair) { return pair.same; }));
  const std::size_t different = result_.pairs.size() - same;
  result_.folds = std::min({kFolds, same, different});
  if (result_.folds < 2)
    throw Error(ErrorCode::corrupt, name_ + ": " + std::to_string(same) + " pairs of the same person and " +
                                        std::to_string(different) +
                                        " of different people, expected at least 2 of each");
  std::size_t dealt[2] = {0, 0};
  for (PhotographPair& pair : result_.pairs) pair.fold = dealt[pair.same]++ % result_.folds;
}

}  // namespace

PairList read_pairs(const fs::path& list, const fs::path& images) {
  return Reader(list, images).read();
}

}  // namespace adaface::cli
