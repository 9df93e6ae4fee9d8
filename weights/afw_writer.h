// Writing .afw files: the converter's side. Links libcrypto for SHA-256; the engine does not.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "weights/afw.h"

namespace adaface::weights {

// SHA-256 of a stream of bytes.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  void update(std::span<const std::byte> bytes);
  Sha256 finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Streams the tensors of one network to a file, in the order of tensor_specs(architecture, storage); memory
// does not grow with the weights. Nothing appears at `path` before commit(). Identical arguments give
// identical bytes.
class AfwWriter {
 public:
  AfwWriter(const std::filesystem::path& path, Architecture architecture, ColorOrder color, DataType storage);
  ~AfwWriter();

  std::span<const TensorSpec> specs() const;
  // The next elements of the current tensor, as float32; rounded to nearest even where the storage is
  // narrower. A tensor may come in several pieces; a piece may not cross into the next tensor (throws
  // internal). Throws invalid_argument when a finite value overflows the storage type; the message begins
  // with `source`, what the values were read from, or else with the tensor's name in the file.
  void append(std::span<const float> values, std::string_view source = {});
  // Precondition: every tensor is complete. Writes header and directory, syncs, renames.
  void commit(const Sha256& source_sha256);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace adaface::weights
