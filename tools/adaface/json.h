// The JSON lines of every verb.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "src/adaface.hpp"
#include "tools/adaface/batch.h"

namespace adaface::cli {

// Keys in the order in which they are set.
using Json = nlohmann::ordered_json;

// The shortest decimal that reads back as the same float32.
double decimal(float value);

Json to_json(const Box& box);                                // [x1, y1, x2, y2]
Json to_json(const Face& face);                              // box, score, landmarks
void add_embedding(Json& face, const Embedding& embedding);  // embedding, norm
// {"file", "error": {"code", "message"}}
Json to_json(const Input& input, const Failure& failure);

// One line on standard output, at once. JSON is UTF-8: in text that is not, such as names of files, bytes are
// replaced by U+FFFD, and the bytes stand in hexadecimal under its key with "_hex" added; of a list of texts,
// a list with null for those that are UTF-8. Throws io.
void print_line(const Json& json);

// An input that failed: a JSON line, or a line on standard error.
void report(const Input& input, const Failure& failure, bool json);

}  // namespace adaface::cli
