// The numbers that programs in C have compiled in, and the functions that they call: against
// tests/abi/adaface.txt, in which lines are added and never changed within a major version
// (docs/stability.md).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

#include "src/adaface.h"
#include "tests/golden.h"

namespace {

using Lines = std::set<std::string>;

// "adaface_detect function", where other lines have numbers.
constexpr std::string_view kFunction = " function";

struct Record {
  Lines numbers, functions;
};

Record recorded() {
  std::ifstream file(adaface::testing::source_root() / "tests/abi/adaface.txt");
  REQUIRE(file.good());
  Record record;
  for (std::string line; std::getline(file, line);)
    if (!line.empty() && line[0] != '#')
      (line.ends_with(kFunction) ? record.functions : record.numbers).insert(line);
  return record;
}

// The header without its comments.
std::string header_code() {
  std::ifstream file(adaface::testing::source_root() / "src/adaface.h");
  const std::string header{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  REQUIRE(header.size() > 1000);
  return std::regex_replace(header, std::regex(R"(/\*[\s\S]*?\*/)"), "");
}

void each(const std::string& text, const char* pattern, auto&& visit) {
  const std::regex expression(pattern);
  for (std::sregex_iterator match(text.begin(), text.end(), expression), end; match != end; ++match)
    visit(*match);
}

Lines compiled() {
  Lines lines;
  const auto number = [&](const char* name, long long value) {
    lines.insert(std::string(name) + " " + std::to_string(value));
  };
  const auto structure = [&](const char* name, std::size_t size) {
    lines.insert(std::string(name) + " size " + std::to_string(size));
  };
  const auto field = [&](const char* name, std::size_t offset, std::size_t size) {
    lines.insert(std::string(name) + " offset " + std::to_string(offset) + " size " + std::to_string(size));
  };
#define NUMBER(name) number(#name, name)
#define STRUCTURE(type) structure(#type, sizeof(type))
#define FIELD(type, member) field(#type "." #member, offsetof(type, member), sizeof(type::member))
  NUMBER(ADAFACE_OK);
  NUMBER(ADAFACE_INVALID_ARGUMENT);
  NUMBER(ADAFACE_NOT_FOUND);
  NUMBER(ADAFACE_IO);
  NUMBER(ADAFACE_CORRUPT);
  NUMBER(ADAFACE_UNSUPPORTED);
  NUMBER(ADAFACE_LIMIT);
  NUMBER(ADAFACE_OUT_OF_MEMORY);
  NUMBER(ADAFACE_CANCELLED);
  NUMBER(ADAFACE_INTERNAL);
  NUMBER(ADAFACE_DEVICE_CPU);
  NUMBER(ADAFACE_DEVICE_CUDA);
  NUMBER(ADAFACE_LOG_NONE);
  NUMBER(ADAFACE_LOG_WARNING);
  NUMBER(ADAFACE_LOG_INFO);
  NUMBER(ADAFACE_LOG_DEBUG);
  NUMBER(ADAFACE_RGB);
  NUMBER(ADAFACE_BGR);
  NUMBER(ADAFACE_MODE_STANDARD);
  NUMBER(ADAFACE_MODE_REFERENCE);
  NUMBER(ADAFACE_F32);
  NUMBER(ADAFACE_BF16);
  NUMBER(ADAFACE_F16);
  NUMBER(ADAFACE_PLAN_FAST);
  NUMBER(ADAFACE_PLAN_SMALL);
  NUMBER(ADAFACE_FACES_ALL);
  NUMBER(ADAFACE_FACES_LARGEST);
  NUMBER(ADAFACE_FACES_BEST);
  NUMBER(ADAFACE_CROP_SIZE);
  NUMBER(ADAFACE_EMBEDDING_SIZE);

  STRUCTURE(adaface_cuda_device_info);
  FIELD(adaface_cuda_device_info, struct_size);
  FIELD(adaface_cuda_device_info, name);
  FIELD(adaface_cuda_device_info, memory_bytes);
  FIELD(adaface_cuda_device_info, device_index);
  FIELD(adaface_cuda_device_info, compute_major);
  FIELD(adaface_cuda_device_info, compute_minor);
  STRUCTURE(adaface_allocator);
  FIELD(adaface_allocator, struct_size);
  FIELD(adaface_allocator, allocate);
  FIELD(adaface_allocator, release);
  FIELD(adaface_allocator, user);
  STRUCTURE(adaface_image_view);
  FIELD(adaface_image_view, data);
  FIELD(adaface_image_view, width);
  FIELD(adaface_image_view, height);
  FIELD(adaface_image_view, stride);
  FIELD(adaface_image_view, order);
  STRUCTURE(adaface_decode_options);
  FIELD(adaface_decode_options, struct_size);
  FIELD(adaface_decode_options, apply_orientation);
  FIELD(adaface_decode_options, max_side);
  FIELD(adaface_decode_options, max_file_bytes);
  STRUCTURE(adaface_weights_info);
  FIELD(adaface_weights_info, struct_size);
  FIELD(adaface_weights_info, architecture);
  FIELD(adaface_weights_info, color);
  FIELD(adaface_weights_info, storage);
  FIELD(adaface_weights_info, source_sha256);
  FIELD(adaface_weights_info, weights_sha256);
  FIELD(adaface_weights_info, file_bytes);
  FIELD(adaface_weights_info, parameters);
  STRUCTURE(adaface_face);
  FIELD(adaface_face, box);
  FIELD(adaface_face, score);
  FIELD(adaface_face, landmarks);
  STRUCTURE(adaface_detector_options);
  FIELD(adaface_detector_options, struct_size);
  FIELD(adaface_detector_options, mode);
  FIELD(adaface_detector_options, threads);
  FIELD(adaface_detector_options, min_face);
  FIELD(adaface_detector_options, pyramid_factor);
  FIELD(adaface_detector_options, score_thresholds);
  FIELD(adaface_detector_options, overlap_thresholds);
  FIELD(adaface_detector_options, device);
  FIELD(adaface_detector_options, device_index);
  STRUCTURE(adaface_embedding);
  FIELD(adaface_embedding, unit);
  FIELD(adaface_embedding, norm);
  STRUCTURE(adaface_embedder_options);
  FIELD(adaface_embedder_options, struct_size);
  FIELD(adaface_embedder_options, threads);
  FIELD(adaface_embedder_options, precision);
  FIELD(adaface_embedder_options, plan);
  FIELD(adaface_embedder_options, reserved);
  FIELD(adaface_embedder_options, device);
  FIELD(adaface_embedder_options, device_index);
  STRUCTURE(adaface_engine_options);
  FIELD(adaface_engine_options, struct_size);
  FIELD(adaface_engine_options, threads);
  FIELD(adaface_engine_options, faces);
  FIELD(adaface_engine_options, precision);
  FIELD(adaface_engine_options, plan);
  FIELD(adaface_engine_options, detection);
  FIELD(adaface_engine_options, device);
  FIELD(adaface_engine_options, device_index);
#undef NUMBER
#undef STRUCTURE
#undef FIELD
  return lines;
}

// Structs that begin with their size may grow: what is recorded is the size that they had in version 1.0.
bool has_grown(const std::string& line) {
  const auto larger = [&](const char* type, std::size_t size) {
    const std::string start = std::string(type) + " size ";
    return line.starts_with(start) && size > std::stoul(line.substr(start.size()));
  };
  return larger("adaface_cuda_device_info", sizeof(adaface_cuda_device_info)) ||
         larger("adaface_allocator", sizeof(adaface_allocator)) ||
         larger("adaface_decode_options", sizeof(adaface_decode_options)) ||
         larger("adaface_weights_info", sizeof(adaface_weights_info)) ||
         larger("adaface_detector_options", sizeof(adaface_detector_options)) ||
         larger("adaface_embedder_options", sizeof(adaface_embedder_options)) ||
         larger("adaface_engine_options", sizeof(adaface_engine_options));
}

// The size line of a struct that has grown.
bool grown_from(const std::string& line, const Lines& then) {
  const std::string start = line.substr(0, line.find(' ')) + " size ";
  const auto before = then.lower_bound(start);
  return line.starts_with(start) && before != then.end() && before->starts_with(start) && has_grown(*before);
}

TEST_CASE("numbers, sizes and offsets are those that were recorded") {
  static_assert(sizeof(void*) == 8, "recorded for 64-bit systems");
  const Lines now = compiled(), then = recorded().numbers;
  for (const std::string& line : then)
    CHECK_MESSAGE((now.contains(line) || has_grown(line)), "programs have compiled in: ", line);
  for (const std::string& line : now)
    CHECK_MESSAGE((then.contains(line) || grown_from(line, then)), "not in tests/abi/adaface.txt: ", line);
}

TEST_CASE("functions are those that were recorded") {
  Lines now;
  each(header_code(), R"(ADAFACE_API [\w\s*]*?\b(adaface_\w+)\()",
       [&](const std::smatch& match) { now.insert(match[1].str().append(kFunction)); });
  const Lines then = recorded().functions;
  std::size_t marked = 0;
  each(header_code(), R"(ADAFACE_API )", [&](const std::smatch&) { ++marked; });
  CHECK(now.size() == marked);
  CHECK(marked >= 42);
  for (const std::string& line : then)
    CHECK_MESSAGE(now.contains(line), "programs call, and src/adaface.h does not declare: ", line);
  for (const std::string& line : now)
    CHECK_MESSAGE(then.contains(line), "add to tests/abi/adaface.txt: ", line);
}

// Each enumerator and each struct of the header stands in the list above.
TEST_CASE("nothing of the header is left out") {
  Lines names;
  for (const std::string& line : compiled()) names.insert(line.substr(0, line.find(' ')));
  const std::string code = header_code();
  int found = 0;
  each(code, R"((ADAFACE_\w+) = )", [&](const std::smatch& match) {
    ++found;
    CHECK_MESSAGE(names.contains(match[1]), match[1].str());
  });
  CHECK(found >= 25);
  found = 0;
  each(code, R"(typedef struct (\w+) \{([^}]*)\})", [&](const std::smatch& match) {
    ++found;
    // A field may share its line with others of its type.
    const std::string type = match[1], body = match[2];
    CHECK_MESSAGE(names.contains(type), type);
    each(body, R"((?:\(\*(\w+)\)\()|(\w+)(?:\[\w+\])*[,;])", [&](const std::smatch& member) {
      const std::string name = member[1].matched ? member[1] : member[2];
      // Parameters of a function pointer end in a comma too.
      if (body.find("(*") != std::string::npos && !member[1].matched && name != "user" &&
          name != "struct_size")
        return;
      CHECK_MESSAGE(names.contains(type + "." + name), type, ".", name);
    });
  });
  CHECK(found == 10);
}

}  // namespace
