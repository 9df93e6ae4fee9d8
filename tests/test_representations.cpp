#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "tools/convert/representations.h"

#include <doctest/doctest.h>

#include <random>

#include "src/error.hpp"
#include "tests/golden.h"
#include "tools/convert/pickle.h"

namespace {

namespace fs = std::filesystem;
using namespace adaface;
using namespace adaface::checkpoint;
using namespace std::string_literals;

using adaface::testing::source_root;

std::string fixture(const std::string& name) {
  const std::vector<std::byte> bytes =
      io::read_file(source_root() / "tests/data/representations" / name, 1 << 20);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<Representation> read(const std::string& bytes) {
  return read_representations(MemorySource("x.pkl", std::as_bytes(std::span(bytes))));
}

// The message of the Error that reading throws; "" when it throws none. Anything else passes through.
std::string error_of(const std::string& bytes) {
  try {
    read(bytes);
  } catch (const Error& error) {
    CHECK(std::string_view(error.what()).starts_with("x.pkl: "));
    CHECK((error.code() == ErrorCode::corrupt || error.code() == ErrorCode::unsupported ||
           error.code() == ErrorCode::limit));
    return error.what();
  }
  return "";
}

#define CHECK_CONTAINS(text, part) CHECK_MESSAGE((text).find(part) != std::string::npos, "got: ", (text))

// Value i of entry n as tests/data/representations/make.py fills it.
float made(int n, int i) {
  return static_cast<float>((i * 7 + n) % 61 - 30) / 2;
}

// ---- Pickles by hand

std::string counted(char opcode, const std::string& text) {
  std::string out(1, opcode);
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(text.size() >> shift & 0xff);
  return out + text;
}
std::string text(const std::string& value) {
  return counted('X', value);
}
std::string number(std::int32_t value) {
  std::string out = "J";
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift & 0xff);
  return out;
}
std::string from_bytes(const std::string& bytes) {
  return "ctorch.storage\n_load_from_bytes\n" + counted('B', bytes) + "\x85R";
}

// A legacy file whose object is `object`, with one storage of `data`, whose elements have `size` bytes.
std::string legacy(const std::string& object, const std::string& data, std::size_t size = 4) {
  std::string out =
      "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02"s +
      object + ".\x80\x02]" + text("7") + "a.";
  for (int shift = 0; shift < 64; shift += 8)
    out += static_cast<char>(std::uint64_t{data.size() / size} >> shift & 0xff);
  return out + data;
}
std::string storage(const std::string& type, int elements) {
  return std::string("(") + text("storage") + "ctorch\n" + type + "\n" + text("7") + text("cpu") +
         number(elements) + "NtQ";
}
std::string tensor(const std::string& of, int offset = 0, const std::string& shape = "K\x01M\x00\x02\x86"s,
                   const std::string& strides = "M\x00\x02K\x01\x86"s) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + of + number(offset) + shape + strides + "\x89NtR";
}
std::string pickle_of(const std::string& entries) {
  return "\x80\x02](" + entries + "e.";
}
std::string entry_of(const std::string& path, const std::string& embedding) {
  return "](" + path + embedding + "e";
}
std::string floats(float value, std::size_t count = 512) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out.append(reinterpret_cast<const char*>(&value), sizeof value);
  return out;
}
// Three entries, the second with this embedding.
std::string second(const std::string& embedding) {
  const std::string good = tensor(from_bytes(legacy(storage("FloatStorage", 512), floats(1))));
  return pickle_of(entry_of(text("a.jpg"), good) + entry_of(text("b.jpg"), embedding) +
                   entry_of(text("c.jpg"), good));
}

}  // namespace

TEST_CASE("what PyTorch and NumPy wrote") {
  for (const char* name : {"article.pkl", "tuples_flat_protocol2.pkl", "protocol5.pkl", "kinds.pkl",
                           "types.pkl", "views.pkl", "numpy.pkl", "numpy_protocol5.pkl"}) {
    CAPTURE(name);
    const std::vector<Representation> found = read(fixture(name));
    REQUIRE(found.size() == 3);
    CHECK(found[0].path == "people/anna/1.jpg");
    CHECK(found[1].path == "people/bj\xc3\xb6rn/2.jpg");
    CHECK(found[2].path ==
          "people/c d/\xff"
          "3.jpg");
    int wrong = 0;
    for (int n = 0; n < 3; ++n)
      for (int i = 0; i < 512; ++i) wrong += found[n].values[i] != made(n, i);
    CHECK(wrong == 0);
  }
}

TEST_CASE("pickles by hand: what the fixtures' writers do not write") {
  CHECK(read("].").empty());
  CHECK(read(second(tensor(from_bytes(legacy(storage("FloatStorage", 512), floats(2)))))).at(1).values[511] ==
        2);
  // Of a GPU, by an older torch; a row in the middle of a batch; every second value.
  std::string gpu = storage("FloatStorage", 512);
  gpu.replace(gpu.find("ctorch\n"), 7, "ctorch.cuda\n");
  CHECK(read(second(tensor(from_bytes(legacy(gpu, floats(3)))))).at(1).values[0] == 3);
  const std::string batch =
      from_bytes(legacy(storage("FloatStorage", 1536), floats(4, 512) + floats(5, 1024)));
  CHECK(read(second(tensor(batch, 512))).at(1).values == read(second(tensor(batch, 1024))).at(1).values);
  CHECK(read(second(tensor(batch, 511, "M\x00\x02\x85"s, "K\x02\x85"))).at(1).values[0] == 4);
  CHECK(read(second(tensor(batch, 511, "M\x00\x02\x85"s, "K\x02\x85"))).at(1).values[1] == 5);
}

TEST_CASE("nothing is executed") {
  const fs::path ran = "/tmp/adaface-representations-ran";
  fs::remove(ran);
  CHECK_CONTAINS(error_of(fixture("evil.pkl")), "posix.system");
  CHECK_CONTAINS(error_of(fixture("evil_storage.pkl")), "posix.system");
  CHECK_CONTAINS(error_of(second("cos\nsystem\n" + text("touch /tmp/adaface-representations-ran") + "\x85R")),
                 "os.system");
  CHECK_CONTAINS(error_of(second("cbuiltins\neval\n" + text("1") + "\x85R")), "builtins.eval");
  CHECK(!fs::exists(ran));
}

TEST_CASE("a storage inside a storage's bytes is not followed") {
  std::string inner = legacy(storage("FloatStorage", 512), floats(1));
  for (int depth = 0; depth < 5; ++depth) {
    inner = legacy(from_bytes(inner), floats(1));
    CHECK_CONTAINS(error_of(second(tensor(from_bytes(inner)))), "a storage: storage key \"7\" is not used");
  }
  // The function that calls others does not call itself, however deep its arguments lie.
  std::string deep = ")";
  const std::string again = "ctorch._tensor\n_rebuild_from_type_v2\n";
  for (int i = 0; i < 10'000; ++i) deep = "(" + again + "N" + deep + "t";
  CHECK_CONTAINS(error_of(second(again + deep + "R")), "made by torch._tensor._rebuild_from_type_v2");
  // The same bytes again and again: reading them is charged.
  std::string many = counted('B', legacy(storage("FloatStorage", 1 << 20), floats(1, 1 << 20))) + "q\x01";
  for (int i = 0; i < 300; ++i) many += "ctorch.storage\n_load_from_bytes\nh\x01\x85R";
  CHECK_CONTAINS(error_of("](" + many + "e."), "its strings and copies pass");
}

TEST_CASE("entries that are none are named by number, with what was expected") {
  const std::string good = tensor(from_bytes(legacy(storage("FloatStorage", 512), floats(1))));
  const std::string data = from_bytes(legacy(storage("FloatStorage", 512), floats(1)));
  CHECK_CONTAINS(error_of("}."), "is a dict, expected a list of [path, tensor]");
  CHECK_CONTAINS(error_of("K\x01."), "is an integer, expected a list");
  CHECK_CONTAINS(error_of("]q\0h\0a."s), "entry 1 is a list of 1 values, expected [path, tensor]");
  CHECK_CONTAINS(error_of(pickle_of(text("a.jpg"))), "entry 1 is a string, expected [path, tensor]");
  CHECK_CONTAINS(error_of(pickle_of(entry_of(text("a"), good) + "](" + text("b") + good + "Ne")),
                 "entry 2 is a list of 3 values");
  CHECK_CONTAINS(error_of(pickle_of(entry_of(counted('B', "a.jpg"), good))),
                 "entry 1: its path is bytes, expected a string");
  CHECK_CONTAINS(error_of(pickle_of(entry_of("cpathlib\nPosixPath\n" + text("a") + "\x85R", good))),
                 "entry 1: its path is made by pathlib.PosixPath");
  CHECK_CONTAINS(error_of(pickle_of(entry_of(text(""), good))), "entry 1: its path is empty");
  CHECK_CONTAINS(error_of(pickle_of(entry_of(text("a\0b"s), good))), "entry 1: its path has a NUL byte");

  const std::string expected = ", expected a tensor of 1x512 or 512 floating numbers";
  CHECK_CONTAINS(error_of(second("N")), "entry 2: its embedding is None" + expected);
  CHECK_CONTAINS(error_of(second("]")), "entry 2: its embedding is a list" + expected);
  CHECK_CONTAINS(error_of(second(data)), "entry 2: its embedding is a storage" + expected);
  CHECK_CONTAINS(error_of(second("ctorch._utils\n_rebuild_sparse_tensor\n)R")),
                 "entry 2: its embedding is made by torch._utils._rebuild_sparse_tensor");
  CHECK_CONTAINS(error_of(second(tensor(data, 0, "K\x02M\x00\x01\x86"s, "M\x00\x01K\x01\x86"s))),
                 "entry 2: its embedding is 2x256 float32" + expected);
  CHECK_CONTAINS(error_of(second(tensor(data, 0, "M\xff\x01\x85"s, "K\x01\x85"))),
                 "is 511 float32" + expected);
  CHECK_CONTAINS(error_of(second(tensor(data, 0, ")", ")"))), "is scalar float32" + expected);
  CHECK_CONTAINS(error_of(second(tensor(data, 0, "K\x01K\x01M\x00\x02\x87"s, "K\x01K\x01K\x01\x87"))),
                 "is 1x1x512 float32" + expected);
  const std::string longs = from_bytes(legacy(storage("LongStorage", 512), std::string(4096, '\0'), 8));
  CHECK_CONTAINS(error_of(second(tensor(longs))), "entry 2: its embedding is 1x512 int64" + expected);

  // A tensor that torch.save wrote: its numbers lie in another part of the file.
  CHECK_CONTAINS(error_of(second(tensor(storage("FloatStorage", 512)))),
                 "entry 2: the numbers of its tensor are not in the file (storage 7)");
  CHECK_CONTAINS(error_of("PK\x03\x04zzzz"), "is a ZIP archive, as torch.save writes");
  CHECK_CONTAINS(error_of(second(tensor(data)) + "x"), "1 bytes follow the pickle");

  // Tensors outside their storage.
  CHECK_CONTAINS(error_of(second(tensor(data, 1))), "\"entry 2\" of 1x512 float32 reaches element 1+512");
  CHECK_CONTAINS(error_of(second(tensor(data, 0, "M\x00\x02\x85"s, "K\x02\x85"))), "which holds 512");

  // Storages that are not what they say.
  CHECK_CONTAINS(error_of(second(tensor(from_bytes(legacy(storage("FloatStorage", 511), floats(1)))))),
                 "storage 7 holds 512 elements, expected 511");
  CHECK_CONTAINS(error_of(second(tensor(from_bytes(legacy(storage("FloatStorage", 512), floats(1)) + "x")))),
                 "a storage: 1 bytes follow the last storage");
  CHECK_CONTAINS(error_of(second(tensor(from_bytes(legacy("N", floats(1)))))), "is not used by the pickle");
  CHECK_CONTAINS(error_of(second(tensor(from_bytes("")))), "a storage: the pickle is cut off");
  CHECK_CONTAINS(error_of(second(tensor(from_bytes("K\x01.")))), "torch's magic number");

  const std::uint32_t bad[] = {0x7fc00000, 0x7f800000, 0xff800000};
  for (const std::uint32_t bits : bad) {
    std::string values = floats(1);
    values.replace(400, 4, reinterpret_cast<const char*>(&bits), 4);
    CHECK_CONTAINS(error_of(second(tensor(from_bytes(legacy(storage("FloatStorage", 512), values))))),
                   "entry 2: value 100 of its tensor is not finite, expected finite numbers");
  }
  std::string doubles(4096, '\0');
  const double huge = 1e300;
  doubles.replace(8, 8, reinterpret_cast<const char*>(&huge), 8);
  CHECK_CONTAINS(error_of(second(tensor(from_bytes(legacy(storage("DoubleStorage", 512), doubles, 8))))),
                 "entry 2: value 1 of its tensor is not finite");
}

TEST_CASE("every truncation is an error") {
  for (const char* name : {"article.pkl", "tuples_flat_protocol2.pkl", "numpy_protocol5.pkl"}) {
    const std::string whole = fixture(name);
    int accepted = 0;
    for (std::size_t size = 0; size < whole.size(); ++size)
      accepted += error_of(whole.substr(0, size)).empty();
    CHECK_MESSAGE(accepted == 0, name);
  }
}

TEST_CASE("a flipped bit is an error or another value, never anything else") {
  constexpr unsigned kSeed = 7;
  MESSAGE("seed ", kSeed);
  std::mt19937 random(kSeed);
  for (const char* name : {"article.pkl", "kinds.pkl", "numpy.pkl"}) {
    const std::string whole = fixture(name);
    for (int run = 0; run < 4000; ++run) {
      std::string bytes = whole;
      // The values fill most of the file; its structure lies in the first 300 bytes of each entry.
      const std::size_t range = run % 2 ? bytes.size() : 300;
      const std::size_t at = random() % range;
      bytes[at] = static_cast<char>(bytes[at] ^ 1 << random() % 8);
      error_of(bytes);
    }
  }
}

TEST_CASE("storages in bytes are read only where they are asked for") {
  const std::string bytes = from_bytes(legacy(storage("FloatStorage", 2), floats(1, 2))) + ".";
  const MemorySource source("x.pkl", std::as_bytes(std::span(bytes)));
  CHECK(read_pickle(source).root().kind == Kind::opaque);
  const Pickle read = read_pickle(source, 0, {.storages_in_bytes = true});
  REQUIRE(read.root().kind == Kind::storage);
  CHECK(read.root().integer == 2);
}
