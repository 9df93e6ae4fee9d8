#include "tools/convert/checkpoint.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "src/error.hpp"

namespace adaface::checkpoint {
namespace {

constexpr std::size_t kPieceElements = 256 * 1024;
// Of a storage that a non-contiguous tensor may span; the largest real tensor has 51 MB.
constexpr std::uint64_t kMaxStridedBytes = std::uint64_t{512} << 20;

// The elements from a tensor's first to its last in the storage, 0 when it has none.
std::uint64_t span_of(const TensorEntry& tensor, const std::string& where) {
  std::uint64_t last = 0;
  for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
    if (tensor.shape[axis] == 0) return 0;
    std::uint64_t step = 0;
    if (__builtin_mul_overflow(tensor.shape[axis] - 1, tensor.strides[axis], &step) ||
        __builtin_add_overflow(last, step, &last))
      throw Error(ErrorCode::corrupt, where + ": its strides pass 2^64");
  }
  if (last == std::numeric_limits<std::uint64_t>::max())
    throw Error(ErrorCode::corrupt, where + ": its strides pass 2^64");
  return last + 1;
}

bool is_contiguous(const TensorEntry& tensor) {
  std::uint64_t expected = 1;
  for (std::size_t axis = tensor.shape.size(); axis-- > 0;) {
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != expected) return false;
    expected *= tensor.shape[axis];
  }
  return true;
}

std::string label(const std::string& file, const TensorEntry& tensor) {
  return file + ": tensor \"" + shown(tensor.name) + "\"";
}

}  // namespace

void Checkpoint::add(TensorEntry tensor) {
  const std::string where = label(name_, tensor);
  const Storage& storage = storages_.at(tensor.storage);
  const std::uint64_t count = element_count(tensor.shape, where);
  const std::uint64_t size = size_of(tensor.type);
  const std::uint64_t span = span_of(tensor, where);
  const std::uint64_t available = size == 0 ? 0 : storage.bytes / size;
  if (count > 0 && (tensor.offset > available || span > available - tensor.offset))
    throw Error(ErrorCode::corrupt,
                where + " of " + shape_text(tensor.shape) + " " + std::string(to_string(tensor.type)) +
                    " reaches element " + std::to_string(tensor.offset) + "+" + std::to_string(span) +
                    " of storage " + shown(storage.key) + ", which holds " + std::to_string(available));
  tensors_.push_back(std::move(tensor));
}

void Checkpoint::read(const TensorEntry& tensor, const Sink& sink) {
  const std::string where = label(name_, tensor);
  if (!is_floating(tensor.type))
    throw Error(ErrorCode::unsupported, where + " is " + std::string(to_string(tensor.type)) +
                                            ", expected float32, float16, bfloat16 or float64");
  const std::uint64_t count = element_count(tensor.shape, where);
  if (count == 0) return;
  Storage& storage = storages_.at(tensor.storage);
  const std::uint64_t size = size_of(tensor.type);
  const bool contiguous = is_contiguous(tensor);
  const bool whole = contiguous && tensor.offset == 0 && count * size == storage.bytes;
  if (!whole && !storage.verified) verify_storage(tensor.storage);
  storage.verified = true;
  if (!contiguous) return read_strided(tensor, count, sink);

  std::vector<std::byte> bytes(
      static_cast<std::size_t>(std::min<std::uint64_t>(count, kPieceElements) * size));
  std::vector<float> values(bytes.size() / size);
  for (std::uint64_t done = 0; done < count;) {
    const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(count - done, kPieceElements));
    const std::span<std::byte> raw(bytes.data(), piece * size);
    read_storage(tensor.storage, (tensor.offset + done) * size, raw);
    to_float(tensor.type, raw, {values.data(), piece});
    sink({values.data(), piece});
    done += piece;
  }
}

void Checkpoint::read_strided(const TensorEntry& tensor, std::uint64_t count, const Sink& sink) {
  const std::string where = label(name_, tensor);
  const std::uint64_t size = size_of(tensor.type);
  const std::uint64_t span = span_of(tensor, where);
  if (span > kMaxStridedBytes / size)
    throw Error(ErrorCode::limit, where + " is not contiguous and spans " + std::to_string(span) +
                                      " elements of its storage, expected at most " +
                                      std::to_string(kMaxStridedBytes / size));
  std::vector<std::byte> held(static_cast<std::size_t>(span * size));
  read_storage(tensor.storage, tensor.offset * size, held);

  std::vector<std::byte> bytes(
      static_cast<std::size_t>(std::min<std::uint64_t>(count, kPieceElements) * size));
  std::vector<float> values(bytes.size() / size);
  std::vector<std::uint64_t> index(tensor.shape.size(), 0);
  std::uint64_t at = 0;
  for (std::uint64_t done = 0; done < count;) {
    const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(count - done, kPieceElements));
    for (std::size_t i = 0; i < piece; ++i) {
      std::memcpy(bytes.data() + i * size, held.data() + at * size, size);
      for (std::size_t axis = index.size(); axis-- > 0;) {
        if (++index[axis] < tensor.shape[axis]) {
          at += tensor.strides[axis];
          break;
        }
        at -= (tensor.shape[axis] - 1) * tensor.strides[axis];
        index[axis] = 0;
      }
    }
    to_float(tensor.type, {bytes.data(), piece * size}, {values.data(), piece});
    sink({values.data(), piece});
    done += piece;
  }
}

std::unique_ptr<Checkpoint> open_checkpoint(const ByteSource& source) {
  if (source.size() == 0)
    throw Error(ErrorCode::corrupt, source.name() + ": is empty, expected a checkpoint");
  std::array<std::byte, 512> head{};
  const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(head.size(), source.size()));
  source.read_at(0, {head.data(), size});
  const std::string_view start(reinterpret_cast<const char*>(head.data()), size);

  constexpr std::string_view kAccepted =
      ", expected a torch checkpoint (.ckpt, .pt, .pth), a .safetensors file or a .npy dict";
  auto refuse = [&](std::string_view found) {
    return Error(ErrorCode::unsupported,
                 source.name() + ": is " + std::string(found) + std::string(kAccepted));
  };
  if (start.starts_with("PK\x03\x04") || start.starts_with("PK\x05\x06")) return open_torch_zip(source);
  if (start.starts_with("\x93NUMPY")) return open_npy(source);
  if (start.starts_with("\x89"
                        "AFW"))
    throw refuse("an .afw file, converted already");
  // LONG1 of 10 bytes: torch's magic number.
  constexpr std::string_view kMagic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
  if (start.size() > 2 && start[0] == '\x80' && start.substr(2).starts_with(kMagic))
    return open_torch_legacy(source);
  if (start.size() > 8 && start[8] == '{') return open_safetensors(source);
  if (start.size() > 262 && start.substr(257, 5) == "ustar")
    throw refuse("a tar archive (torch before 0.1.10 wrote such files; load and save it with a newer torch)");
  if (start.size() > 2 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5)
    throw refuse("a pickle that torch.save did not write");
  // ModelProto: its version, and a second field of it.
  if (start.size() > 2 && start[0] == '\x08' && start[1] > 0 && start[1] < 32 &&
      std::string_view("\x12\x1a\x22\x28\x32\x3a\x42").find(start[2]) != std::string_view::npos)
    throw refuse(
        "an ONNX model (its tensors are folded and renamed: bring the checkpoint that it was exported from)");
  if (start.starts_with("\x89HDF\r\n")) throw refuse("an HDF5 file, as Keras writes");
  if (start.size() > 8 && start.substr(4, 4) == "TFL3") throw refuse("a TensorFlow Lite model");
  if (start.starts_with("version https://git-lfs")) throw refuse("a Git LFS pointer, not the file itself");
  if (start.starts_with("<!DOCTYPE") || start.starts_with("<!doctype") || start.starts_with("<html"))
    throw refuse("a web page (a download that was refused?)");
  const bool text = std::all_of(start.begin(), start.end(), [](char c) {
    return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t';
  });
  throw refuse(text ? "a text file" : "of no known format");
}

}  // namespace adaface::checkpoint
