// The parts of the pickle reader: a bounded byte window and a stack machine that builds values. Private to
// pickle.cpp (opcodes) and pickle_calls.cpp (what the known globals build).
#pragma once

#include <algorithm>
#include <unordered_map>

#include "src/error.hpp"
#include "tools/convert/pickle.h"

namespace adaface::checkpoint {

// Reads on from an offset in pieces of 64 KiB. The pickle must end within max_bytes.
class PickleInput {
 public:
  PickleInput(const ByteSource& source, std::uint64_t offset, std::uint64_t max_bytes)
      : source_(source),
        window_start_(offset),
        end_(offset + std::min(max_bytes, source.size() - std::min(source.size(), offset))) {}

  const std::string& name() const { return source_.name(); }
  std::uint64_t position() const { return window_start_ + next_; }
  std::uint64_t left() const { return end_ - position(); }

  std::uint8_t byte();
  std::uint64_t little_endian(int bytes);
  std::string text(std::uint64_t size);
  std::string line();  // without its line feed

 private:
  void fill();

  const ByteSource& source_;
  std::uint64_t window_start_;
  std::uint64_t end_;
  std::vector<std::byte> window_;
  std::size_t next_ = 0;
};

class PickleMachine {
 public:
  PickleMachine(const ByteSource& source, std::uint64_t offset, const PickleLimits& limits)
      : in_(source, offset, limits.max_bytes), limits_(limits) {}
  Pickle run();

 private:
  bool step(std::uint8_t opcode);  // false: STOP

  Value& make(Kind kind);
  // Counts bytes that the pickle makes: memo references let a short pickle ask for many copies.
  void charge(std::uint64_t bytes);
  void push_text(Kind kind, std::string text);
  void push_integer(Kind kind, std::int64_t integer);
  void push_real(double real);
  void push_decimal(std::string digits);
  void push_long(std::uint64_t size);
  void push_container(Kind kind, std::vector<const Value*> items);
  void extend(Value& container, Kind expected, const std::vector<const Value*>& items);

  std::size_t floor() const;
  Value* pop();
  Value* top();
  std::vector<const Value*> pop_to_mark();
  void remember(std::uint64_t index);
  void recall(std::uint64_t index);
  std::uint64_t memo_index(const std::string& digits);
  [[noreturn]] void fail(ErrorCode code, const std::string& what) const;

  // pickle_calls.cpp
  void push_global(const std::string& module, const std::string& name);
  Value* opaque(const std::string& global);
  Value* call(const Value& function, const std::vector<const Value*>& arguments);
  Value* ordered_dict(const std::vector<const Value*>& arguments);
  Value* rebuild_tensor(const std::string& function, const std::vector<const Value*>& arguments);
  Value* rebuild_subclass(const std::string& function, const std::vector<const Value*>& arguments);
  Value* storage_in_bytes(const std::vector<const Value*>& arguments);
  Value* array_of_buffer(const std::vector<const Value*>& arguments);
  Value* dtype(const std::vector<const Value*>& arguments);
  Value* encode(const std::vector<const Value*>& arguments);
  Value* persistent(const Value& id);
  void build(Value& object, const Value& state);
  void build_dtype(Value& dtype, const Value& state);
  void build_array(Value& array, const Value& state);
  void fill_array(Value& array, const Value& shape, const Value& dtype, bool fortran, const Value& data);
  std::vector<std::uint64_t> dimensions(const Value& tuple, const char* what);
  std::string unquote(const std::string& literal);
  std::string unescape(const std::string& line);

  PickleInput in_;
  PickleLimits limits_;
  Pickle result_;
  std::vector<Value*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value*> memo_;
  std::uint64_t made_ = 0;
};

}  // namespace adaface::checkpoint
