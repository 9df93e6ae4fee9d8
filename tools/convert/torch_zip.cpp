// torch.save since 1.6: a ZIP with the object's pickle in data.pkl and each storage in data/<key>.
#include "src/error.hpp"
#include "tools/convert/torch_storages.h"
#include "tools/convert/zip_archive.h"

namespace adaface::checkpoint {
namespace {

class TorchZip final : public TorchCheckpoint {
 public:
  explicit TorchZip(const ByteSource& source)
      : TorchCheckpoint(source.name(), "torch ZIP"), archive_(source) {
    if (const auto* entry = archive_.find("byteorder")) {
      const std::string order = text(*entry, 64);
      if (order != "little")
        throw Error(ErrorCode::unsupported,
                    name() + ": byteorder is \"" + shown(order) + "\", expected \"little\"");
    }
    const auto* pickle_entry = archive_.find("data.pkl");
    if (!pickle_entry) {
      const bool script = archive_.find("constants.pkl") || archive_.find("code/__torch__.py");
      throw Error(ErrorCode::unsupported, name() + ": the ZIP has no data.pkl" +
                                              (script ? " (a TorchScript archive)" : "") +
                                              ", expected one that torch.save wrote");
    }
    const std::string pickle_bytes = text(*pickle_entry, PickleLimits{}.max_bytes);
    const MemorySource memory(name() + ": data.pkl", std::as_bytes(std::span(pickle_bytes)));
    const Pickle pickle = read_pickle(memory);
    if (pickle.end() != pickle_bytes.size())
      throw Error(ErrorCode::corrupt, memory.name() + ": " +
                                          std::to_string(pickle_bytes.size() - pickle.end()) +
                                          " bytes follow the pickle");
    add_tensors(pickle.root(), [this](const std::string& key) {
      const auto* entry = archive_.find("data/" + key);
      if (!entry)
        throw Error(ErrorCode::corrupt, name() + ": ZIP entry \"data/" + shown(key) + "\" is missing");
      entries_.push_back(*entry);
      return entry->size;
    });
  }

 private:
  std::string text(const ZipArchive::Entry& entry, std::uint64_t max_bytes) {
    if (entry.size > max_bytes)
      throw Error(ErrorCode::limit, name() + ": a ZIP entry of " + std::to_string(entry.size) +
                                        " bytes, expected at most " + std::to_string(max_bytes));
    std::string bytes(static_cast<std::size_t>(entry.size), '\0');
    archive_.read(entry, 0, std::as_writable_bytes(std::span(bytes)));
    return bytes;
  }

  void read_storage(std::size_t storage, std::uint64_t offset, std::span<std::byte> dst) override {
    archive_.read(entries_.at(storage), offset, dst);
  }
  void verify_storage(std::size_t storage) override { archive_.verify(entries_.at(storage)); }

  ZipArchive archive_;
  std::vector<ZipArchive::Entry> entries_;  // by storage
};

}  // namespace

std::unique_ptr<Checkpoint> open_torch_zip(const ByteSource& source) {
  return std::make_unique<TorchZip>(source);
}

}  // namespace adaface::checkpoint
