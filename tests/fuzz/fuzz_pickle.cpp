// Any bytes as a pickle, and as the data.pkl of a checkpoint whose storages hold what it says, filled with
// ones.
#include <algorithm>

#include "src/error.hpp"
#include "tests/fuzz/checkpoint_input.h"
#include "tools/convert/torch_storages.h"

namespace {

using namespace adaface::checkpoint;

class PickleAlone final : public TorchCheckpoint {
 public:
  explicit PickleAlone(const ByteSource& source) : TorchCheckpoint(source.name(), "pickle") {
    const Pickle pickle = read_pickle(source, 0, {.max_bytes = 1 << 20, .max_values = 1 << 16});
    add_tensors(pickle.root(), [&](const std::string& key) {
      for (const Value* storage : pickle.storages())
        if (storage->text == key)
          return std::min<std::uint64_t>(static_cast<std::uint64_t>(storage->integer), kMaxElements) *
                 size_of(storage->type);
      std::abort();  // a tensor names a storage that the pickle does not
    });
  }

 private:
  static constexpr std::uint64_t kMaxElements = 4096;

  void read_storage(std::size_t storage, std::uint64_t offset, std::span<std::byte> dst) override {
    if (offset + dst.size() > storages_.at(storage).bytes) std::abort();
    std::fill(dst.begin(), dst.end(), std::byte{1});
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return read_as_checkpoint(data, size,
                            [](const ByteSource& source) { return std::make_unique<PickleAlone>(source); });
}
