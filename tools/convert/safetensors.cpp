// safetensors: u64 header length, a JSON header {"name": {"dtype", "shape", "data_offsets"}, ...}, the data.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "src/error.hpp"
#include "tools/convert/checkpoint.h"

namespace adaface::checkpoint {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr std::size_t kMaxTensors = 100'000;

ElementType element_type(const std::string& dtype) {
  constexpr std::pair<std::string_view, ElementType> kTypes[] = {
      {"F64", ElementType::f64},     {"F32", ElementType::f32}, {"F16", ElementType::f16},
      {"BF16", ElementType::bf16},   {"I64", ElementType::i64}, {"I32", ElementType::i32},
      {"I16", ElementType::i16},     {"I8", ElementType::i8},   {"U8", ElementType::u8},
      {"BOOL", ElementType::boolean}};
  for (const auto& [name, type] : kTypes)
    if (name == dtype) return type;
  return ElementType::other;
}

// Builds the header's two levels and nothing else: hostile JSON may nest or repeat keys.
class HeaderParser final : public nlohmann::json_sax<json> {
 public:
  struct Tensor {
    std::string name, dtype;
    std::vector<std::uint64_t> shape, offsets;
    bool has_dtype = false, has_shape = false, has_offsets = false;
  };

  explicit HeaderParser(std::string name) : name_(std::move(name)) {}
  std::vector<Tensor> take() { return std::move(tensors_); }

  bool start_object(std::size_t) override {
    if (++depth_ > 2 || in_array_) fail("nests deeper than one object a tensor");
    if (depth_ == 2 && !metadata_) tensors_.push_back({key_, {}, {}, {}});
    if (tensors_.size() > kMaxTensors) throw Error(ErrorCode::limit, name_ + ": more than 100000 tensors");
    return true;
  }
  bool end_object() override {
    if (depth_ == 2 && !metadata_) {
      const Tensor& tensor = tensors_.back();
      if (!tensor.has_dtype || !tensor.has_shape || !tensor.has_offsets)
        fail("tensor \"" + shown(tensor.name) + "\" lacks dtype, shape or data_offsets");
    }
    --depth_;
    return true;
  }
  bool key(string_t& key) override {
    if (depth_ == 1) {
      key_ = key;
      metadata_ = key == "__metadata__";
      if (!names_.insert(key).second) fail("tensor \"" + shown(key) + "\" appears twice");
    } else if (!metadata_) {
      field_ = key;
      Tensor& tensor = tensors_.back();
      bool* seen = key == "dtype"          ? &tensor.has_dtype
                   : key == "shape"        ? &tensor.has_shape
                   : key == "data_offsets" ? &tensor.has_offsets
                                           : nullptr;
      if (!seen) fail("tensor \"" + shown(tensor.name) + "\" has an unknown field \"" + shown(key) + "\"");
      if (*seen) fail("tensor \"" + shown(tensor.name) + "\" has " + key + " twice");
      *seen = true;
    }
    return true;
  }
  bool string(string_t& value) override {
    if (depth_ != 2) fail("holds a string where an object is expected");
    if (metadata_) return true;
    if (in_array_ || field_ != "dtype") fail("has a string in " + field_ + " of \"" + shown(key_) + "\"");
    tensors_.back().dtype = value;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || metadata_ || in_array_ || field_ == "dtype")
      fail("has an array where none is expected");
    in_array_ = true;
    return true;
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (!in_array_) fail("has a number where none is expected");
    std::vector<std::uint64_t>& numbers = field_ == "shape" ? tensors_.back().shape : tensors_.back().offsets;
    constexpr std::size_t kMaxRank = 8;
    if (numbers.size() >= kMaxRank) fail(field_ + " of \"" + shown(key_) + "\" has more than 8 numbers");
    numbers.push_back(value);
    return true;
  }
  bool null() override { return fail("has null"); }
  bool boolean(bool) override { return fail("has a boolean"); }
  bool number_integer(number_integer_t value) override {
    return fail("has " + std::to_string(value) + ", expected integers of at least 0");
  }
  bool number_float(number_float_t, const string_t& text) override {
    return fail("has " + shown(text) + ", expected integers of at least 0");
  }
  bool binary(binary_t&) override { return fail("has binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return fail("is not JSON at byte " + std::to_string(position));
  }

 private:
  [[noreturn]] bool fail(const std::string& what) const {
    throw Error(ErrorCode::corrupt, name_ + ": the safetensors header " + what);
  }

  std::string name_, key_, field_;
  std::vector<Tensor> tensors_;
  std::set<std::string> names_;
  int depth_ = 0;
  bool in_array_ = false;
  bool metadata_ = false;
};

class Safetensors final : public Checkpoint {
 public:
  explicit Safetensors(const ByteSource& source) : Checkpoint(source.name(), "safetensors"), source_(source) {
    std::uint64_t header = 0;
    source_.read_at(0, std::as_writable_bytes(std::span(&header, 1)));
    if (header > source_.size() - sizeof header)
      throw Error(ErrorCode::corrupt, name() + ": a header of " + std::to_string(header) +
                                          " bytes in a file of " + std::to_string(source_.size()));
    if (header > kMaxHeader)
      throw Error(ErrorCode::limit, name() + ": a header of " + std::to_string(header) +
                                        " bytes, expected at most " + std::to_string(kMaxHeader));
    data_ = sizeof header + header;
    std::string text(static_cast<std::size_t>(header), '\0');
    source_.read_at(sizeof header, std::as_writable_bytes(std::span(text)));
    HeaderParser parser(name());
    json::sax_parse(text, &parser);
    add_tensors(parser.take());
  }

 private:
  void add_tensors(std::vector<HeaderParser::Tensor> described) {
    const std::uint64_t available = source_.size() - data_;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    for (HeaderParser::Tensor& from : described) {
      const std::string where = name() + ": tensor \"" + shown(from.name) + "\"";
      const std::uint64_t count = element_count(from.shape, where);
      const ElementType type = element_type(from.dtype);
      if (from.offsets.size() != 2 || from.offsets[0] > from.offsets[1] || from.offsets[1] > available)
        throw Error(ErrorCode::corrupt, where + ": its data_offsets do not lie inside the file's " +
                                            std::to_string(available) + " data bytes");
      const std::uint64_t bytes = from.offsets[1] - from.offsets[0];
      if (type == ElementType::other) {
        others_.push_back({from.name, "of type " + shown(from.dtype)});
        ranges.emplace_back(from.offsets[0], from.offsets[1]);
        continue;
      }
      if (bytes % size_of(type) != 0 || bytes / size_of(type) != count)
        throw Error(ErrorCode::corrupt, where + " of " + shape_text(from.shape) + " " + from.dtype + " has " +
                                            std::to_string(bytes) + " bytes");
      ranges.emplace_back(from.offsets[0], from.offsets[1]);
      starts_.push_back(data_ + from.offsets[0]);
      storages_.push_back({from.name, bytes, true});
      TensorEntry tensor;
      tensor.name = std::move(from.name);
      tensor.type = type;
      tensor.strides.resize(from.shape.size());
      std::uint64_t step = 1;
      for (std::size_t axis = from.shape.size(); axis-- > 0;) {
        tensor.strides[axis] = step;
        step *= std::max<std::uint64_t>(from.shape[axis], 1);
      }
      tensor.shape = std::move(from.shape);
      tensor.storage = storages_.size() - 1;
      add(std::move(tensor));
    }
    std::sort(ranges.begin(), ranges.end());
    std::uint64_t end = 0;
    for (const auto& [first, last] : ranges) {
      if (first != end)
        throw Error(ErrorCode::corrupt, name() + ": the data_offsets " +
                                            (first < end ? "overlap at " : "leave a hole before ") +
                                            std::to_string(first));
      end = last;
    }
    if (end != available)
      throw Error(ErrorCode::corrupt, name() + ": the tensors end at data byte " + std::to_string(end) +
                                          ", the file at " + std::to_string(available));
  }

  void read_storage(std::size_t storage, std::uint64_t offset, std::span<std::byte> dst) override {
    source_.read_at(starts_.at(storage) + offset, dst);
  }

  const ByteSource& source_;
  std::uint64_t data_ = 0;
  std::vector<std::uint64_t> starts_;  // by storage
};

}  // namespace

std::unique_ptr<Checkpoint> open_safetensors(const ByteSource& source) {
  return std::make_unique<Safetensors>(source);
}

}  // namespace adaface::checkpoint
