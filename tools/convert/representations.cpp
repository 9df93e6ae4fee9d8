#include "tools/convert/representations.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "src/error.hpp"
#include "tools/convert/checkpoint.h"
#include "tools/convert/state_dict.h"

namespace adaface::checkpoint {
namespace {

constexpr std::uint64_t kValues = std::tuple_size_v<decltype(Representation::values)>;
constexpr std::uint64_t kMaxFile = std::uint64_t{256} << 20;
// An entry of torch takes 2.3 KB of file, is read twice, and makes 20 values.
constexpr PickleLimits kLimits{.max_bytes = 3 * kMaxFile, .max_values = 3'000'000, .storages_in_bytes = true};

// Python keeps the bytes of a file name that are not UTF-8 as U+DC80 to U+DCFF: ED B2 80 to ED B3 BF.
std::string file_name_bytes(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = [&](std::size_t at) { return static_cast<std::uint8_t>(text[at]); };
    if (byte(i) == 0xED && i + 2 < text.size() && (byte(i + 1) == 0xB2 || byte(i + 1) == 0xB3) &&
        (byte(i + 2) & 0xC0) == 0x80) {
      out += static_cast<char>((byte(i + 1) & 3) << 6 | (byte(i + 2) & 0x3F));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// The entries' tensors as those of a checkpoint: bounds, strides and element types are its business.
class Entries final : public Checkpoint {
 public:
  explicit Entries(const ByteSource& source) : Checkpoint(source.name(), "representations") {
    if (source.size() > kMaxFile)
      throw Error(ErrorCode::limit, name() + ": " + std::to_string(source.size()) +
                                        " bytes, expected at most " + std::to_string(kMaxFile));
    refuse_archive(source);
    pickle_ = read_pickle(source, 0, kLimits);
    if (pickle_.end() != source.size())
      throw Error(ErrorCode::corrupt, name() + ": " + std::to_string(source.size() - pickle_.end()) +
                                          " bytes follow the pickle, expected the end of the file");
    const Value& root = pickle_.root();
    if (root.kind != Kind::list)
      throw Error(ErrorCode::unsupported,
                  name() + ": is " + describe(root) + ", expected a list of [path, tensor]");
    for (const Value* entry : root.items) add_entry(*entry);
  }

  std::vector<Representation> read_all() {
    std::vector<Representation> out(paths_.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i].path = std::move(paths_[i]);
      read(tensors_[i], [&](std::span<const float> values) {
        for (std::size_t k = 0; k < kValues; ++k) {
          if (!std::isfinite(values[k]))
            throw Error(ErrorCode::corrupt, where(i) + ": value " + std::to_string(k) +
                                                " of its tensor is not finite, expected finite numbers");
          out[i].values[k] = values[k];
        }
      });
    }
    return out;
  }

 private:
  std::string where(std::size_t index) const { return name() + ": entry " + std::to_string(index + 1); }

  void refuse_archive(const ByteSource& source) const {
    char start[4] = {};
    if (source.size() < sizeof start) return;
    source.read_at(0, std::as_writable_bytes(std::span(start)));
    if (std::memcmp(start, "PK\x03\x04", sizeof start) == 0)
      throw Error(ErrorCode::unsupported,
                  name() + ": is a ZIP archive, as torch.save writes; expected what pickle.dump writes");
  }

  void add_entry(const Value& entry) {
    const std::size_t index = paths_.size();
    const bool sequence = entry.kind == Kind::list || entry.kind == Kind::tuple;
    if (!sequence || entry.items.size() != 2)
      throw Error(ErrorCode::corrupt,
                  where(index) + " is " + describe(entry) +
                      (sequence ? " of " + std::to_string(entry.items.size()) + " values" : "") +
                      ", expected [path, tensor]");
    const Value& path = *entry.items[0];
    if (path.kind != Kind::string)
      throw Error(ErrorCode::corrupt,
                  where(index) + ": its path is " + describe(path) + ", expected a string");
    paths_.push_back(file_name_bytes(path.text));
    if (paths_.back().empty() || paths_.back().find('\0') != std::string::npos)
      throw Error(ErrorCode::corrupt, where(index) + ": its path " +
                                          (path.text.empty() ? "is empty" : "has a NUL byte") +
                                          ", expected the name of a photograph");
    add_tensor(*entry.items[1], index);
  }

  void add_tensor(const Value& value, std::size_t index) {
    constexpr const char* kExpected = ", expected a tensor of 1x512 or 512 floating numbers";
    if ((value.kind != Kind::tensor && value.kind != Kind::array) || !value.tensor || !value.tensor->storage)
      throw Error(ErrorCode::corrupt, where(index) + ": its embedding is " + describe(value) + kExpected);
    const TensorFields& fields = *value.tensor;
    const std::vector<std::uint64_t>& shape = fields.shape;
    const bool row = shape.size() == 1 || (shape.size() == 2 && shape[0] == 1);
    if (!row || shape.back() != kValues || !is_floating(fields.type))
      throw Error(ErrorCode::corrupt, where(index) + ": its embedding is " + shape_text(shape) + " " +
                                          std::string(to_string(fields.type)) + kExpected);
    std::string_view data;
    const Value& storage = *fields.storage;
    if (storage.kind != Kind::storage) {
      data = storage.text;
    } else if (storage.items.empty()) {
      throw Error(ErrorCode::corrupt, where(index) + ": the numbers of its tensor are not in the file" +
                                          " (storage " + shown(storage.text) + ")");
    } else {
      const std::string& file = storage.items[0]->text;
      data = std::string_view(file).substr(file.size() -
                                           static_cast<std::size_t>(storage.integer) * size_of(storage.type));
    }
    storages_.push_back({std::to_string(index + 1), data.size(), true});
    data_.push_back(data);
    add({.name = "entry " + std::to_string(index + 1),
         .type = fields.type,
         .shape = shape,
         .strides = fields.strides,
         .offset = fields.offset,
         .storage = index});
  }

  void read_storage(std::size_t storage, std::uint64_t offset, std::span<std::byte> dst) override {
    const std::string_view data = data_.at(storage);
    if (offset > data.size() || dst.size() > data.size() - offset)
      throw Error(ErrorCode::internal, name() + ": a read past the end of a storage");
    std::memcpy(dst.data(), data.data() + offset, dst.size());
  }

  Pickle pickle_;
  std::vector<std::string> paths_;
  std::vector<std::string_view> data_;  // by storage: the entries'
};

}  // namespace

std::vector<Representation> read_representations(const ByteSource& source) {
  return Entries(source).read_all();
}

}  // namespace adaface::checkpoint
