// The weight file: what is written is read back, and nothing else is accepted.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <set>

#include "src/error.hpp"
#include "tests/golden.h"
#include "tests/synthetic_weights.h"
#include "weights/afw.h"
#include "weights/afw_layout.h"

namespace {

using namespace adaface;
using namespace adaface::testing;
using namespace adaface::weights;
using Bytes = std::vector<std::byte>;

// The smallest network stands for all of them.
Bytes small_file(DataType storage = DataType::f32) {
  const Scratch scratch("test-weights");
  write_weights(Architecture::mtcnn, scratch.path / "m.afw", storage);
  return io::read_file(scratch.path / "m.afw", 1 << 30);
}

std::string refusal(const Bytes& bytes, ErrorCode expected = ErrorCode::corrupt) {
  try {
    parse_afw(bytes, "net.afw");
  } catch (const Error& error) {
    CHECK(error.code() == expected);
    CHECK(std::string(error.what()).starts_with("net.afw: "));
    return error.what();
  }
  return "";
}

// Changes a field of the header or directory and sets the checksum right again.
template <typename T>
Bytes with_field(Bytes bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  std::uint64_t payload;
  std::memcpy(&payload, bytes.data() + offsetof(Header, payload_offset), 8);
  const std::size_t front = std::min<std::size_t>(payload, bytes.size());
  if (front >= sizeof(Header)) {
    const std::uint64_t checksum = header_checksum(std::span(bytes).first(front));
    std::memcpy(bytes.data() + offsetof(Header, checksum), &checksum, 8);
  }
  return bytes;
}

constexpr std::size_t record(std::size_t i, std::size_t field) {
  return sizeof(Header) + i * sizeof(TensorRecord) + field;
}

}  // namespace

TEST_CASE("tensor tables: the published counts of parameters") {
  const auto parameters = [](Architecture architecture) {
    std::uint64_t count = 0;
    std::set<std::string> names, sources;
    for (const TensorRow& row : tensor_table(architecture)) {
      CHECK(names.insert(row.name).second);
      CHECK(sources.insert(row.source).second);
      CHECK(row.name.size() < sizeof(TensorRecord::name));
      CHECK(row.is_variance == row.name.ends_with(".variance"));
      if (!row.is_variance && !row.name.ends_with(".mean")) count += element_count(row.shape);
    }
    return count;
  };
  CHECK(parameters(Architecture::ir_18) == 24'020'352);
  CHECK(parameters(Architecture::ir_34) == 34'134'080);
  CHECK(parameters(Architecture::ir_50) == 43'585'600);
  CHECK(parameters(Architecture::ir_101) == 65'150'912);
  CHECK(parameters(Architecture::mtcnn) == 495'850);
  for (const Architecture architecture : kEmbedders)
    CHECK(architecture_from_string(to_string(architecture)) == architecture);
  CHECK_FALSE(architecture_from_string("ir_102"));
}

TEST_CASE("what is written is read back") {
  const Bytes bytes = small_file();
  const ParsedAfw parsed = parse_afw(bytes, "net.afw");
  CHECK(parsed.info.architecture == Architecture::mtcnn);
  CHECK(parsed.tensors.size() == tensor_table(Architecture::mtcnn).size());
  for (const TensorRow& row : tensor_table(Architecture::mtcnn)) {
    const auto found = std::ranges::find(parsed.tensors, row.name, &TensorView::name);
    REQUIRE(found != parsed.tensors.end());
    CHECK((found->data.data() - bytes.data()) % 64 == 0);
    std::vector<float> expected(element_count(row.shape)), values(expected.size());
    synthetic::fill_values(1, row.source, row.shape, 0, expected);
    AfwFile::to_float(*found, 0, values);
    CHECK(values == expected);
  }
  CHECK(small_file() == bytes);
}

TEST_CASE("half-precision storage rounds to nearest even") {
  // f16: 1 + 2^-11 lies half-way and goes to even; 65519 is the last value below infinity; 2^-25 is half the
  // least subnormal.
  const float samples[] = {0.0f,     -0.0f,        1.0f,           1 + 0x1p-11f, 1 + 3 * 0x1p-11f, 65504.0f,
                           65519.0f, 0x1p-14f,     0x1p-24f,       0x1p-25f,     1.5f * 0x1p-25f,  -3.14159f,
                           1e-7f,    0x1.ffcp-15f, 0x1.fffffep-15f};
  const float f16[] = {0.0f,     -0.0f, 1.0f,     1.0f,       1 + 2 * 0x1p-10f, 65504.0f, 65504.0f, 0x1p-14f,
                       0x1p-24f, 0.0f,  0x1p-24f, -3.140625f, 2 * 0x1p-24f,     0x1p-14f, 0x1p-14f};
  const float bf16[] = {
      0.0f,     -0.0f,           1.0f,       1.0f,        1.0f,     65536.0f, 65536.0f, 0x1p-14f, 0x1p-24f,
      0x1p-25f, 1.5f * 0x1p-25f, -3.140625f, 0x1.aep-24f, 0x1p-14f, 0x1p-14f};
  for (const DataType type : {DataType::f16, DataType::bf16}) {
    const Scratch scratch("test-weights-half");
    write_weights(Architecture::mtcnn, scratch.path / "m.afw", type, [&](const TensorRow& row, auto& values) {
      if (row.name == "pnet.conv1.weight") std::ranges::copy(samples, values.begin());
    });
    const AfwFile file(scratch.path / "m.afw");
    std::vector<float> values(std::size(samples));
    AfwFile::to_float(file.tensor("pnet.conv1.weight"), 0, values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      CAPTURE(i);
      CHECK(std::bit_cast<std::uint32_t>(values[i]) ==
            std::bit_cast<std::uint32_t>((type == DataType::f16 ? f16 : bf16)[i]));
    }
    CHECK(file.tensor("pnet.conv1.bias").type == DataType::f32);
  }
}

TEST_CASE("a value too large for the storage is refused, and nothing is written") {
  const Scratch scratch("test-weights-overflow");
  const auto edit = [](const TensorRow& row, auto& values) {
    if (row.name == "rnet.conv2.weight") values[7] = 65520;
  };
  CHECK_THROWS_WITH_AS(write_weights(Architecture::mtcnn, scratch.path / "m.afw", DataType::f16, edit),
                       "tensor \"rnet.conv2.weight\": 65520 is too large for f16, store as bf16 or f32",
                       Error);
  CHECK(std::filesystem::is_empty(scratch.path));
}

TEST_CASE("truncated anywhere: refused") {
  const Bytes bytes = small_file();
  for (std::size_t size = 0; size < bytes.size(); size += size < 8192 ? 61 : 99'991)
    CHECK_FALSE(refusal({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)}).empty());
  Bytes longer = bytes;
  longer.push_back({});
  CHECK_FALSE(refusal(longer).empty());
}

TEST_CASE("every flipped bit of header and directory is noticed") {
  const Bytes bytes = small_file();
  const std::size_t front = payload_offset(tensor_table(Architecture::mtcnn).size());
  for (std::size_t bit = 0; bit < 8 * front; bit += 3) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= std::byte(1 << bit % 8);
    CAPTURE(bit);
    bool refused = false;
    try {
      parse_afw(flipped, "net.afw");
    } catch (const Error&) {
      refused = true;
    }
    REQUIRE(refused);
  }
}

TEST_CASE("a flipped bit of a tensor is noticed, and the tensor named") {
  Bytes bytes = small_file();
  const Scratch scratch("test-weights-flip");
  const std::size_t at =
      static_cast<std::size_t>(parse_afw(bytes, "").tensors[20].data.data() - bytes.data());
  const std::string name(parse_afw(bytes, "").tensors[20].name);
  bytes[at] ^= std::byte{1};
  {
    io::AtomicFile out(scratch.path / "m.afw");
    out.append(bytes);
    out.commit();
  }
  const AfwFile file(scratch.path / "m.afw");
  for (const TensorView& tensor : file.tensors())
    if (tensor.name == name)
      CHECK_THROWS_WITH_AS(file.verify(tensor),
                           doctest::Contains(("tensor \"" + name + "\": checksum").c_str()), Error);
    else
      CHECK_NOTHROW(file.verify(tensor));
}

TEST_CASE("well-signed nonsense is refused") {
  const Bytes bytes = small_file();
  CHECK(refusal(with_field(bytes, offsetof(Header, version), 2u), ErrorCode::unsupported) ==
        "net.afw: has format version 2, this build reads version 1");
  CHECK_FALSE(refusal(with_field(bytes, offsetof(Header, architecture), 7u)).empty());
  CHECK_FALSE(refusal(with_field(bytes, offsetof(Header, architecture), 5u)).empty());
  CHECK_FALSE(refusal(with_field(bytes, offsetof(Header, color), 2u)).empty());
  CHECK_FALSE(refusal(with_field(bytes, offsetof(Header, storage), 1u)).empty());
  CHECK_FALSE(refusal(with_field(bytes, offsetof(Header, tensor_count), ~0u)).empty());
  CHECK_FALSE(refusal(with_field(bytes, offsetof(Header, file_bytes), ~std::uint64_t{0})).empty());
  CHECK_FALSE(refusal(with_field(bytes, offsetof(Header, payload_offset), ~std::uint64_t{0})).empty());
  CHECK_FALSE(refusal(with_field(bytes, record(3, offsetof(TensorRecord, rank)), 5u)).empty());
  CHECK_FALSE(refusal(with_field(bytes, record(3, offsetof(TensorRecord, type)), 1u)).empty());
  CHECK_FALSE(
      refusal(with_field(bytes, record(3, offsetof(TensorRecord, offset)), ~std::uint64_t{63})).empty());
  CHECK_FALSE(
      refusal(with_field(bytes, record(3, offsetof(TensorRecord, bytes)), ~std::uint64_t{0})).empty());
  CHECK(refusal(with_field(bytes, record(0, offsetof(TensorRecord, shape)), 64u)) ==
        "net.afw: tensor \"pnet.conv1.weight\" is 64x3x3x3, expected 10x3x3x3");
  CHECK(refusal(with_field(bytes, record(0, offsetof(TensorRecord, name)), std::uint64_t{'x'})) ==
        "net.afw: tensor \"x\", expected \"pnet.conv1.weight\"");
}

TEST_CASE("values that no network has are refused, and the tensor named") {
  const Scratch scratch("test-weights-nan");
  const auto verify = [&](Architecture architecture, const std::string& tensor, float value) {
    write_weights(architecture, scratch.path / "m.afw", DataType::f32,
                  [&](const TensorRow& row, auto& values) {
                    if (row.name == tensor) values.back() = value;
                  });
    const AfwFile file(scratch.path / "m.afw");
    file.verify(file.tensor(tensor));
  };
  CHECK_THROWS_WITH_AS(verify(Architecture::mtcnn, "onet.conv3.bias", NAN),
                       doctest::Contains("tensor \"onet.conv3.bias\" holds a value that is not finite"),
                       Error);
  CHECK_THROWS_AS(verify(Architecture::mtcnn, "onet.conv3.weight", -INFINITY), Error);
  CHECK_THROWS_WITH_AS(verify(Architecture::ir_18, "stem.bn.variance", -1e-9f),
                       doctest::Contains("tensor \"stem.bn.variance\" holds a negative variance"), Error);
  CHECK_NOTHROW(verify(Architecture::mtcnn, "onet.conv3.bias", -1.0f));
}

TEST_CASE("files that are not there, or not files") {
  const Scratch scratch("test-weights-files");
  const auto code = [](const std::filesystem::path& path) {
    try {
      AfwFile file(path);
    } catch (const Error& error) {
      return error.code();
    }
    return ErrorCode::internal;
  };
  CHECK(code(scratch.path / "missing.afw") == ErrorCode::not_found);
  CHECK(code(scratch.path) == ErrorCode::io);
  std::ofstream(scratch.path / "empty.afw").close();
  CHECK(code(scratch.path / "empty.afw") == ErrorCode::corrupt);
  std::ofstream(scratch.path / "text.afw") << std::string(1000, 'a');
  CHECK(code(scratch.path / "text.afw") == ErrorCode::corrupt);
  CHECK_THROWS_AS(write_weights(Architecture::mtcnn, scratch.path / "no" / "such" / "m.afw"), Error);
}
