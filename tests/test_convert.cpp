#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "src/error.hpp"
#include "tests/golden.h"
#include "tools/convert/checkpoint.h"
#include "tools/convert/convert.h"
#include "tools/convert/listing.h"
#include "tools/convert/network.h"
#include "tools/convert/pickle.h"
#include "tools/convert/pickle_globals.h"
#include "tools/synthetic/synthetic.h"
#include "tools/synthetic/values.h"
#include "weights/afw.h"

namespace {

namespace fs = std::filesystem;
using namespace adaface;
using namespace adaface::checkpoint;
using namespace std::string_literals;

using adaface::testing::files_in;
using adaface::testing::have;
using adaface::testing::Scratch;
using adaface::testing::shared_directory;
using adaface::testing::source_root;

fs::path fixture(const std::string& name) {
  return source_root() / "tests/data/checkpoints" / name;
}

std::string bytes_of(const fs::path& path) {
  const std::vector<std::byte> bytes = io::read_file(path, 1 << 24);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

MemorySource memory(const std::string& bytes) {
  return {"x", std::as_bytes(std::span(bytes))};
}

// The message of the Error that `action` throws; "" when it throws none. Any other exception passes through.
template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string open_error(const std::string& bytes) {
  return error_of([&] {
    const MemorySource source("x", std::as_bytes(std::span(bytes)));
    const auto checkpoint = open_checkpoint(source);
    for (const TensorEntry& tensor : checkpoint->tensors())
      if (is_floating(tensor.type)) checkpoint->read(tensor, [](std::span<const float>) {});
  });
}

#define CHECK_CONTAINS(text, part) CHECK_MESSAGE((text).find(part) != std::string::npos, "got: ", (text))

const TensorEntry& entry(const Checkpoint& checkpoint, const std::string& name) {
  for (const TensorEntry& tensor : checkpoint.tensors())
    if (tensor.name == name) return tensor;
  FAIL("no tensor " << name);
  std::abort();
}

std::vector<float> read_all(Checkpoint& checkpoint, const std::string& name) {
  std::vector<float> values;
  checkpoint.read(entry(checkpoint, name), [&](std::span<const float> piece) {
    values.insert(values.end(), piece.begin(), piece.end());
  });
  return values;
}

// Element i of tensor `number` as tests/data/checkpoints/make.py fills it.
float made(int number, int i) {
  return static_cast<float>((i * 7 + number) % 61 - 30) / 2;
}

std::vector<float> made_all(int number, int count) {
  std::vector<float> values;
  for (int i = 0; i < count; ++i) values.push_back(made(number, i));
  return values;
}

Pickle parse(const std::string& bytes) {
  return read_pickle(memory(bytes));
}
std::string pickle_error(const std::string& bytes) {
  return error_of([&] { parse(bytes); });
}

}  // namespace

namespace {

struct ZipEntry {
  std::string name, data;
  int method = 0, flags = 0;
  std::uint32_t claimed = 0;  // 0: the data's size
};

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

std::string zip(const std::vector<ZipEntry>& entries) {
  std::string out, directory;
  for (const ZipEntry& entry : entries) {
    std::uint32_t crc = ~0u;
    for (const char c : entry.data) {
      crc ^= static_cast<unsigned char>(c);
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    std::string shared;
    put(shared, 20, 2);
    put(shared, entry.flags, 2);
    put(shared, entry.method, 2);
    put(shared, 0x210000, 4);
    put(shared, ~crc, 4);
    for (int i = 0; i < 2; ++i) put(shared, entry.claimed ? entry.claimed : entry.data.size(), 4);
    put(shared, entry.name.size(), 2);
    put(shared, 0, 2);
    put(directory, 0x02014b50, 4);
    put(directory, 20, 2);
    directory += shared;
    put(directory, 0, 8);
    put(directory, 0, 2);
    put(directory, out.size(), 4);
    directory += entry.name;
    put(out, 0x04034b50, 4);
    out += shared + entry.name + entry.data;
  }
  const std::size_t start = out.size();
  out += directory;
  put(out, 0x06054b50, 4);
  put(out, 0, 4);
  put(out, entries.size(), 2);
  put(out, entries.size(), 2);
  put(out, directory.size(), 4);
  put(out, start, 4);
  put(out, 0, 2);
  return out;
}

}  // namespace

TEST_CASE("torch ZIP and legacy checkpoints of PyTorch give its values") {
  for (const char* name : {"bare.pt", "legacy.pth", "parameters.pt", "protocol4.pt"}) {
    CAPTURE(name);
    const FileSource source(fixture(name));
    const auto checkpoint = open_checkpoint(source);
    REQUIRE(checkpoint->tensors().size() == 3);
    CHECK(read_all(*checkpoint, "input_layer.0.weight") == made_all(0, 108));
    CHECK(read_all(*checkpoint, "body.0.weight") == made_all(1, 5));
    CHECK(entry(*checkpoint, "input_layer.0.weight").shape == std::vector<std::uint64_t>{4, 3, 3, 3});
    CHECK(entry(*checkpoint, "count").type == ElementType::i64);
    CHECK_CONTAINS(error_of([&] { read_all(*checkpoint, "count"); }), "is int64, expected float32");
  }
}

TEST_CASE("every floating type is read exactly") {
  const FileSource source(fixture("dtypes.pt"));
  const auto checkpoint = open_checkpoint(source);
  CHECK(read_all(*checkpoint, "half") == made_all(0, 12));
  CHECK(read_all(*checkpoint, "bfloat") == made_all(1, 12));
  CHECK(read_all(*checkpoint, "double") == made_all(2, 12));
  CHECK(read_all(*checkpoint, "single") == made_all(3, 12));
  CHECK(read_all(*checkpoint, "scalar") == std::vector<float>{1.5f});
  CHECK(read_all(*checkpoint, "empty").empty());
}

TEST_CASE("all 65536 halves convert to the float of the same value") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const std::uint16_t half = static_cast<std::uint16_t>(bits);
    float value;
    to_float(ElementType::f16, std::as_bytes(std::span(&half, 1)), {&value, 1});
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double sign = bits >> 15 ? -1 : 1;
    if (exponent == 31) {
      CHECK((fraction ? std::isnan(value) : std::isinf(value)));
    } else {
      const double expected =
          sign * (exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24));
      if (value != expected || std::signbit(value) != (bits >> 15 == 1))
        FAIL("half " << bits << " gave " << value);
    }
  }
  const double doubles[] = {1e300, -1e300, 0.1, 0x1.fffffefp127};
  float floats[4];
  to_float(ElementType::f64, std::as_bytes(std::span(doubles)), floats);
  CHECK(floats[0] == std::numeric_limits<float>::infinity());
  CHECK(floats[1] == -std::numeric_limits<float>::infinity());
  CHECK(floats[2] == 0.1f);
  CHECK(floats[3] == std::numeric_limits<float>::max());
}

TEST_CASE("transposed, sliced, expanded and shared views") {
  const FileSource source(fixture("views.pt"));
  const auto checkpoint = open_checkpoint(source);
  std::vector<float> transposed, sliced, expanded, permuted, channels_last = made_all(2, 120);
  for (int column = 0; column < 8; ++column)
    for (int row = 0; row < 6; ++row) transposed.push_back(made(0, row * 8 + column));
  for (int row : {1, 3})
    for (int column = 2; column < 7; ++column) sliced.push_back(made(0, row * 8 + column));
  for (int copy = 0; copy < 4; ++copy)
    for (int column = 0; column < 8; ++column) expanded.push_back(made(0, 24 + column));
  for (int k = 0; k < 4; ++k)
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 3; ++j) permuted.push_back(made(1, (i * 3 + j) * 4 + k));
  CHECK(read_all(*checkpoint, "base") == made_all(0, 48));
  CHECK(read_all(*checkpoint, "transposed") == transposed);
  CHECK(read_all(*checkpoint, "sliced") == sliced);
  CHECK(read_all(*checkpoint, "expanded") == expanded);
  CHECK(read_all(*checkpoint, "permuted") == permuted);
  CHECK(read_all(*checkpoint, "channels_last") == channels_last);
  CHECK(entry(*checkpoint, "row").offset == 16);
  CHECK(entry(*checkpoint, "row").storage == entry(*checkpoint, "base").storage);
}

TEST_CASE("a Lightning checkpoint's unknown objects are skipped, those in the way are named") {
  const FileSource source(fixture("lightning.ckpt"));
  const auto checkpoint = open_checkpoint(source);
  CHECK(read_all(*checkpoint, "model.input_layer.0.weight") == made_all(0, 108));
  CHECK(!entry(*checkpoint, "optimizer_states/0/state/0/momentum_buffer").in_state_dict);

  CHECK_CONTAINS(open_error(bytes_of(fixture("opaque_state.ckpt"))), "some_trainer.callbacks.AttributeDict");

  const FileSource strange(fixture("opaque_tensor.pt"));
  const auto opaque = open_checkpoint(strange);
  REQUIRE(opaque->others().size() == 1);
  CHECK(opaque->others()[0].name == "body.0.weight");
  CHECK_CONTAINS(opaque->others()[0].what, "some_trainer.callbacks.Checkpointer");
}

TEST_CASE("a pickle that asks to run something is refused by name and runs nothing") {
  fs::remove("/tmp/pickle_was_executed");
  CHECK_CONTAINS(open_error(bytes_of(fixture("evil.ckpt"))), "posix.system");
  CHECK_CONTAINS(open_error(bytes_of(fixture("evil_eval.ckpt"))), "__builtin__.eval");
  CHECK(!fs::exists("/tmp/pickle_was_executed"));

  CHECK_CONTAINS(pickle_error("cos\nsystem\n(S'id'\ntR."), "os.system");
  CHECK_CONTAINS(pickle_error("(S'id'\nios\nsystem\n."), "os.system");
  CHECK_CONTAINS(pickle_error("\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93."), "os.system");
  CHECK_CONTAINS(pickle_error("\x80\x04\x8c\x08"
                              "builtins\x8c\x07setattr\x93."),
                 "builtins.setattr");
  CHECK(policy_of("os.path", "join") == GlobalPolicy::forbidden);
  CHECK(policy_of("torch", "os.system") == GlobalPolicy::forbidden);
  CHECK(policy_of("torch", "__builtins__.eval") == GlobalPolicy::forbidden);
  CHECK(policy_of("osprey", "Callback") == GlobalPolicy::opaque);
  CHECK(policy_of("torch.utils.code", "X") == GlobalPolicy::opaque);
  CHECK(policy_of("builtins", "set") == GlobalPolicy::opaque);
  CHECK(policy_of("torch", "HalfStorage") == GlobalPolicy::known);
}

TEST_CASE("pickle values of every protocol") {
  // Protocol 0, with Python 2's strings and longs.
  const Pickle old = parse(
      "(dp0\nS'a\\x41\\n'\np1\nI7\nsVb\\u00e9\nL-12345678901L\nsS'c'\nF0.5\nsS'd'\nI01\nsg1\n(lp2\nI1\nas.");
  const Value& root = old.root();
  REQUIRE(root.kind == Kind::dict);
  REQUIRE(root.find("aA\n"));
  CHECK(root.find("aA\n")->integer == 7);
  CHECK(root.find("b\xc3\xa9")->integer == -12345678901);
  CHECK(root.find("c")->real == 0.5);
  CHECK(root.find("d")->kind == Kind::boolean);

  const Pickle numbers = parse(
      "\x80\x02(K\xffM\xff\xffJ\xfe\xff\xff\xff\x8a\x02\x00\xffG\x3f\xf8\x00\x00\x00\x00\x00\x00\x88Nt."s);
  const auto& items = numbers.root().items;
  REQUIRE(items.size() == 7);
  CHECK(items[0]->integer == 255);
  CHECK(items[1]->integer == 65535);
  CHECK(items[2]->integer == -2);
  CHECK(items[3]->integer == -256);
  CHECK(items[4]->real == 1.5);

  for (const char* broken : {".",
                             "(",
                             "t.",
                             "K\x01K\x02.",
                             "(K\x01.",
                             "h\x05.",
                             "}K\x01s.",
                             "K\x01K\x02"
                             "a.",
                             "(K\x01"
                             "d.",
                             "X\xff\xff\xff\x7f"
                             "a.",
                             "K\x01)R.",
                             "NK\x01R.",
                             "Ix\n.",
                             "\xff.",
                             "\x80\x06N.",
                             "ccollections\nOrderedDict\nK\x01\x85R.",
                             "NP1\n.",
                             "\x97.",
                             "ctorch._utils\n_rebuild_tensor_v2\n)R.",
                             "K\x01Q.",
                             "Nb.",
                             "NNb."}) {
    CAPTURE(broken);
    CHECK(pickle_error(broken) != "");
  }
}

TEST_CASE("hostile pickles stay small") {
  // Each list holds the one before twice: 2^60 leaves if references were copied.
  std::string doubling = "]q\0000"s;
  for (char i = 1; i <= 60; ++i) {
    const std::string before = "h"s + static_cast<char>(i - 1);
    doubling += "](" + before + before + "eq" + i + "0";
  }
  const std::string state = "}" + doubling + "X\x01\x00\x00\x00th\x3cs."s;
  CHECK(parse(state).root().find("t")->items.size() == 2);
  CHECK(open_error(zip({{"x/data.pkl", state}})) == "");  // the walk for tensors visits each list once

  // A million nested lists, built and destroyed without recursion.
  std::string deep(1'000'000, ']');
  deep += std::string(999'999, 'a') + ".";
  CHECK(parse(deep).root().kind == Kind::list);

  // A list that holds itself; the walk for tensors ends.
  std::string self = "]q\0h\0a."s;
  CHECK(parse(self).root().items.size() == 1);

  CHECK_CONTAINS(
      pickle_error("\x8c\xff" + std::string(255, 'x') + "q\x01" + std::string(20'000'000, '2') + "."),
      "pass 67108864 bytes");
  CHECK_CONTAINS(pickle_error(std::string(2'000'001, 'N') + "."), "more than 2000000 values");
  // A short pickle that encodes one long string again and again.
  std::string encodes =
      "\x80\x02"
      "X\x00\x00\x10\x00"s +
      std::string(1 << 20, 'x') + "q\x01X\x06\x00\x00\x00latin1q\x02"s;
  for (int i = 0; i < 100; ++i) encodes += "c_codecs\nencode\nh\x01h\x02\x86R";
  CHECK_CONTAINS(pickle_error(encodes + "."), "pass 67108864 bytes");
}

TEST_CASE("every truncation of every format is an error") {
  for (const char* name : {"bare.pt", "legacy.pth", "three.safetensors", "dict.npy", "dict_protocol2.npy"}) {
    const std::string whole = bytes_of(fixture(name));
    CHECK(open_error(whole) == "");
    for (std::size_t size = 0; size < whole.size(); ++size)
      if (open_error(whole.substr(0, size)).empty())
        FAIL(name << " cut to " << size << " bytes was accepted");
  }
}

TEST_CASE("a flipped bit in a ZIP entry is found by its CRC") {
  std::string bytes = bytes_of(fixture("bare.pt"));
  const float first = made(0, 0);
  const std::string needle(reinterpret_cast<const char*>(&first), 4);
  for (std::size_t at = bytes.find(needle); at != std::string::npos; at = bytes.find(needle, at + 1)) {
    bytes[at] ^= 1;
    CHECK_CONTAINS(open_error(bytes), "bare/data/0\"");
    bytes[at] ^= 1;
  }
  std::string shared = bytes_of(fixture("views.pt"));  // storages read in part are checked whole
  const std::size_t at = shared.find(needle);
  REQUIRE(at != std::string::npos);
  shared[at + 4] ^= 1;
  const MemorySource source = memory(shared);
  const auto checkpoint = open_checkpoint(source);
  CHECK_CONTAINS(error_of([&] { read_all(*checkpoint, "row"); }), "data/0\"");
}

TEST_CASE("hostile ZIP entries are refused by name") {
  const ZipEntry pickle{"x/data.pkl", "\x80\x02}."};
  CHECK(open_error(zip({pickle})) == "");
  CHECK_CONTAINS(open_error(zip({pickle, {"x/data/0", "abcd", 8}})), "\"x/data/0\" is compressed");
  CHECK_CONTAINS(open_error(zip({pickle, {"x/data/0", std::string(20, 'a'), 0, 1}})),
                 "\"x/data/0\" is encrypted");
  CHECK_CONTAINS(open_error(zip({pickle, {"x/data/0", "a"}, {"x/data/0", "b"}})),
                 "\"x/data/0\" appears twice");
  for (const char* name : {"x/../data/0", "/x/data/0", "x\\data", "..", "x/data/..", "C:/x"}) {
    CAPTURE(name);
    CHECK_CONTAINS(open_error(zip({pickle, {name, "a"}})), "leaves the archive's folder");
  }
  CHECK(open_error(zip({pickle, {"x/data/0", "a", 0, 0, 4000}})) != "");
  CHECK_CONTAINS(open_error(zip({pickle, {"x/data/0", "a", 0, 0, 0x7fffffff}})), "x/data/0");
  CHECK_CONTAINS(open_error(zip({pickle, {"y/data/0", "a"}})), "top folder");
  CHECK_CONTAINS(open_error(zip({pickle, {"x/byteorder", "big"}})), "byteorder is \"big\"");
  CHECK(open_error(zip({pickle, {"x/byteorder", "little"}})) == "");
  CHECK_CONTAINS(open_error(zip({{"x/constants.pkl", "N."}})), "TorchScript");
  CHECK_CONTAINS(open_error(zip({{"x/data.pkl", "\x80\x02}.rest"}})), "4 bytes follow the pickle");
}

TEST_CASE("storages that do not fit their tensors are refused") {
  auto with_storage = [](int elements, int offset, const std::string& size, const std::string& stride,
                         std::size_t bytes) {
    const auto number = [](int value) { return std::string("I").append(std::to_string(value)).append("\n"); };
    const std::string pickle =
        "(dS't'\nctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\n" +
        number(elements) + "tQ" + number(offset) + "(" + size + "t(" + stride + "tI00\nNtRs.";
    return zip({{"x/data.pkl", pickle}, {"x/data/0", std::string(bytes, '\0')}});
  };
  CHECK(open_error(with_storage(6, 0, "I2\nI3\n", "I3\nI1\n", 24)) == "");
  CHECK(open_error(with_storage(6, 1, "I2\nI2\n", "I3\nI1\n", 24)) == "");
  CHECK_CONTAINS(open_error(with_storage(6, 1, "I2\nI3\n", "I3\nI1\n", 24)),
                 "tensor \"t\" of 2x3 float32 reaches");
  CHECK_CONTAINS(open_error(with_storage(6, 0, "I2\nI3\n", "I4\nI1\n", 24)), "reaches");
  CHECK_CONTAINS(open_error(with_storage(6, 0, "I2\nI3\n", "I3\n", 24)), "strides");
  CHECK_CONTAINS(open_error(with_storage(6, 0, "I2\nI3\n", "I3\nI-1\n", 24)), "-1");
  CHECK_CONTAINS(open_error(with_storage(6, 0, "I2\nI3\n", "I3\nI1\n", 23)),
                 "storage 0 holds 23 bytes, expected 6");
  CHECK_CONTAINS(open_error(with_storage(7, 0, "I2\nI3\n", "I3\nI1\n", 24)), "expected 7");
  CHECK_CONTAINS(open_error(with_storage(6, 0, "I4611686018427387904\nI4\n", "I0\nI1\n", 24)), "2^63");
  CHECK_CONTAINS(
      open_error(with_storage(6, 0, "I3\nI2\n", "I9223372036854775807\nI9223372036854775807\n", 24)), "2^64");
  const std::string missing =
      zip({{"x/data.pkl",
            "(dS't'\nctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\n"
            "S'../5'\nS'cpu'\nI1\ntQI0\n(I1\nt(I1\ntI00\nNtRs."}});
  CHECK_CONTAINS(open_error(missing), "\"data/../5\" is missing");
}

TEST_CASE("safetensors: values, and headers that lie") {
  const FileSource source(fixture("three.safetensors"));
  const auto checkpoint = open_checkpoint(source);
  CHECK(read_all(*checkpoint, "input_layer.0.weight") == made_all(0, 108));
  CHECK(read_all(*checkpoint, "body.0.weight") == made_all(1, 5));
  CHECK(read_all(*checkpoint, "bfloat") == made_all(2, 3));

  auto file = [](const std::string& header, std::size_t data) {
    std::string out;
    put(out, header.size(), 8);
    return out + header + std::string(data, '\0');
  };
  const std::string a = R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  CHECK(open_error(file("{" + a + "}", 8)) == "");
  CHECK_CONTAINS(open_error(file("{" + a + "}", 7)), "do not lie inside");
  CHECK_CONTAINS(open_error(file("{" + a + "}", 9)), "end at data byte 8");
  CHECK_CONTAINS(open_error(file("{" + a + "," + a + "}", 8)), "\"a\" appears twice");
  CHECK_CONTAINS(open_error(file("{" + a + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8)),
                 "overlap");
  CHECK_CONTAINS(open_error(file("{" + a + R"(,"b":{"dtype":"F32","shape":[1],"data_offsets":[9,13]}})", 13)),
                 "hole");
  CHECK_CONTAINS(open_error(file(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8)),
                 "3 F32 has 8 bytes");
  CHECK_CONTAINS(
      open_error(file(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})", 8)),
      "2^63");
  CHECK_CONTAINS(open_error(file(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8)), "-2");
  CHECK_CONTAINS(open_error(file(R"({"a":{"dtype":"F32","shape":[2]}})", 8)), "lacks");
  CHECK_CONTAINS(open_error(file(R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8)), "array");
  CHECK_CONTAINS(open_error(file("{" + a, 8)), "not JSON");
  CHECK_CONTAINS(open_error(file(std::string("{").append(100'000, '['), 0)), "not JSON");
  std::string long_header = file("{}", 0);
  long_header[6] = 1;
  CHECK_CONTAINS(open_error(long_header), "bytes in a file of 10");
}

TEST_CASE("NumPy dicts in C and Fortran order") {
  for (const char* name : {"dict.npy", "dict_protocol2.npy"}) {
    const FileSource source(fixture(name));
    const auto checkpoint = open_checkpoint(source);
    CHECK(read_all(*checkpoint, "c_order") == made_all(0, 12));
    CHECK(read_all(*checkpoint, "fortran") == made_all(1, 12));
    CHECK(read_all(*checkpoint, "double") == made_all(2, 5));
    CHECK(read_all(*checkpoint, "half") == made_all(3, 4));
  }
}

TEST_CASE("what is no checkpoint is named") {
  CHECK_CONTAINS(open_error(""), "is empty");
  CHECK_CONTAINS(open_error("hello world, this is text\n"), "a text file");
  CHECK_CONTAINS(open_error("<!DOCTYPE html><html>"), "a web page");
  CHECK_CONTAINS(open_error("version https://git-lfs.github.com/spec/v1\n"), "LFS pointer");
  CHECK_CONTAINS(open_error(std::string(257, '\0') + "ustar" + std::string(300, '\0')), "a tar archive");
  CHECK_CONTAINS(open_error("\x80\x02}."), "torch.save did not write");
  CHECK_CONTAINS(open_error("\x89"
                            "AFW\r\n\x1a\n"),
                 "converted already");
  CHECK_CONTAINS(
      open_error(std::string("\x08\x08\x12\x07pytorch\x1a\x05") + "2.1.0"),
      "is an ONNX model (its tensors are folded and renamed: bring the checkpoint that it was exported "
      "from), expected a torch checkpoint");
  CHECK_CONTAINS(open_error("\x89HDF\r\n\x1a\n"), "an HDF5 file");
  CHECK_CONTAINS(open_error(std::string("\x1c\0\0\0TFL3", 8) + std::string(8, '\0')), "TensorFlow Lite");
  CHECK_CONTAINS(open_error(std::string(64, '\xee')), "of no known format");
  CHECK_CONTAINS(open_error("PK\x05\x06" + std::string(18, '\0')), "no data.pkl");
  CHECK_CONTAINS(error_of([] { FileSource("/nonexistent/x.ckpt"); }), "/nonexistent/x.ckpt");
  CHECK_CONTAINS(error_of([] { FileSource(fs::temp_directory_path()); }), "directory");
}

// ---- Whole networks

namespace {

// A network's tensors without their bytes: every one is a view of a single zero.
class EmptyNetwork final : public Checkpoint {
 public:
  EmptyNetwork(weights::Architecture architecture, const std::string& prefix) : Checkpoint("net", "memory") {
    storages_.push_back({"0", 4, true});
    for (const weights::TensorRow& row : weights::tensor_table(architecture))
      put(prefix + row.source, {row.shape.begin(), row.shape.end()});
  }
  void put(const std::string& name, std::vector<std::uint64_t> shape, ElementType type = ElementType::f32) {
    TensorEntry tensor;
    tensor.name = name;
    tensor.type = type;
    tensor.strides.assign(shape.size(), 0);
    tensor.shape = std::move(shape);
    if (type == ElementType::i64) storages_[0].bytes = 8;
    add(std::move(tensor));
  }
  void remove(const std::string& name) {
    std::erase_if(tensors_, [&](const TensorEntry& tensor) { return tensor.name == name; });
  }
  void replace_by_object(const std::string& name) {
    remove(name);
    others_.push_back({name, "made by foo.Bar"});
  }
  TensorEntry& at(const std::string& name) {
    for (TensorEntry& tensor : tensors_)
      if (tensor.name == name) return tensor;
    FAIL("no tensor " << name);
    std::abort();
  }

 private:
  void read_storage(std::size_t, std::uint64_t, std::span<std::byte> dst) override {
    std::memset(dst.data(), 0, dst.size());
  }
};

}  // namespace

TEST_CASE("architecture from tensors, colour order from layout") {
  for (const weights::Architecture architecture : weights::kEmbedders) {
    const Network network = find_network(EmptyNetwork(architecture, "model."));
    CHECK(network.architecture == architecture);
    CHECK(network.color == weights::ColorOrder::bgr);
  }
  using weights::Architecture;
  CHECK(find_network(EmptyNetwork(Architecture::ir_18, "net.")).color == weights::ColorOrder::rgb);
  CHECK(find_network(EmptyNetwork(Architecture::ir_18, "model.net.")).color == weights::ColorOrder::rgb);
  CHECK(!find_network(EmptyNetwork(Architecture::ir_18, "")).color);
  CHECK(find_network(EmptyNetwork(Architecture::ir_18, "model.")).published_prefix);
}

TEST_CASE("any prefix that all names have is taken, and wrappers hide no layout") {
  const auto ir_18 = weights::Architecture::ir_18;
  for (const std::string prefix :
       {"module.", "backbone.", "encoder.face.", "_orig_mod.", "module.backbone.", "body_net.", "a.body.",
        "model.body.", "output_layer.input_layer.", "body.body."}) {
    INFO(prefix);
    EmptyNetwork net(ir_18, prefix);
    net.put(prefix + "head.kernel", {512, 16});
    net.put(prefix + "body.0.res_layer.0.num_batches_tracked", {}, ElementType::i64);
    net.put("loss.weight", {512, 16});
    const Network network = find_network(net);
    CHECK(network.architecture == ir_18);
    CHECK(network.prefix == prefix);
    CHECK(!network.color);
    CHECK(!network.published_prefix);
    net.remove(prefix + "body.3.res_layer.1.weight");
    CHECK_CONTAINS(error_of([&] { find_network(net); }), prefix + "body.3.res_layer.1.weight\" is missing");
  }
  const Network wrapped = find_network(EmptyNetwork(ir_18, "module.model."));
  CHECK(wrapped.color == weights::ColorOrder::bgr);
  CHECK(!wrapped.published_prefix);
  CHECK(find_network(EmptyNetwork(ir_18, "model._orig_mod.net.")).color == weights::ColorOrder::rgb);

  EmptyNetwork twins(ir_18, "teacher.");
  for (const weights::TensorRow& row : weights::tensor_table(ir_18))
    twins.put("student." + row.source, {row.shape.begin(), row.shape.end()});
  CHECK_CONTAINS(error_of([&] { find_network(twins); }), "two networks, under \"student.\" and \"teacher.\"");
  EmptyNetwork beside(ir_18, "model.");  // of a layout that is known: others do not matter
  beside.put("ema.body.0.res_layer.0.weight", {64});
  CHECK(find_network(beside).prefix == "model.");
  EmptyNetwork other(ir_18, "model.");
  for (const weights::TensorRow& row : weights::tensor_table(ir_18)) other.remove("model." + row.source);
  other.put("layer1.0.conv1.weight", {64, 64, 3, 3});
  CHECK_CONTAINS(error_of([&] { find_network(other); }),
                 "no IR network in it (it begins with \"layer1.0.conv1.weight\"");
  // Long names take time in proportion.
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += "body.";
  other.put(nested, {64});
  CHECK(error_of([&] { find_network(other); }) != "");
}

TEST_CASE("networks that are not quite one are refused by tensor") {
  const auto ir_18 = weights::Architecture::ir_18;
  auto error_after = [&](auto change) {
    EmptyNetwork network(ir_18, "model.");
    change(network);
    return error_of([&] { find_network(network); });
  };
  CHECK(error_after([](EmptyNetwork& net) {
          net.put("head.kernel", {512, 16});
          net.put("model.body.0.res_layer.0.num_batches_tracked", {}, ElementType::i64);
        }) == "");
  CHECK_CONTAINS(error_after([](EmptyNetwork& net) { net.remove("model.body.3.res_layer.1.weight"); }),
                 "\"model.body.3.res_layer.1.weight\" is missing, expected 128x128x3x3 for ir_18");
  CHECK_CONTAINS(error_after([](EmptyNetwork& net) {
                   net.at("model.input_layer.0.weight").shape = {64, 3, 7, 7};
                 }),
                 "\"model.input_layer.0.weight\" is 64x3x7x7, expected 64x3x3x3");
  CHECK_CONTAINS(
      error_after([](EmptyNetwork& net) { net.at("model.input_layer.1.bias").type = ElementType::i32; }),
      "is int32, expected float32");
  CHECK_CONTAINS(error_after([](EmptyNetwork& net) { net.put("model.output_layer.5.weight", {512}); }),
                 "unexpected tensor \"model.output_layer.5.weight\"");
  CHECK_CONTAINS(error_after([](EmptyNetwork& net) { net.put("model.body.8.res_layer.0.weight", {512}); }),
                 "its body has 9 units; known networks: ir_18 (8 units)");
  CHECK_CONTAINS(error_after([](EmptyNetwork& net) {
                   net.put("model.body.0.res_layer.se_block.fc1.weight", {4, 64, 1, 1});
                 }),
                 "8 units with squeeze-and-excite; known networks");
  CHECK_CONTAINS(error_after([](EmptyNetwork& net) {
                   net.put("net.input_layer.0.weight", {64, 3, 3, 3});
                 }),
                 "two networks");
  CHECK_CONTAINS(error_after([](EmptyNetwork& net) { net.replace_by_object("model.input_layer.0.weight"); }),
                 "\"model.input_layer.0.weight\" is made by foo.Bar");
}

namespace {

// The synthetic network as safetensors, streamed.
void write_safetensors(const fs::path& path, weights::Architecture architecture, const std::string& prefix) {
  nlohmann::ordered_json header;
  std::uint64_t at = 0;
  const auto rows = weights::tensor_table(architecture);
  for (const weights::TensorRow& row : rows) {
    const std::uint64_t bytes = weights::element_count(row.shape) * 4;
    header[prefix + row.source] = {
        {"dtype", "F32"}, {"shape", row.shape}, {"data_offsets", {at, at + bytes}}};
    at += bytes;
  }
  const std::string text = header.dump();
  std::string size;
  put(size, text.size(), 8);
  std::ofstream file(path, std::ios::binary);
  file << size << text;
  std::vector<float> values;
  for (const weights::TensorRow& row : rows) {
    values.resize(weights::element_count(row.shape));
    synthetic::fill_values(1, row.source, row.shape, 0, values);
    file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * 4));
  }
  REQUIRE(file.good());
}

void overwrite(const fs::path& path, std::uint64_t offset, float value) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(reinterpret_cast<const char*>(&value), sizeof value);
  REQUIRE(file.good());
}

int run(const std::string& command) {
  const int status = std::system((command + " >/dev/null 2>&1").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// SHA-256 of the ir_18 payload, seed 1, converted from the file that PyTorch's torch.save wrote.
constexpr const char* kIr18Payload = "5bdd0a3eb7c29aaa99ba46566bd23ec4d51d0b1a49d07a69a62a8c123a39a443";

}  // namespace

TEST_CASE("a whole network, from two formats, to the same payload; damage leaves no file") {
  const Scratch directory("convert");
  const fs::path ckpt = directory.path / "x.ckpt", safe = directory.path / "x.safetensors";
  const fs::path afw = directory.path / "x.afw", again = directory.path / "again.afw";
  synthetic::write_checkpoint(weights::Architecture::ir_18, 1, ckpt);

  const Conversion done = convert_embedder(ckpt, afw);
  CHECK(done.parameters == 24'020'352);
  CHECK(done.color_origin == "released layout");
  {
    const weights::AfwFile file(afw);
    CHECK(file.info().architecture == weights::Architecture::ir_18);
    CHECK(file.info().color == weights::ColorOrder::bgr);
    CHECK(weights::to_hex(file.info().weights_sha256) == kIr18Payload);
    for (const weights::TensorView& tensor : file.tensors()) file.verify(tensor);
    const weights::TensorView& stem = file.tensor("stem.conv.weight");
    std::vector<float> found(1728), expected(1728);
    weights::AfwFile::to_float(stem, 0, found);
    synthetic::fill_values(1, "input_layer.0.weight", stem.shape, 0, expected);
    CHECK(found == expected);
  }
  convert_embedder(ckpt, again);
  CHECK(fs::file_size(afw) == fs::file_size(again));
  CHECK(run("cmp " + afw.string() + " " + again.string()) == 0);
  fs::remove(again);

  ConvertOptions half;
  half.storage = weights::DataType::f16;
  half.color = weights::ColorOrder::rgb;
  CHECK(convert_embedder(ckpt, again, half).color_origin == "--color");
  CHECK(weights::AfwFile(again).info().storage == weights::DataType::f16);
  CHECK(weights::AfwFile(again).info().color == weights::ColorOrder::rgb);
  fs::remove(again);
  fs::remove(afw);
#ifdef ADAFACE_CONVERT
  const std::string program = ADAFACE_CONVERT;
  CHECK(run(program + " " + ckpt.string() + " -o " + afw.string() + " --dtype bf16") == 0);
  CHECK(run(program + " " + ckpt.string() + " -o " + ckpt.string()) == 2);
  // A colour order that the layout contradicts is taken, with a warning.
  const fs::path text = directory.path / "text";
  const auto said = [&](const std::string& arguments) {
    CHECK(std::system(
              (program + " " + ckpt.string() + " " + arguments + " >" + text.string() + " 2>&1").c_str()) ==
          0);
    std::ifstream file(text);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string contradiction =
      "warning: " + ckpt.string() +
      ": --color rgb contradicts the released layout of its tensor names, which is bgr";
  CHECK_CONTAINS(said("-o " + afw.string() + " --color rgb"), contradiction);
  CHECK_CONTAINS(said("-q -o " + afw.string() + " --color rgb"), contradiction);
  CHECK(said("-q -o " + afw.string() + " --color bgr") == "");
  CHECK(said("-o " + afw.string() + " --color bgr").find("warning") == std::string::npos);
  // What a link points to is written, whether or not it is there; nothing is called "-".
  fs::remove(afw);
  fs::create_symlink("x.afw", directory.path / "link.afw");
  said("-o " + (directory.path / "link.afw").string());
  CHECK(fs::is_symlink(directory.path / "link.afw"));
  CHECK(fs::is_regular_file(afw));
  CHECK(run("cd " + directory.path.string() + " && " + program + " x.ckpt -o -") == 2);
  CHECK(!fs::exists(directory.path / "-"));
  fs::remove(directory.path / "link.afw");
  fs::remove(text);
  fs::remove(afw);
#endif
  fs::remove(ckpt);

  write_safetensors(safe, weights::Architecture::ir_18, "module.");
  CHECK_CONTAINS(
      error_of([&] { convert_embedder(safe, afw); }),
      "its tensor names begin with \"module.\", so they do not tell the colour order; give --color bgr");
  half.storage = weights::DataType::f32;
  CHECK(convert_embedder(safe, afw, half).prefix == "module.");
  CHECK(weights::to_hex(weights::AfwFile(afw).info().weights_sha256) == kIr18Payload);
#ifdef ADAFACE_CONVERT
  CHECK(std::system((program + " " + safe.string() + " --color bgr -o " + afw.string() + " >" + text.string())
                        .c_str()) == 0);
  std::ifstream summary(text);
  CHECK_CONTAINS(std::string(std::istreambuf_iterator<char>(summary), {}),
                 " tensors, found after \"module.\", ");
  fs::remove(text);
#endif
  half.storage = weights::DataType::f16;
  write_safetensors(safe, weights::Architecture::ir_18, "model.net.");
  convert_embedder(safe, afw);
  CHECK(weights::to_hex(weights::AfwFile(afw).info().weights_sha256) == kIr18Payload);
  CHECK(weights::AfwFile(afw).info().color == weights::ColorOrder::rgb);
  fs::remove(afw);

  // The first tensors: 64x3x3x3 kernel, then weight, bias, mean and variance of 64.
  std::uint64_t header = 0;
  std::ifstream(safe, std::ios::binary).read(reinterpret_cast<char*>(&header), 8);
  const std::uint64_t kernel = 8 + header, variance = kernel + (1728 + 3 * 64) * 4;
  overwrite(safe, kernel + 44, 1e20f);
  CHECK_CONTAINS(error_of([&] { convert_embedder(safe, afw, half); }),
                 safe.string() +
                     ": tensor \"model.net.input_layer.0.weight\": 1e+20 is too large for f16, store as "
                     "bf16 or f32");
  overwrite(safe, kernel + 44, 0.0f);
  overwrite(safe, variance + 8, -0.5f);
  CHECK_CONTAINS(error_of([&] { convert_embedder(safe, afw); }),
                 "tensor \"model.net.input_layer.1.running_var\" holds -0.5 at element 2");
  overwrite(safe, kernel + 40, std::numeric_limits<float>::quiet_NaN());
  CHECK_CONTAINS(error_of([&] { convert_embedder(safe, afw); }),
                 "input_layer.0.weight\" holds nan at element 10");
  CHECK_CONTAINS(error_of([&] { convert_embedder(safe, afw); }), "x.safetensors");
  CHECK(files_in(directory.path) == 1);  // the input alone: no output, no temporary file
}

TEST_CASE("MTCNN's published weights") {
  const fs::path folder = shared_directory() / "weights/mtcnn";
  if (!have(folder)) return;
  const Scratch directory("convert");
  const fs::path afw = directory.path / "mtcnn.afw";
  const Conversion done = convert_mtcnn({folder / "pnet.npy", folder / "rnet.npy", folder / "onet.npy"}, afw);
  CHECK(done.parameters == 495'850);
  const weights::AfwFile file(afw);
  CHECK(file.info().color == weights::ColorOrder::rgb);
  CHECK(file.tensors().size() == 50);
  for (const weights::TensorView& tensor : file.tensors()) file.verify(tensor);
  CHECK_CONTAINS(error_of([&] {
                   convert_mtcnn({folder / "rnet.npy", folder / "pnet.npy", folder / "onet.npy"}, afw);
                 }),
                 "rnet.npy is rnet, " + (folder / "pnet.npy").string() + " is pnet, " +
                     (folder / "onet.npy").string() + " is onet; expected pnet, rnet and onet in this order");
  for (const std::string net : {"pnet", "rnet", "onet"})
    CHECK_CONTAINS(
        error_of([&] { convert_embedder(folder / (net + ".npy"), afw); }),
        net + ".npy: is MTCNN's " + net + ", one of three files: use --mtcnn pnet.npy rnet.npy onet.npy");
}

TEST_CASE("the list") {
  const FileSource source(fixture("dtypes.pt"));
  const auto checkpoint = open_checkpoint(source);
  const std::string text = list_text(*checkpoint);
  CHECK_CONTAINS(text, "bfloat  bfloat16  3x4        24\n");
  CHECK_CONTAINS(text, "torch ZIP, 8 tensors, 73 elements, 304 bytes\n");
  const auto json = nlohmann::json::parse(list_json(*checkpoint));
  CHECK(json["tensors"][0]["name"] == "half");
  CHECK(json["tensors"][0]["shape"] == std::vector<int>{3, 4});
  CHECK(json["bytes"] == 304);
}

#ifdef ADAFACE_CONVERT
TEST_CASE("exit codes") {
  const std::string program = ADAFACE_CONVERT;
  const Scratch directory("convert");
  const std::string out = " -o " + (directory.path / "x.afw").string();
  CHECK(run(program + " --help") == 0);
  CHECK(run(program + " --version") == 0);
  CHECK(run(program) == 2);
  CHECK(run(program + " --list " + fixture("bare.pt").string()) == 0);
  CHECK(run(program + " --list --json " + fixture("bare.pt").string()) == 0);
  CHECK(run(program + " " + fixture("bare.pt").string()) == 2);  // no -o
  CHECK(run(program + " " + fixture("bare.pt").string() + out + " --color purple") == 2);
  CHECK(run(program + " --mtcnn " + fixture("dict.npy").string() + out) == 2);
  CHECK(run(program + " " + fixture("bare.pt").string() + out) == 1);  // not a network
  CHECK(run(program + " " + fixture("evil.ckpt").string() + out) == 1);
  CHECK(run(program + " /nonexistent" + out) == 1);
  CHECK(run(program + " /tmp" + out) == 1);
  CHECK(fs::is_empty(directory.path));
}
#endif
