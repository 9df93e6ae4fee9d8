// The gallery file of the published article's program, representations_adaface_<model>.pkl: a pickle, written
// by pickle.dump, of a list of [path, embedding]. Read as the checkpoints are: nothing is executed.
//
//   checkpoint::FileSource file("representations_adaface_ir_101.pkl");
//   for (const auto& face : checkpoint::read_representations(file)) ...
#pragma once

#include <array>
#include <string>
#include <vector>

#include "tools/convert/byte_source.h"

namespace adaface::checkpoint {

struct Representation {
  std::string path;               // as stored: bytes of a file name, not empty, without NUL; may be relative
  std::array<float, 512> values;  // as stored, not normalised; finite
};

// In the order of the file; an empty list is none. Each entry is a list or tuple of a string and a torch
// tensor or NumPy array of {512} or {1,512} floating numbers. Files up to 256 MiB: some 110,000 entries;
// memory while reading is three times the file.
//
// Throws corrupt, limit, unsupported. Messages begin with the source's name and number entries from 1; where
// the pickle itself is damaged they give the byte instead.
std::vector<Representation> read_representations(const ByteSource& source);

}  // namespace adaface::checkpoint
