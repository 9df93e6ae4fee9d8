// A checkpoint of any supported format: its tensors, and their values as float32 in pieces. The format is
// recognised by content, never by file name.
//
//   checkpoint::FileSource file("net.ckpt");
//   auto checkpoint = checkpoint::open_checkpoint(file);
//   for (const auto& tensor : checkpoint->tensors())
//     checkpoint->read(tensor, [&](std::span<const float> piece) { ... });
//
// Formats: torch ZIP, torch legacy (before 1.6), safetensors, and NumPy files that hold a dict of arrays.
// Every length is checked against the file before memory is taken. Errors: corrupt, unsupported, limit, with
// messages that begin with the source's name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/convert/byte_source.h"
#include "tools/convert/element.h"
#include "tools/convert/pickle.h"

namespace adaface::checkpoint {

// A view of a storage; its elements lie inside the storage. Offset and strides in elements.
struct TensorEntry {
  std::string name;
  ElementType type = ElementType::other;
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> strides;
  std::uint64_t offset = 0;
  std::size_t storage = 0;
  bool in_state_dict = true;  // false: found elsewhere in the file (optimizer state), named by its path
};

// A value of the state dict that is not a tensor: fatal only where a tensor of that name is needed.
struct OtherEntry {
  std::string name;
  std::string what;  // "made by foo.Bar, which is not on the list ...", "a list"
};

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  const std::string& name() const { return name_; }
  std::string_view format() const { return format_; }  // "torch ZIP"
  // In the order of the file; names in the state dict are unique.
  std::span<const TensorEntry> tensors() const { return tensors_; }
  std::span<const OtherEntry> others() const { return others_; }

  // Passes the elements of a floating tensor to `sink`, row-major, in pieces of at most 256 Ki elements.
  // Contiguous tensors are streamed; of others, the part of the storage that they span is held.
  using Sink = std::function<void(std::span<const float>)>;
  void read(const TensorEntry& tensor, const Sink& sink);

 protected:
  Checkpoint(std::string name, std::string_view format) : name_(std::move(name)), format_(format) {}

  // Bytes [offset, offset + dst.size()) of a storage, inside its size.
  virtual void read_storage(std::size_t storage, std::uint64_t offset, std::span<std::byte> dst) = 0;
  // Checks a storage that is going to be read in part; formats without checksums have nothing to do.
  virtual void verify_storage(std::size_t) {}

  struct Storage {
    std::string key;
    std::uint64_t bytes = 0;
    bool verified = false;
  };
  // Adds a tensor after checking that it lies inside its storage.
  void add(TensorEntry tensor);

  std::vector<Storage> storages_;
  std::vector<TensorEntry> tensors_;
  std::vector<OtherEntry> others_;

 private:
  void read_strided(const TensorEntry& tensor, std::uint64_t count, const Sink& sink);

  std::string name_;
  std::string_view format_;
};

// The source must outlive the checkpoint. Throws unsupported for what is no checkpoint, saying what it looks
// like.
std::unique_ptr<Checkpoint> open_checkpoint(const ByteSource& source);

// One reader each; open_checkpoint() picks.
std::unique_ptr<Checkpoint> open_torch_zip(const ByteSource& source);
std::unique_ptr<Checkpoint> open_torch_legacy(const ByteSource& source);
std::unique_ptr<Checkpoint> open_safetensors(const ByteSource& source);
std::unique_ptr<Checkpoint> open_npy(const ByteSource& source);

}  // namespace adaface::checkpoint
