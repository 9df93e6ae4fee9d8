// Untrained checkpoints in the layout of the released ones, as torch.save writes them.
#pragma once

#include <cstdint>
#include <filesystem>

#include "weights/tensor_table.h"

namespace adaface::synthetic {

// Precondition: architecture is not mtcnn. Complete or absent; the same arguments give the same bytes.
void write_checkpoint(weights::Architecture architecture, std::uint64_t seed,
                      const std::filesystem::path& path);

}  // namespace adaface::synthetic
