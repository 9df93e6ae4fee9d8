// Rows to values and back, each checked: what is read is as sound as what may be written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "src/gallery.hpp"
#include "src/gallery/database.h"

namespace adaface::gallery {

// What is wrong with it, in words; nothing when it may be stored.
std::optional<std::string> fault(const Embedding& embedding);
std::optional<std::string> fault(const FaceRecord& face);
std::optional<std::string> fault_of_name(const std::string& name);
std::optional<std::string> fault(const Photograph& photograph);

// What the readers below read, in the order that gallery.hpp promises. CROSS JOIN keeps the loops as they
// are written: the indices give the order, and nothing is sorted.
inline constexpr const char* kPeople =
    "SELECT id, name, "
    "(SELECT count(*) FROM photograph WHERE person = person.id"
    " AND EXISTS (SELECT 1 FROM face WHERE photograph = photograph.id)), "
    "(SELECT count(*) FROM photograph CROSS JOIN face ON face.photograph = photograph.id"
    " WHERE person = person.id) "
    "FROM person ORDER BY name";
inline constexpr const char* kPhotographs =
    "SELECT photograph.id, path, name, hash, bytes, modified_ns, rules, rejection "
    "FROM photograph CROSS JOIN person ON person.id = photograph.person ORDER BY path";
inline constexpr const char* kFaces =
    "SELECT face.id, path, name, person.id, unit, norm, score, x1, y1, x2, y2 "
    "FROM person CROSS JOIN photograph INDEXED BY photograph_person ON photograph.person = person.id "
    "CROSS JOIN face INDEXED BY face_photograph ON face.photograph = photograph.id "
    "ORDER BY name, path, photograph.id, face.id";
inline constexpr const char* kFaceById =
    "SELECT face.id, path, name, person.id, unit, norm, score, x1, y1, x2, y2 "
    "FROM face CROSS JOIN photograph ON photograph.id = face.photograph "
    "CROSS JOIN person ON person.id = photograph.person WHERE face.id = ?";

// Bytes of one embedding in the file: what every row of a face holds at least.
inline constexpr std::size_t kUnitBytes = kEmbeddingSize * 4;

// Throw corrupt, naming the row.
Person read_person(Statement& row);
Photograph read_photograph(Statement& row);
GalleryFace read_face(Statement& row);

// To the parameters from `first` on: unit, norm, score, x1, y1, x2, y2. The record must outlive the run.
void bind_face(Statement& statement, int first, const FaceRecord& face);

}  // namespace adaface::gallery
