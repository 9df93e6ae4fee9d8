// A .npy file that holds one pickled dict of arrays, as numpy.save writes a dict: a header that says '|O',
// then the pickle of an array of one object.
#include <array>
#include <cstring>

#include "src/error.hpp"
#include "tools/convert/checkpoint.h"
#include "tools/convert/state_dict.h"

namespace adaface::checkpoint {
namespace {

class NpyDict final : public Checkpoint {
 public:
  explicit NpyDict(const ByteSource& source) : Checkpoint(source.name(), "NumPy dict") {
    const std::uint64_t start = data_start(source);
    pickle_ = read_pickle(source, start);
    if (pickle_.end() != source.size())
      throw Error(ErrorCode::corrupt,
                  name() + ": " + std::to_string(source.size() - pickle_.end()) + " bytes follow the pickle");
    const Value& root = pickle_.root();
    if (root.kind != Kind::array || !root.tensor || root.items.size() != 1 ||
        root.items[0]->items.size() != 1)
      throw Error(ErrorCode::unsupported, name() + ": holds " + describe(root) +
                                              ", expected an array of one object, a dict of arrays");
    for (const NamedValue& entry : state_dict_entries(*root.items[0]->items[0], name())) add_array(entry);
  }

 private:
  // The offset of the pickle. The header is the text of a Python dict; only the type matters here.
  std::uint64_t data_start(const ByteSource& source) const {
    std::array<std::uint8_t, 12> start{};
    source.read_at(0, std::as_writable_bytes(std::span(start.data(), 10)));
    const bool wide = start[6] >= 2;
    if (start[6] < 1 || start[6] > 3)
      throw Error(ErrorCode::unsupported,
                  name() + ": .npy version " + std::to_string(start[6]) + ", expected 1 to 3");
    if (wide) source.read_at(0, std::as_writable_bytes(std::span(start)));
    std::uint64_t length = start[8] | start[9] << 8;
    if (wide)
      length |= static_cast<std::uint64_t>(start[10]) << 16 | static_cast<std::uint64_t>(start[11]) << 24;
    constexpr std::uint64_t kMaxHeader = 64 * 1024;
    if (length > kMaxHeader)
      throw Error(ErrorCode::limit, name() + ": a .npy header of " + std::to_string(length) +
                                        " bytes, expected at most " + std::to_string(kMaxHeader));
    std::string header(static_cast<std::size_t>(length), '\0');
    const std::uint64_t offset = wide ? 12 : 10;
    source.read_at(offset, std::as_writable_bytes(std::span(header)));
    if (header.find("'|O'") == std::string::npos)
      throw Error(ErrorCode::unsupported,
                  name() + ": a .npy array of numbers, expected a pickled dict of arrays");
    return offset + length;
  }

  void add_array(const NamedValue& entry) {
    const Value& value = *entry.value;
    if (value.kind != Kind::array || !value.tensor || !value.tensor->storage) {
      if (entry.in_state_dict) others_.push_back({entry.name, describe(value)});
      return;
    }
    TensorEntry tensor;
    tensor.name = entry.name;
    tensor.type = value.tensor->type;
    tensor.shape = value.tensor->shape;
    tensor.strides = value.tensor->strides;
    tensor.storage = storages_.size();
    tensor.in_state_dict = entry.in_state_dict;
    data_.push_back(&value.tensor->storage->text);
    storages_.push_back({entry.name, data_.back()->size(), true});
    add(std::move(tensor));
  }

  void read_storage(std::size_t storage, std::uint64_t offset, std::span<std::byte> dst) override {
    const std::string& data = *data_.at(storage);
    if (offset > data.size() || dst.size() > data.size() - offset)
      throw Error(ErrorCode::internal, name() + ": a read past the end of an array");
    std::memcpy(dst.data(), data.data() + offset, dst.size());
  }

  Pickle pickle_;
  std::vector<const std::string*> data_;  // by storage
};

}  // namespace

std::unique_ptr<Checkpoint> open_npy(const ByteSource& source) {
  return std::make_unique<NpyDict>(source);
}

}  // namespace adaface::checkpoint
