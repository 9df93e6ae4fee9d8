// What the known globals build. Arguments that none of their writers makes are an error; an argument that is
// opaque makes the result opaque, under the same name.
#include <algorithm>

#include "tools/convert/pickle_globals.h"
#include "tools/convert/pickle_machine.h"
#include "tools/convert/torch_legacy.h"

namespace adaface::checkpoint {
namespace {

constexpr std::size_t kMaxRank = 8;
constexpr std::size_t kTensorBytes = 256;  // what a tensor's fields take at most

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18 & 7));
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// The value of `digits` hexadecimal characters at text[at]; -1 when there are not so many.
std::int64_t hexadecimal(const std::string& text, std::size_t at, std::size_t digits) {
  if (at + digits > text.size()) return -1;
  std::int64_t value = 0;
  for (std::size_t i = at; i < at + digits; ++i) {
    const char c = text[i];
    const int nibble = c >= '0' && c <= '9'   ? c - '0'
                       : c >= 'a' && c <= 'f' ? c - 'a' + 10
                       : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                              : -1;
    if (nibble < 0) return -1;
    value = value << 4 | nibble;
  }
  return value;
}

// C order: the last dimension is contiguous; Fortran order: the first.
std::vector<std::uint64_t> packed_strides(const std::vector<std::uint64_t>& shape, bool fortran) {
  std::vector<std::uint64_t> strides(shape.size());
  std::uint64_t step = 1;
  for (std::size_t k = 0; k < shape.size(); ++k) {
    const std::size_t axis = fortran ? k : shape.size() - 1 - k;
    strides[axis] = step;
    step *= std::max<std::uint64_t>(shape[axis], 1);
  }
  return strides;
}

}  // namespace

// The repr() of a Python 2 string.
std::string PickleMachine::unquote(const std::string& literal) {
  if (literal.size() < 2 || literal.front() != literal.back() ||
      (literal.front() != '\'' && literal.front() != '"'))
    fail(ErrorCode::corrupt, "a string without quotes");
  std::string out;
  for (std::size_t i = 1; i + 1 < literal.size(); ++i) {
    if (literal[i] != '\\') {
      out += literal[i];
      continue;
    }
    if (++i + 1 >= literal.size()) fail(ErrorCode::corrupt, "a string ends in an escape");
    switch (literal[i]) {
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'x': {
        const std::int64_t code = hexadecimal(literal, i + 1, 2);
        if (code < 0 || i + 3 >= literal.size())
          fail(ErrorCode::corrupt, "a string with a broken \\x escape");
        out += static_cast<char>(code);
        i += 2;
        break;
      }
      default: out += literal[i];
    }
  }
  return out;
}

// Python's raw-unicode-escape: bytes are Latin-1, \uXXXX and \UXXXXXXXX stand for other characters.
std::string PickleMachine::unescape(const std::string& line) {
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size() && (line[i + 1] == 'u' || line[i + 1] == 'U')) {
      const std::size_t digits = line[i + 1] == 'u' ? 4 : 8;
      const std::int64_t code = hexadecimal(line, i + 2, digits);
      if (code < 0 || code > 0x10FFFF) fail(ErrorCode::corrupt, "a string with a broken \\u escape");
      append_utf8(out, static_cast<std::uint32_t>(code));
      i += 1 + digits;
    } else {
      append_utf8(out, static_cast<std::uint8_t>(line[i]));
    }
  }
  return out;
}

void PickleMachine::push_global(const std::string& module, const std::string& name) {
  const std::string global = module + "." + name;
  const GlobalPolicy policy = policy_of(module, name);
  if (policy == GlobalPolicy::forbidden)
    fail(ErrorCode::unsupported, "it asks for " + shown(global) + ", " + std::string(kKnownGlobals) +
                                     ": the file is not to be trusted");
  charge(global.size());
  Value& value = make(policy == GlobalPolicy::known ? Kind::global : Kind::opaque);
  value.text = global;
  stack_.push_back(&value);
}

Value* PickleMachine::opaque(const std::string& global) {
  charge(global.size());
  Value& value = make(Kind::opaque);
  value.text = global;
  return &value;
}

Value* PickleMachine::call(const Value& function, const std::vector<const Value*>& arguments) {
  if (function.kind == Kind::opaque) return opaque(function.text);
  if (function.kind != Kind::global)
    fail(ErrorCode::corrupt, "a call of " + std::string(to_string(function.kind)) + ", expected a global");
  const std::string& name = function.text;
  if (name == "collections.OrderedDict") return ordered_dict(arguments);
  if (name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor")
    return rebuild_tensor(name, arguments);
  if (name == "torch._utils._rebuild_parameter") {
    if (arguments.empty()) fail(ErrorCode::corrupt, name + " without arguments, expected a tensor");
    const Value& data = *arguments.front();
    if (data.kind == Kind::opaque) return opaque(data.text);
    if (data.kind != Kind::tensor)
      fail(ErrorCode::corrupt, name + " of " + std::string(to_string(data.kind)) + ", expected a tensor");
    charge(kTensorBytes);
    Value& parameter = make(Kind::tensor);
    parameter.tensor = std::make_unique<TensorFields>(*data.tensor);
    return &parameter;
  }
  if (name == "torch._tensor._rebuild_from_type_v2") return rebuild_subclass(name, arguments);
  if (name == "torch.storage._load_from_bytes" && limits_.storages_in_bytes)
    return storage_in_bytes(arguments);
  if (name.ends_with("numeric._frombuffer")) return array_of_buffer(arguments);
  if (name.ends_with("multiarray._reconstruct")) return &make(Kind::array);
  if (name == "numpy.dtype") return dtype(arguments);
  if (name == "_codecs.encode") return encode(arguments);
  return opaque(name);  // a class that torch and numpy name but do not call
}

// OrderedDict(), or of a list of pairs.
Value* PickleMachine::ordered_dict(const std::vector<const Value*>& arguments) {
  Value& dict = make(Kind::dict);
  if (arguments.empty()) return &dict;
  const Value& pairs = *arguments.front();
  if (pairs.kind == Kind::opaque) return opaque(pairs.text);
  if (pairs.kind != Kind::list && pairs.kind != Kind::tuple)
    fail(ErrorCode::corrupt,
         "OrderedDict of " + std::string(to_string(pairs.kind)) + ", expected a list of pairs");
  charge(pairs.items.size() * 2 * sizeof(void*));
  for (const Value* pair : pairs.items) {
    if ((pair->kind != Kind::list && pair->kind != Kind::tuple) || pair->items.size() != 2)
      fail(ErrorCode::corrupt, "OrderedDict of a list that does not hold pairs");
    dict.items.push_back(pair->items[0]);
    dict.items.push_back(pair->items[1]);
  }
  return &dict;
}

std::vector<std::uint64_t> PickleMachine::dimensions(const Value& tuple, const char* what) {
  if (tuple.kind != Kind::tuple && tuple.kind != Kind::list)
    fail(ErrorCode::corrupt,
         std::string(what) + " is " + std::string(to_string(tuple.kind)) + ", expected a tuple of integers");
  if (tuple.items.size() > kMaxRank)
    fail(ErrorCode::limit, std::string(what) + " has " + std::to_string(tuple.items.size()) +
                               " dimensions, expected at most " + std::to_string(kMaxRank));
  std::vector<std::uint64_t> out;
  for (const Value* item : tuple.items) {
    if (item->kind != Kind::integer || item->integer < 0)
      fail(ErrorCode::corrupt, std::string(what) + " has " +
                                   (item->kind == Kind::integer ? std::to_string(item->integer)
                                                                : std::string(to_string(item->kind))) +
                                   ", expected integers of at least 0");
    out.push_back(static_cast<std::uint64_t>(item->integer));
  }
  return out;
}

// (storage, offset, size, stride, ...): what follows is autograd's.
Value* PickleMachine::rebuild_tensor(const std::string& function,
                                     const std::vector<const Value*>& arguments) {
  if (arguments.size() < 4)
    fail(ErrorCode::corrupt, function + " has " + std::to_string(arguments.size()) +
                                 " arguments, expected storage, offset, size, stride");
  const Value& storage = *arguments[0];
  if (storage.kind == Kind::opaque) return opaque(storage.text);
  const Value& offset = *arguments[1];
  if (storage.kind != Kind::storage || offset.kind != Kind::integer || offset.integer < 0)
    fail(ErrorCode::corrupt, function + " of " + std::string(to_string(storage.kind)) + " and " +
                                 std::string(to_string(offset.kind)) +
                                 ", expected a storage and an offset of at least 0");
  auto fields = std::make_unique<TensorFields>();
  fields->type = storage.type;
  fields->storage = &storage;
  fields->offset = static_cast<std::uint64_t>(offset.integer);
  fields->shape = dimensions(*arguments[2], "a tensor's size");
  fields->strides = dimensions(*arguments[3], "a tensor's stride");
  if (fields->shape.size() != fields->strides.size())
    fail(ErrorCode::corrupt, "a tensor of " + std::to_string(fields->shape.size()) + " dimensions with " +
                                 std::to_string(fields->strides.size()) + " strides");
  charge(kTensorBytes);
  Value& value = make(Kind::tensor);
  value.tensor = std::move(fields);
  return &value;
}

// (function, class, its arguments, state): a tensor with attributes, or of a class derived from it. The
// function is one of torch's own, never this one again: the depth of calls is two.
Value* PickleMachine::rebuild_subclass(const std::string& function,
                                       const std::vector<const Value*>& arguments) {
  if (arguments.size() < 3 || (arguments[0]->kind != Kind::global && arguments[0]->kind != Kind::opaque) ||
      arguments[2]->kind != Kind::tuple)
    fail(ErrorCode::corrupt, function + " without (function, class, arguments)");
  const Value& rebuild = *arguments[0];
  if (!rebuild.text.starts_with("torch._utils.")) return opaque(rebuild.text);
  return call(rebuild, arguments[2]->items);
}

// What torch.save of one storage wrote. Charged at each call: the same bytes can be asked for many times.
Value* PickleMachine::storage_in_bytes(const std::vector<const Value*>& arguments) {
  if (arguments.size() != 1 || arguments[0]->kind != Kind::bytes)
    fail(ErrorCode::corrupt, "torch.storage._load_from_bytes of other than one bytes object");
  const std::string& bytes = arguments[0]->text;
  charge(bytes.size());
  constexpr PickleLimits kInner{.max_bytes = 1 << 16, .max_values = 1000};  // torch writes 40 values
  const MemorySource source(in_.name() + ": pickle, byte " + std::to_string(in_.position()) + ": a storage",
                            std::as_bytes(std::span(bytes)));
  const LegacyFile file = read_legacy(source, kInner);
  const Value& root = file.object.root();
  if (root.kind != Kind::storage || file.places.size() != 1)
    fail(ErrorCode::unsupported,
         "torch.storage._load_from_bytes of " + std::string(to_string(root.kind)) + ", expected one storage");
  const std::uint64_t held = file.places.begin()->second.bytes / size_of(root.type);
  if (file.places.begin()->first != root.text || held != static_cast<std::uint64_t>(root.integer))
    fail(ErrorCode::corrupt, "storage " + shown(root.text) + " holds " + std::to_string(held) +
                                 " elements, expected " + std::to_string(root.integer));
  Value& storage = make(Kind::storage);
  storage.type = root.type;
  storage.integer = root.integer;
  storage.items.push_back(arguments[0]);
  return &storage;
}

// torch's ('storage', class, key, location, elements), in older files with a view, which is None.
Value* PickleMachine::persistent(const Value& id) {
  if (id.kind != Kind::tuple || id.items.empty() || !id.items[0]->is_text("storage")) {
    // ('module', class, source file, source): a whole pickled model.
    if (id.kind == Kind::tuple && id.items.size() >= 2 && id.items[0]->is_text("module") &&
        id.items[1]->kind == Kind::opaque)
      return opaque(id.items[1]->text);
    fail(ErrorCode::corrupt,
         "a persistent id that is not torch's ('storage', class, key, location, elements)");
  }
  if (id.items.size() < 5 || (id.items[2]->kind != Kind::string) || id.items[4]->kind != Kind::integer ||
      id.items[4]->integer < 0)
    fail(ErrorCode::corrupt, "a storage that is not described by class, key, location and element count");
  if (id.items.size() > 5 && id.items[5]->kind != Kind::none)
    fail(ErrorCode::unsupported, "storage " + shown(id.items[2]->text) + " is a view of another storage");
  const Value& type = *id.items[1];
  if (type.kind == Kind::opaque) return opaque(type.text);
  const ElementType element = type.kind == Kind::global ? storage_type(type.text) : ElementType::other;
  if (element == ElementType::other)
    fail(ErrorCode::corrupt, "the class of storage " + shown(id.items[2]->text) + " is " +
                                 (type.kind == Kind::global ? type.text : std::string(to_string(type.kind))) +
                                 ", expected torch.FloatStorage or its like");
  charge(id.items[2]->text.size());
  Value& storage = make(Kind::storage);
  storage.type = element;
  storage.text = id.items[2]->text;
  storage.integer = id.items[4]->integer;
  return &storage;
}

// dtype("f4", align, copy); its byte order follows by BUILD.
Value* PickleMachine::dtype(const std::vector<const Value*>& arguments) {
  Value& dtype = make(Kind::dtype);
  if (arguments.empty() || (arguments[0]->kind != Kind::string && arguments[0]->kind != Kind::bytes))
    fail(ErrorCode::corrupt, "numpy.dtype without a name such as \"f4\"");
  std::string_view name = arguments[0]->text;
  if (!name.empty() && (name[0] == '<' || name[0] == '|' || name[0] == '=' || name[0] == '>')) {
    dtype.big_endian = name[0] == '>';
    name.remove_prefix(1);
  }
  if (name == "f4") dtype.type = ElementType::f32;
  if (name == "f8") dtype.type = ElementType::f64;
  if (name == "f2") dtype.type = ElementType::f16;
  if (name == "i8") dtype.type = ElementType::i64;
  if (name == "i4") dtype.type = ElementType::i32;
  if (name == "i2") dtype.type = ElementType::i16;
  if (name == "i1") dtype.type = ElementType::i8;
  if (name == "u1") dtype.type = ElementType::u8;
  if (name == "b1") dtype.type = ElementType::boolean;
  dtype.object_dtype = name == "O8" || name == "O" || name == "O4";
  return &dtype;
}

// _codecs.encode(text, "latin1"): how protocol 2 writes bytes.
Value* PickleMachine::encode(const std::vector<const Value*>& arguments) {
  if (arguments.size() != 2 || arguments[0]->kind != Kind::string || !arguments[1]->is_text("latin1"))
    fail(ErrorCode::unsupported, "_codecs.encode of other than a string to latin1");
  const std::string& text = arguments[0]->text;
  charge(text.size());
  Value& bytes = make(Kind::bytes);
  bytes.text.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<std::uint8_t>(text[i]);
    if (first < 0x80) {
      bytes.text += static_cast<char>(first);
      continue;
    }
    // Latin-1's upper half is U+0080 to U+00FF: two bytes, the first C2 or C3.
    const auto second = i + 1 < text.size() ? static_cast<std::uint8_t>(text[++i]) : std::uint8_t{0};
    if ((first != 0xC2 && first != 0xC3) || (second & 0xC0) != 0x80)
      fail(ErrorCode::corrupt, "_codecs.encode of text that has no latin1 form");
    bytes.text += static_cast<char>((first & 3) << 6 | (second & 0x3F));
  }
  return &bytes;
}

// The state of dicts (torch keeps `_metadata` there) and of tensors does not concern their values.
void PickleMachine::build(Value& object, const Value& state) {
  switch (object.kind) {
    case Kind::dtype: return build_dtype(object, state);
    case Kind::array: return build_array(object, state);
    case Kind::dict:
    case Kind::tensor:
    case Kind::opaque: return;
    default:
      fail(ErrorCode::corrupt, "BUILD on " + std::string(to_string(object.kind)) + ", expected an object");
  }
}

void PickleMachine::build_dtype(Value& dtype, const Value& state) {
  if (state.kind != Kind::tuple || state.items.size() < 2 ||
      (state.items[1]->kind != Kind::string && state.items[1]->kind != Kind::bytes))
    fail(ErrorCode::corrupt, "the state of a numpy.dtype is not (version, byte order, ...)");
  dtype.big_endian = state.items[1]->text == ">";
}

// (version, shape, dtype, Fortran order, data)
void PickleMachine::build_array(Value& array, const Value& state) {
  if (state.kind != Kind::tuple || state.items.size() != 5 || state.items[2]->kind != Kind::dtype)
    fail(ErrorCode::corrupt, "the state of a numpy.ndarray is not (version, shape, dtype, order, data)");
  const Value& order = *state.items[3];
  if (order.kind != Kind::boolean && order.kind != Kind::integer)
    fail(ErrorCode::corrupt, "the order of a numpy.ndarray is " + std::string(to_string(order.kind)));
  fill_array(array, *state.items[1], *state.items[2], order.integer != 0, *state.items[4]);
}

// numpy's _frombuffer(data, dtype, shape, "C" or "F"): arrays in protocol 5.
Value* PickleMachine::array_of_buffer(const std::vector<const Value*>& arguments) {
  if (arguments.size() != 4 || arguments[1]->kind != Kind::dtype ||
      (!arguments[3]->is_text("C") && !arguments[3]->is_text("F")))
    fail(ErrorCode::unsupported, "a numpy.ndarray that is not made of (data, dtype, shape, \"C\" or \"F\")");
  if (arguments[1]->object_dtype) fail(ErrorCode::corrupt, "an array of objects made of bytes");
  Value& array = make(Kind::array);
  fill_array(array, *arguments[2], *arguments[1], arguments[3]->is_text("F"), *arguments[0]);
  return &array;
}

void PickleMachine::fill_array(Value& array, const Value& shape, const Value& dtype, bool fortran,
                               const Value& data) {
  auto fields = std::make_unique<TensorFields>();
  fields->shape = dimensions(shape, "an array's shape");
  const std::uint64_t count = element_count(fields->shape, in_.name());
  fields->strides = packed_strides(fields->shape, fortran);
  array.items.clear();
  if (dtype.object_dtype) {
    if (data.kind != Kind::list || data.items.size() != count)
      fail(ErrorCode::corrupt, "an array of " + std::to_string(count) + " objects without as many values");
    array.items.push_back(&data);
  } else if (dtype.type != ElementType::other) {
    if (dtype.big_endian) fail(ErrorCode::unsupported, "a big-endian array, expected little-endian");
    if ((data.kind != Kind::bytes && data.kind != Kind::string) ||
        data.text.size() % size_of(dtype.type) != 0 || data.text.size() / size_of(dtype.type) != count)
      fail(ErrorCode::corrupt, "an array of " + shape_text(fields->shape) + " " +
                                   std::string(to_string(dtype.type)) + " with " +
                                   std::to_string(data.text.size()) + " bytes");
    fields->type = dtype.type;
    fields->storage = &data;
  }
  charge(kTensorBytes);
  array.tensor = std::move(fields);
}

}  // namespace adaface::checkpoint
