#include "tools/convert/torch_legacy.h"

#include "src/error.hpp"
#include "tools/convert/torch_storages.h"

namespace adaface::checkpoint {
namespace {

constexpr std::int64_t kProtocol = 1001;

// Walks the storages behind the pickles. A storage's element size is known from the object's pickle.
void locate(const ByteSource& source, const Value& keys, std::uint64_t at, LegacyFile& file) {
  const std::string& name = source.name();
  std::unordered_map<std::string, std::uint64_t> sizes;
  for (const Value* storage : file.object.storages()) sizes.emplace(storage->text, size_of(storage->type));
  if (keys.kind != Kind::list)
    throw Error(ErrorCode::corrupt,
                name + ": the storage keys are " + std::string(to_string(keys.kind)) + ", expected a list");
  for (const Value* key : keys.items) {
    const auto size = sizes.find(key->text);
    if (key->kind != Kind::string || size == sizes.end())
      throw Error(ErrorCode::corrupt,
                  name + ": storage key \"" + shown(key->text) + "\" is not used by the pickle");
    std::uint64_t elements = 0;
    source.read_at(at, std::as_writable_bytes(std::span(&elements, 1)));
    at += sizeof elements;
    const std::uint64_t left = source.size() - at;
    if (elements > left / size->second)
      throw Error(ErrorCode::corrupt, name + ": storage " + shown(key->text) + " of " +
                                          std::to_string(elements) + " elements, but " +
                                          std::to_string(left) + " bytes are left");
    const LegacyFile::Place place{at, elements * size->second};
    if (!file.places.emplace(key->text, place).second)
      throw Error(ErrorCode::corrupt, name + ": storage key " + shown(key->text) + " appears twice");
    at += place.bytes;
  }
  if (at != source.size())
    throw Error(ErrorCode::corrupt, name + ": " + std::to_string(source.size() - at) +
                                        " bytes follow the last storage, expected the end of the file");
}

class TorchLegacy final : public TorchCheckpoint {
 public:
  explicit TorchLegacy(const ByteSource& source)
      : TorchCheckpoint(source.name(), "torch legacy"), source_(source) {
    const LegacyFile file = read_legacy(source_);
    add_tensors(file.object.root(), [&](const std::string& key) {
      const auto found = file.places.find(key);
      if (found == file.places.end())
        throw Error(ErrorCode::corrupt, name() + ": storage " + shown(key) + " is missing");
      starts_.push_back(found->second.start);
      return found->second.bytes;
    });
  }

 private:
  void read_storage(std::size_t storage, std::uint64_t offset, std::span<std::byte> dst) override {
    source_.read_at(starts_.at(storage) + offset, dst);
  }

  const ByteSource& source_;
  std::vector<std::uint64_t> starts_;  // by storage
};

}  // namespace

LegacyFile read_legacy(const ByteSource& source, const PickleLimits& limits) {
  constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  const std::string& name = source.name();
  const Pickle magic = read_pickle(source, 0, limits);
  if (magic.root().kind != Kind::big_integer || magic.root().text != kMagic)
    throw Error(ErrorCode::corrupt, name + ": does not begin with torch's magic number");
  const Pickle protocol = read_pickle(source, magic.end(), limits);
  if (protocol.root().kind != Kind::integer || protocol.root().integer != kProtocol)
    throw Error(ErrorCode::unsupported, name + ": torch protocol " + std::to_string(protocol.root().integer) +
                                            ", expected " + std::to_string(kProtocol));
  const Pickle system = read_pickle(source, protocol.end(), limits);
  if (const Value* little = system.root().find("little_endian"); little && little->integer == 0)
    throw Error(ErrorCode::unsupported, name + ": written on a big-endian machine");
  LegacyFile file{read_pickle(source, system.end(), limits), {}};
  const Pickle keys = read_pickle(source, file.object.end(), limits);
  locate(source, keys.root(), keys.end(), file);
  return file;
}

std::unique_ptr<Checkpoint> open_torch_legacy(const ByteSource& source) {
  return std::make_unique<TorchLegacy>(source);
}

}  // namespace adaface::checkpoint
