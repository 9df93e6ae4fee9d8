#include "tools/convert/pickle.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <unordered_map>

#include "src/error.hpp"
#include "tools/convert/pickle_machine.h"

namespace adaface::checkpoint {

const Value* Value::find(std::string_view key) const {
  if (kind != Kind::dict) return nullptr;
  for (std::size_t i = 0; i + 1 < items.size(); i += 2)
    if (items[i]->is_text(key)) return items[i + 1];
  return nullptr;
}

std::vector<const Value*> Pickle::storages() const {
  std::vector<const Value*> found;
  for (const Value& value : values_)
    if (value.kind == Kind::storage) found.push_back(&value);
  return found;
}

std::string_view to_string(Kind kind) noexcept {
  constexpr std::string_view kNames[] = {
      "None",          "a bool",        "an integer", "an integer",
      "a float",       "bytes",         "a string",   "a list",
      "a tuple",       "a dict",        "a storage",  "a tensor",
      "a NumPy dtype", "a NumPy array", "a global",   "an object of another type"};
  return kNames[static_cast<std::size_t>(kind)];
}

// ---- Bytes

void PickleInput::fill() {
  constexpr std::uint64_t kWindow = 64 * 1024;
  window_start_ += window_.size();
  const std::uint64_t left = end_ - window_start_;
  if (left == 0) throw Error(ErrorCode::corrupt, source_.name() + ": the pickle is cut off");
  window_.resize(static_cast<std::size_t>(std::min(left, kWindow)));
  source_.read_at(window_start_, window_);
  next_ = 0;
}

std::uint8_t PickleInput::byte() {
  if (next_ == window_.size()) fill();
  return static_cast<std::uint8_t>(window_[next_++]);
}

std::uint64_t PickleInput::little_endian(int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= static_cast<std::uint64_t>(byte()) << (8 * i);
  return value;
}

std::string PickleInput::text(std::uint64_t size) {
  if (size > left())
    throw Error(ErrorCode::corrupt, source_.name() + ": a string of " + std::to_string(size) +
                                        " bytes, but " + std::to_string(left()) + " bytes are left");
  std::string out;
  out.reserve(static_cast<std::size_t>(size));
  while (out.size() < size) {
    if (next_ == window_.size()) fill();
    const std::size_t piece = std::min<std::size_t>(window_.size() - next_, size - out.size());
    out.append(reinterpret_cast<const char*>(window_.data() + next_), piece);
    next_ += piece;
  }
  return out;
}

std::string PickleInput::line() {
  std::string out;
  for (char c; (c = static_cast<char>(byte())) != '\n';) out += c;
  if (!out.empty() && out.back() == '\r') out.pop_back();
  return out;
}

// ---- The stack machine

Value& PickleMachine::make(Kind kind) {
  if (result_.values_.size() >= limits_.max_values)
    fail(ErrorCode::limit, "more than " + std::to_string(limits_.max_values) + " values");
  Value& value = result_.values_.emplace_back();
  value.kind = kind;
  return value;
}

void PickleMachine::charge(std::uint64_t bytes) {
  made_ += bytes;
  if (made_ > limits_.max_bytes)
    fail(ErrorCode::limit, "its strings and copies pass " + std::to_string(limits_.max_bytes) + " bytes");
}

void PickleMachine::push_text(Kind kind, std::string text) {
  charge(text.size());
  Value& value = make(kind);
  value.text = std::move(text);
  stack_.push_back(&value);
}

void PickleMachine::push_integer(Kind kind, std::int64_t integer) {
  Value& value = make(kind);
  value.integer = integer;
  stack_.push_back(&value);
}

void PickleMachine::push_real(double real) {
  Value& value = make(Kind::real);
  value.real = real;
  stack_.push_back(&value);
}

// `digits` of LONG and INT: decimal, with an 'L' in Python 2.
void PickleMachine::push_decimal(std::string digits) {
  if (!digits.empty() && digits.back() == 'L') digits.pop_back();
  std::int64_t integer = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), integer);
  if (end != digits.data() + digits.size() || digits.empty())
    fail(ErrorCode::corrupt, shown(digits) + " is not an integer");
  if (error == std::errc::result_out_of_range)
    push_text(Kind::big_integer, std::move(digits));
  else
    push_integer(Kind::integer, integer);
}

void PickleMachine::push_long(std::uint64_t size) {
  std::string bytes = in_.text(size);
  if (bytes.size() > 8) return push_text(Kind::big_integer, std::move(bytes));
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bits |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(bytes[i])) << (8 * i);
  if (!bytes.empty() && bytes.size() < 8 && (static_cast<std::uint8_t>(bytes.back()) & 0x80))
    bits |= ~std::uint64_t{0} << (8 * bytes.size());
  push_integer(Kind::integer, static_cast<std::int64_t>(bits));
}

std::size_t PickleMachine::floor() const {
  return marks_.empty() ? 0 : marks_.back();
}

Value* PickleMachine::pop() {
  if (stack_.size() <= floor()) fail(ErrorCode::corrupt, "the stack runs empty");
  Value* value = stack_.back();
  stack_.pop_back();
  return value;
}

Value* PickleMachine::top() {
  if (stack_.size() <= floor()) fail(ErrorCode::corrupt, "the stack runs empty");
  return stack_.back();
}

std::vector<const Value*> PickleMachine::pop_to_mark() {
  if (marks_.empty()) fail(ErrorCode::corrupt, "no MARK on the stack");
  std::vector<const Value*> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
  stack_.resize(marks_.back());
  marks_.pop_back();
  return items;
}

void PickleMachine::push_container(Kind kind, std::vector<const Value*> items) {
  if (kind == Kind::dict && items.size() % 2 != 0) fail(ErrorCode::corrupt, "a dict key without a value");
  Value& value = make(kind);
  value.items = std::move(items);
  stack_.push_back(&value);
}

// APPEND(S), SETITEM(S), ADDITEMS on the container below. What is added to an opaque value is dropped.
void PickleMachine::extend(Value& container, Kind expected, const std::vector<const Value*>& items) {
  if (container.kind == Kind::opaque) return;
  if (container.kind != expected)
    fail(ErrorCode::corrupt, "items are added to " + std::string(to_string(container.kind)) + ", expected " +
                                 std::string(to_string(expected)));
  if (expected == Kind::dict && items.size() % 2 != 0) fail(ErrorCode::corrupt, "a dict key without a value");
  container.items.insert(container.items.end(), items.begin(), items.end());
}

// References are charged too: a memo entry or a reference takes memory that its few bytes do not show.
void PickleMachine::remember(std::uint64_t index) {
  Value* value = top();
  if (memo_.insert_or_assign(index, value).second) charge(32);
}

void PickleMachine::recall(std::uint64_t index) {
  const auto found = memo_.find(index);
  if (found == memo_.end()) fail(ErrorCode::corrupt, "memo " + std::to_string(index) + " is not set");
  charge(sizeof(void*));
  stack_.push_back(found->second);
}

std::uint64_t PickleMachine::memo_index(const std::string& digits) {
  std::uint64_t index = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (digits.empty() || end != digits.data() + digits.size() || error != std::errc{})
    fail(ErrorCode::corrupt, shown(digits) + " is not a memo index");
  return index;
}

void PickleMachine::fail(ErrorCode code, const std::string& what) const {
  throw Error(code, in_.name() + ": pickle, byte " + std::to_string(in_.position()) + ": " + what);
}

Pickle PickleMachine::run() {
  while (step(in_.byte())) {
  }
  result_.root_ = pop();
  if (!stack_.empty() || !marks_.empty())
    fail(ErrorCode::corrupt, std::to_string(stack_.size()) + " values are left on the stack, expected none");
  result_.end_ = in_.position();
  return std::move(result_);
}

bool PickleMachine::step(std::uint8_t opcode) {
  switch (opcode) {
    case 0x80:  // PROTO
      if (const int protocol = in_.byte(); protocol > 5)
        fail(ErrorCode::unsupported, "protocol " + std::to_string(protocol) + ", expected 0 to 5");
      break;
    case 0x95:  // FRAME
      if (in_.little_endian(8) > in_.left()) fail(ErrorCode::corrupt, "a frame reaches past the end");
      break;
    case '.': return false;

    case '(': marks_.push_back(stack_.size()); break;
    case '0':
      // POP takes a mark too, when nothing stands above it.
      if (!marks_.empty() && stack_.size() == marks_.back())
        marks_.pop_back();
      else
        pop();
      break;
    case '1': pop_to_mark(); break;
    case '2':
      charge(sizeof(void*));
      stack_.push_back(top());
      break;

    case 'N': stack_.push_back(&make(Kind::none)); break;
    case 0x88:
    case 0x89: push_integer(Kind::boolean, opcode == 0x88); break;
    case 'J': push_integer(Kind::integer, static_cast<std::int32_t>(in_.little_endian(4))); break;
    case 'K': push_integer(Kind::integer, in_.byte()); break;
    case 'M': push_integer(Kind::integer, static_cast<std::int64_t>(in_.little_endian(2))); break;
    case 'I': {
      std::string digits = in_.line();
      if (digits == "00" || digits == "01")
        push_integer(Kind::boolean, digits == "01");
      else
        push_decimal(std::move(digits));
      break;
    }
    case 'L': push_decimal(in_.line()); break;
    case 0x8a: push_long(in_.little_endian(1)); break;
    case 0x8b: push_long(in_.little_endian(4)); break;
    case 'F': {
      const std::string digits = in_.line();
      double real = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), real);
      if (digits.empty() || end != digits.data() + digits.size())
        fail(ErrorCode::corrupt, shown(digits) + " is not a number");
      push_real(real);
      break;
    }
    case 'G': {
      std::uint64_t bits = 0;  // big-endian
      for (int i = 0; i < 8; ++i) bits = bits << 8 | in_.byte();
      push_real(std::bit_cast<double>(bits));
      break;
    }

    case 'S': push_text(Kind::string, unquote(in_.line())); break;
    case 'V': push_text(Kind::string, unescape(in_.line())); break;
    case 'T':
    case 'X': push_text(Kind::string, in_.text(in_.little_endian(4))); break;
    case 'U':
    case 0x8c: push_text(Kind::string, in_.text(in_.little_endian(1))); break;
    case 0x8d: push_text(Kind::string, in_.text(in_.little_endian(8))); break;
    case 'B': push_text(Kind::bytes, in_.text(in_.little_endian(4))); break;
    case 'C': push_text(Kind::bytes, in_.text(in_.little_endian(1))); break;
    case 0x8e:
    case 0x96: push_text(Kind::bytes, in_.text(in_.little_endian(8))); break;

    case ']':
    case 0x8f: push_container(Kind::list, {}); break;
    case ')': push_container(Kind::tuple, {}); break;
    case '}': push_container(Kind::dict, {}); break;
    case 'l':
    case 0x91: push_container(Kind::list, pop_to_mark()); break;
    case 't': push_container(Kind::tuple, pop_to_mark()); break;
    case 'd': push_container(Kind::dict, pop_to_mark()); break;
    case 0x85:
    case 0x86:
    case 0x87: {
      std::vector<const Value*> items(static_cast<std::size_t>(opcode - 0x84));
      for (std::size_t i = items.size(); i-- > 0;) items[i] = pop();
      push_container(Kind::tuple, std::move(items));
      break;
    }
    case 'a': {
      const Value* item = pop();
      extend(*top(), Kind::list, {item});
      break;
    }
    case 'e':
    case 0x90: {
      const std::vector<const Value*> items = pop_to_mark();
      extend(*top(), Kind::list, items);
      break;
    }
    case 's': {
      const Value* item = pop();
      const Value* key = pop();
      extend(*top(), Kind::dict, {key, item});
      break;
    }
    case 'u': {
      const std::vector<const Value*> items = pop_to_mark();
      extend(*top(), Kind::dict, items);
      break;
    }

    case 'p': remember(memo_index(in_.line())); break;
    case 'q': remember(in_.byte()); break;
    case 'r': remember(in_.little_endian(4)); break;
    case 0x94: remember(memo_.size()); break;
    case 'g': recall(memo_index(in_.line())); break;
    case 'h': recall(in_.byte()); break;
    case 'j': recall(in_.little_endian(4)); break;

    case 'c': {
      const std::string module = in_.line();
      push_global(module, in_.line());
      break;
    }
    case 0x93: {
      const Value* name = pop();
      const Value* module = pop();
      if (name->kind != Kind::string || module->kind != Kind::string)
        fail(ErrorCode::corrupt,
             "the name of a global is " + std::string(to_string(name->kind)) + ", expected a string");
      push_global(module->text, name->text);
      break;
    }
    case 'i': {
      const std::string module = in_.line();
      const std::string name = in_.line();
      std::vector<const Value*> arguments = pop_to_mark();
      push_global(module, name);
      const Value* function = pop();
      stack_.push_back(call(*function, arguments));
      break;
    }
    case 'o': {
      const std::vector<const Value*> items = pop_to_mark();
      if (items.empty()) fail(ErrorCode::corrupt, "OBJ without a class");
      stack_.push_back(call(*items.front(), {items.begin() + 1, items.end()}));
      break;
    }
    case 0x92:  // NEWOBJ_EX; keyword arguments only occur on opaque classes
      pop();
      [[fallthrough]];
    case 'R':
    case 0x81: {
      const Value* arguments = pop();
      const Value* function = pop();
      if (arguments->kind != Kind::tuple) {
        if (function->kind != Kind::opaque)
          fail(ErrorCode::corrupt, "the arguments of a call are " + std::string(to_string(arguments->kind)) +
                                       ", expected a tuple");
        stack_.push_back(opaque(function->text));
        break;
      }
      stack_.push_back(call(*function, arguments->items));
      break;
    }
    case 'b': {
      const Value* state = pop();
      build(*top(), *state);
      break;
    }
    case 'Q': stack_.push_back(persistent(*pop())); break;
    case 'P': fail(ErrorCode::unsupported, "a persistent id in text form, expected torch's tuple");
    case 0x82:
    case 0x83:
    case 0x84:
      fail(ErrorCode::unsupported, "a code of Python's extension registry, expected a global by name");
    case 0x97:
    case 0x98: fail(ErrorCode::unsupported, "an out-of-band buffer, expected all data inside the pickle");
    default: fail(ErrorCode::corrupt, "opcode " + std::to_string(opcode) + " does not exist");
  }
  return true;
}

Pickle read_pickle(const ByteSource& source, std::uint64_t offset, const PickleLimits& limits) {
  return PickleMachine(source, offset, limits).run();
}

}  // namespace adaface::checkpoint
