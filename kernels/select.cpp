#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "kernels/kernels.h"
#include "kernels/levels.h"
#include "kernels/reference/reference.h"
#if defined(__x86_64__)
#include "kernels/x86/x86.h"
#endif

namespace adaface::kernels {
namespace {

constexpr std::string_view kCaps[] = {"reference", "sse41", "avx2", "avx512"};

Levels levels_of_this_cpu() {
  Levels levels;
  levels.list[0] = {"reference", definitions(), nullptr, nullptr};
  levels.count = 1;
#if defined(__x86_64__)
  x86::add_levels(levels);
#endif
  return levels;
}

struct Selection {
  const Level* level;
  char unknown_cap[64];  // cut where it is longer; nothing to destroy while threads may still compute
};

// The highest, or the one that the variable names in any case. The name of a level that only other CPUs have
// caps nothing, and rightly so.
const Selection& selection() {
  static const Selection kSelection = [] {
    Selection selection{&levels().back(), ""};
    const char* text = std::getenv("ADAFACE_MAX_ISA");
    std::string cap = text ? text : "";
    for (char& c : cap)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    for (const Level& level : levels())
      if (level.name == cap) {
        selection.level = &level;
        return selection;
      }
    if (!cap.empty() && std::find(std::begin(kCaps), std::end(kCaps), cap) == std::end(kCaps))
      std::snprintf(selection.unknown_cap, sizeof selection.unknown_cap, "%s", text);
    return selection;
  }();
  return kSelection;
}
const Level& selected() {
  return *selection().level;
}

}  // namespace

std::span<const Level> levels() {
  static const Levels kLevels = levels_of_this_cpu();
  return {kLevels.list.data(), kLevels.count};
}

const Kernels& select() {
  return selected().kernels;
}

const char* instruction_sets() {
  return selected().name;
}

const char* unknown_cap() {
  return selection().unknown_cap;
}

const WinogradKernels* winograd(int block) {
  return block == 8 ? selected().winograd8 : block == 16 ? selected().winograd16 : nullptr;
}

const WinogradKernels& winograd_definition(int block) {
  return block == reference::kWinograd16.block ? reference::kWinograd16 : reference::kWinograd8;
}

const Kernels& definitions() {
  static constexpr Kernels kTable = {
      .pack_strip = reference::pack_strip,
      .resize_across = reference::resize_across,
      .resize_down = reference::resize_down,
      .pnet = reference::pnet,
      .convolve = reference::convolve,
      .pool = reference::pool,
      .warp_affine = reference::warp_affine,
      .scale_shift = reference::scale_shift,
      .to_bf16 = reference::to_bf16,
      .prelu = reference::prelu,
      .linear = reference::linear,
      .dense = reference::dense,
      .subsample = reference::subsample,
      .global_average = reference::global_average,
      .gate_add = reference::gate_add,
      .dot_products = reference::dot_products,
      .multiply_adds = reference::multiply_adds,
      .multiply_adds_bf16 = reference::multiply_adds,
      .read_words = reference::read_words,
  };
  return kTable;
}

}  // namespace adaface::kernels
