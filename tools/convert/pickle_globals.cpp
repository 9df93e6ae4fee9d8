#include "tools/convert/pickle_globals.h"

#include <algorithm>
#include <array>
#include <utility>

namespace adaface::checkpoint {
namespace {

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& names, std::string_view name) noexcept {
  return std::find(names.begin(), names.end(), name) != names.end();
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kFunctions = {{
    {"collections", "OrderedDict"},
    {"torch._utils", "_rebuild_tensor_v2"},
    {"torch._utils", "_rebuild_tensor"},
    {"torch._utils", "_rebuild_parameter"},
    {"torch._tensor", "_rebuild_from_type_v2"},
    {"torch.storage", "_load_from_bytes"},
    {"numpy.core.multiarray", "_reconstruct"},
    {"numpy._core.multiarray", "_reconstruct"},
    {"numpy.multiarray", "_reconstruct"},
    {"numpy.core.numeric", "_frombuffer"},
    {"numpy._core.numeric", "_frombuffer"},
    {"numpy", "ndarray"},
    {"numpy", "dtype"},
    {"_codecs", "encode"},
}};

constexpr std::array<std::pair<std::string_view, ElementType>, 10> kStorages = {{
    {"FloatStorage", ElementType::f32},
    {"HalfStorage", ElementType::f16},
    {"BFloat16Storage", ElementType::bf16},
    {"DoubleStorage", ElementType::f64},
    {"LongStorage", ElementType::i64},
    {"IntStorage", ElementType::i32},
    {"ShortStorage", ElementType::i16},
    {"CharStorage", ElementType::i8},
    {"ByteStorage", ElementType::u8},
    {"BoolStorage", ElementType::boolean},
}};

// What only an attack asks for: modules that start programs, load code, reach files or the network. Nothing
// that a pickle names is ever run, so this list protects nobody here: it names the attack instead of passing
// over it, since the same file may be meant for a reader that does run it.
constexpr std::array<std::string_view, 30> kForbiddenPackages = {
    "os",     "posix",   "nt",      "subprocess", "_posixsubprocess", "sys",
    "shutil", "socket",  "_socket", "runpy",      "importlib",        "_frozen_importlib",
    "pty",    "ctypes",  "_ctypes", "webbrowser", "popen2",           "multiprocessing",
    "pickle", "_pickle", "marshal", "ftplib",     "telnetlib",        "smtplib",
    "http",   "urllib",  "urllib2", "httplib",    "pkgutil",          "zipimport"};
// Alone, not with what lies below them: programs have packages of these names too.
constexpr std::array<std::string_view, 12> kForbiddenModules = {
    "code",   "codeop",   "commands", "imp",      "pdb", "bdb",
    "timeit", "cProfile", "profile",  "requests", "pip", "linecache"};

// Not getattr: pickles of bound methods ask for it.
constexpr std::array<std::string_view, 17> kForbiddenBuiltins = {
    "eval",    "exec",   "execfile",   "compile", "open",      "file",       "setattr", "delattr", "vars",
    "globals", "locals", "__import__", "input",   "raw_input", "breakpoint", "apply",   "reload"};

bool is_builtins(std::string_view module) noexcept {
  return module == "builtins" || module == "__builtin__" || module == "__builtins__";
}

// Tensors on a GPU had classes of their own before torch 2.
bool holds_storages(std::string_view module) noexcept {
  return module == "torch" || module == "torch.cuda";
}

}  // namespace

ElementType storage_type(std::string_view global) noexcept {
  const std::size_t dot = global.rfind('.');
  if (dot == std::string_view::npos || !holds_storages(global.substr(0, dot))) return ElementType::other;
  for (const auto& [name, type] : kStorages)
    if (name == global.substr(dot + 1)) return type;
  return ElementType::other;
}

GlobalPolicy policy_of(std::string_view module, std::string_view name) noexcept {
  if (contains(kForbiddenPackages, module.substr(0, module.find('.'))) || contains(kForbiddenModules, module))
    return GlobalPolicy::forbidden;
  // Protocol 4 walks attributes: ("torch.serialization", "os.system") is os.system.
  bool builtin = is_builtins(module);
  for (std::string_view rest = name; !rest.empty();) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    if (dot != std::string_view::npos && contains(kForbiddenPackages, part)) return GlobalPolicy::forbidden;
    if (builtin && contains(kForbiddenBuiltins, part)) return GlobalPolicy::forbidden;
    builtin = builtin || is_builtins(part);
    rest = dot == std::string_view::npos ? std::string_view{} : rest.substr(dot + 1);
  }
  for (const auto& [known_module, known_name] : kFunctions)
    if (known_module == module && known_name == name) return GlobalPolicy::known;
  for (const auto& [storage, type] : kStorages)
    if (holds_storages(module) && name == storage) return GlobalPolicy::known;
  return GlobalPolicy::opaque;
}

}  // namespace adaface::checkpoint
