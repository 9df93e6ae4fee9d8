// The tables of kernels.h that a CPU can choose from: select.cpp takes one, tests compare them all.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "kernels/kernels.h"

namespace adaface::kernels {

// What a CPU with this instruction set computes with: the level below, overwritten by what is faster.
struct Level {
  const char* name;  // "reference", "sse41", "avx2", "avx512", "avx512 vnni bf16" or either of these
  Kernels kernels;
  const WinogradKernels *winograd8, *winograd16;  // for blocks of 8 and 16 channels; null: none
};

struct Levels {
  std::array<Level, 5> list;
  std::size_t count = 0;

  // One more, equal to the last.
  Level& add(const char* name) {
    list[count] = list[count - 1];
    list[count].name = name;
    return list[count++];
  }
};

// Those of this CPU, whatever the cap; the definitions first.
std::span<const Level> levels();

}  // namespace adaface::kernels
