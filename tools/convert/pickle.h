// Reads pickles, protocols 0 to 5, as plain data. Nothing is imported or executed: a fixed list of globals
// builds dicts, tensors and arrays (pickle_globals.h); any other becomes an opaque value that remembers its
// name, except those that only an attack asks for, which are an error wherever they stand.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/convert/byte_source.h"
#include "tools/convert/element.h"

namespace adaface::checkpoint {

struct Value;

// A view of a storage (strides in elements), as torch and numpy describe tensors.
struct TensorFields {
  ElementType type = ElementType::other;
  const Value* storage = nullptr;  // Kind::storage; of an array: Kind::bytes or Kind::string
  std::uint64_t offset = 0;        // in elements
  std::vector<std::uint64_t> shape;
  std::vector<std::uint64_t> strides;
};

enum class Kind : std::uint8_t {
  none,
  boolean,      // integer: 0 or 1
  integer,      // integer
  big_integer,  // text: little-endian two's complement, more than 8 bytes; of a decimal literal: its digits
  real,         // real
  bytes,        // text
  string,       // text, UTF-8 or, from Python 2, any bytes
  list,         // items; sets too
  tuple,        // items
  dict,         // items: key, value, key, value, ...
  storage,      // text: key; integer: elements; type; items empty, or the bytes whose end is its data
  tensor,       // tensor
  dtype,        // numpy.dtype: type; items empty
  array,        // numpy.ndarray: tensor, or, of objects, items: one list
  global,       // text: "module.name", one of the known globals
  opaque,       // text: the global that it was made by
};

struct Value {
  Kind kind = Kind::none;
  ElementType type = ElementType::other;
  bool object_dtype = false;  // of a dtype: elements are Python objects
  bool big_endian = false;    // of a dtype
  std::int64_t integer = 0;
  double real = 0;
  std::string text;
  std::vector<const Value*> items;
  std::unique_ptr<TensorFields> tensor;

  // The value of a string key in a dict; nullptr when this is not a dict or has no such key.
  const Value* find(std::string_view key) const;
  bool is_text(std::string_view expected) const {
    return (kind == Kind::string || kind == Kind::bytes) && text == expected;
  }
};

std::string_view to_string(Kind kind) noexcept;  // "a list"

// Values may share and even contain one another (memo references are never copied): walk with a visited set.
class Pickle {
 public:
  const Value& root() const { return *root_; }
  std::uint64_t end() const { return end_; }  // the source's offset behind the STOP opcode
  // Every storage that was named anywhere, reachable from the root or not.
  std::vector<const Value*> storages() const;

 private:
  friend class PickleMachine;
  std::deque<Value> values_;  // owns all values: destruction does not recurse
  const Value* root_ = nullptr;
  std::uint64_t end_ = 0;
};

struct PickleLimits {
  std::uint64_t max_bytes = std::uint64_t{64}
                            << 20;     // of one pickle, and of the strings made while reading it
  std::size_t max_values = 2'000'000;  // about 100 bytes each
  // Reads the storages that pickle.dump of a tensor leaves in bytes (torch.storage._load_from_bytes: a legacy
  // file in a pickle). Bytes inside those bytes are not read: they stay opaque, whatever this says.
  bool storages_in_bytes = false;
};

// The pickle that begins at offset. Throws corrupt, limit, unsupported; messages begin with source.name().
Pickle read_pickle(const ByteSource& source, std::uint64_t offset = 0, const PickleLimits& limits = {});

}  // namespace adaface::checkpoint
