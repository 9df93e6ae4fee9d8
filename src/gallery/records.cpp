#include "src/gallery/records.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

namespace adaface::gallery {
namespace {

static_assert(std::endian::native == std::endian::little, "embeddings are stored as they lie in memory");

// An embedding of a network in float32 is off by some 1e-7; a norm further off than this is another error.
constexpr double kNormTolerance = 1e-3;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

float to_float(Statement& row, int column, const char* name) {
  const double value = row.real(column);
  if (!(std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max())))
    row.damaged(std::string(name) + " is " + number(value) + ", expected a finite float");
  return static_cast<float>(value);
}

void check(Statement& row, const std::optional<std::string>& what) {
  if (what) row.damaged(*what);
}

std::uint32_t to_person(Statement& row, int column) {
  const std::int64_t id = row.integer(column);
  if (id < 1 || id > std::numeric_limits<std::uint32_t>::max())
    row.damaged("person is " + std::to_string(id) + ", expected 1 to 4294967295");
  return static_cast<std::uint32_t>(id);
}

std::optional<std::string> fault_of_text(const char* noun, const std::string& text, bool may_be_empty) {
  if (text.empty() && !may_be_empty) return std::string(noun) + " is empty";
  if (text.find('\0') != std::string::npos) return std::string(noun) + " has a NUL byte";
  if (text.size() > kMaxTextBytes)
    return std::string(noun) + " is of " + std::to_string(text.size()) + " bytes, expected at most " +
           std::to_string(kMaxTextBytes);
  return std::nullopt;
}

}  // namespace

std::optional<std::string> fault(const Embedding& embedding) {
  double square = 0;
  for (const float value : embedding.unit) square += static_cast<double>(value) * static_cast<double>(value);
  if (!std::isfinite(square)) return "unit is not finite";
  const double norm = std::sqrt(square);
  if (std::abs(norm - 1) > kNormTolerance)
    return "unit is of norm " + number(norm) + ", expected 1 within 1e-3";
  if (!std::isfinite(embedding.norm)) return "norm is not finite";
  return std::nullopt;
}

std::optional<std::string> fault(const FaceRecord& face) {
  for (const float value : {face.score, face.box.x1, face.box.y1, face.box.x2, face.box.y2})
    if (!std::isfinite(value)) return "box or score is not finite";
  return fault(face.embedding);
}

std::optional<std::string> fault_of_name(const std::string& name) {
  return fault_of_text("name of the person", name, false);
}

std::optional<std::string> fault(const Photograph& photograph) {
  if (auto what = fault_of_text("path", photograph.path.native(), false)) return what;
  if (auto what = fault_of_name(photograph.identity)) return what;
  if (auto what = fault_of_text("rules", photograph.rules, true)) return what;
  if (auto what = fault_of_text("rejection", photograph.rejection, true)) return what;
  if (photograph.bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return "size is " + std::to_string(photograph.bytes) + " bytes, expected less than 2^63";
  return std::nullopt;
}

Person read_person(Statement& row) {
  to_person(row, 0);
  Person person{row.bytes(1), static_cast<std::size_t>(row.integer(2)),
                static_cast<std::size_t>(row.integer(3))};
  check(row, fault_of_name(person.identity));
  return person;
}

Photograph read_photograph(Statement& row) {
  Photograph photograph;
  photograph.path = row.bytes(1);
  photograph.identity = row.bytes(2);
  const std::span<const std::byte> hash = row.blob(3);
  if (hash.size() != photograph.hash.size())
    row.damaged("hash is of " + std::to_string(hash.size()) + " bytes, expected 16");
  std::memcpy(photograph.hash.data(), hash.data(), hash.size());
  const std::int64_t bytes = row.integer(4);
  if (bytes < 0) row.damaged("bytes is " + std::to_string(bytes) + ", expected none below 0");
  photograph.bytes = static_cast<std::uint64_t>(bytes);
  photograph.modified_ns = row.integer(5);
  photograph.rules = row.bytes(6);
  photograph.rejection = row.bytes(7);
  check(row, fault(photograph));
  return photograph;
}

GalleryFace read_face(Statement& row) {
  GalleryFace face;
  face.photograph = row.bytes(1);
  face.identity = row.bytes(2);
  face.person = to_person(row, 3);
  const std::span<const std::byte> unit = row.blob(4);
  if (unit.size() != kUnitBytes)
    row.damaged("unit is of " + std::to_string(unit.size()) + " bytes, expected " +
                std::to_string(kUnitBytes));
  std::memcpy(face.embedding.unit.data(), unit.data(), kUnitBytes);
  face.embedding.norm = to_float(row, 5, "norm");
  face.score = to_float(row, 6, "score");
  face.box = {to_float(row, 7, "x1"), to_float(row, 8, "y1"), to_float(row, 9, "x2"),
              to_float(row, 10, "y2")};
  check(row, fault(face.embedding));
  check(row, fault_of_text("path", face.photograph.native(), false));
  check(row, fault_of_name(face.identity));
  return face;
}

void bind_face(Statement& statement, int first, const FaceRecord& face) {
  statement.bind(first, std::as_bytes(std::span(face.embedding.unit)));
  for (const float value :
       {face.embedding.norm, face.score, face.box.x1, face.box.y1, face.box.x2, face.box.y2})
    statement.bind(++first, static_cast<double>(value));
}

}  // namespace adaface::gallery
