// torch.save before 1.6: pickles one after the other (magic number, protocol, system, object, storage keys),
// then the storages in the order of the keys, each an int64 element count and its bytes.
#include <unordered_map>

#include "src/error.hpp"
#include "tools/convert/torch_storages.h"

namespace adaface::checkpoint {
namespace {

constexpr std::int64_t kProtocol = 1001;

class TorchLegacy final : public TorchCheckpoint {
 public:
  explicit TorchLegacy(const ByteSource& source)
      : TorchCheckpoint(source.name(), "torch legacy"), source_(source) {
    constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const Pickle magic = read_pickle(source_, 0);
    if (magic.root().kind != Kind::big_integer || magic.root().text != kMagic)
      throw Error(ErrorCode::corrupt, name() + ": does not begin with torch's magic number");
    const Pickle protocol = read_pickle(source_, magic.end());
    if (protocol.root().kind != Kind::integer || protocol.root().integer != kProtocol)
      throw Error(ErrorCode::unsupported, name() + ": torch protocol " +
                                              std::to_string(protocol.root().integer) + ", expected " +
                                              std::to_string(kProtocol));
    const Pickle system = read_pickle(source_, protocol.end());
    if (const Value* little = system.root().find("little_endian"); little && little->integer == 0)
      throw Error(ErrorCode::unsupported, name() + ": written on a big-endian machine");
    const Pickle object = read_pickle(source_, system.end());
    const Pickle keys = read_pickle(source_, object.end());
    locate(keys.root(), object, keys.end());
    add_tensors(object.root(), [this](const std::string& key) {
      const auto found = places_.find(key);
      if (found == places_.end())
        throw Error(ErrorCode::corrupt, name() + ": storage " + shown(key) + " is missing");
      starts_.push_back(found->second.start);
      return found->second.bytes;
    });
  }

 private:
  struct Place {
    std::uint64_t start = 0;
    std::uint64_t bytes = 0;
  };

  // Walks the storages behind the pickles. A storage's element size is known from the object's pickle.
  void locate(const Value& keys, const Pickle& object, std::uint64_t at);

  void read_storage(std::size_t storage, std::uint64_t offset, std::span<std::byte> dst) override {
    source_.read_at(starts_.at(storage) + offset, dst);
  }

  const ByteSource& source_;
  std::unordered_map<std::string, Place> places_;
  std::vector<std::uint64_t> starts_;  // by storage
};

void TorchLegacy::locate(const Value& keys, const Pickle& object, std::uint64_t at) {
  std::unordered_map<std::string, std::uint64_t> sizes;
  for (const Value* storage : object.storages()) sizes.emplace(storage->text, size_of(storage->type));
  if (keys.kind != Kind::list)
    throw Error(ErrorCode::corrupt,
                name() + ": the storage keys are " + std::string(to_string(keys.kind)) + ", expected a list");
  for (const Value* key : keys.items) {
    const auto size = sizes.find(key->text);
    if (key->kind != Kind::string || size == sizes.end())
      throw Error(ErrorCode::corrupt,
                  name() + ": storage key \"" + shown(key->text) + "\" is not used by the pickle");
    std::uint64_t elements = 0;
    source_.read_at(at, std::as_writable_bytes(std::span(&elements, 1)));
    at += sizeof elements;
    const std::uint64_t left = source_.size() - at;
    if (elements > left / size->second)
      throw Error(ErrorCode::corrupt, name() + ": storage " + shown(key->text) + " of " +
                                          std::to_string(elements) + " elements, but " +
                                          std::to_string(left) + " bytes are left");
    const Place place{at, elements * size->second};
    if (!places_.emplace(key->text, place).second)
      throw Error(ErrorCode::corrupt, name() + ": storage key " + shown(key->text) + " appears twice");
    at += place.bytes;
  }
  if (at != source_.size())
    throw Error(ErrorCode::corrupt, name() + ": " + std::to_string(source_.size() - at) +
                                        " bytes follow the last storage, expected the end of the file");
}

}  // namespace

std::unique_ptr<Checkpoint> open_torch_legacy(const ByteSource& source) {
  return std::make_unique<TorchLegacy>(source);
}

}  // namespace adaface::checkpoint
