#include "src/nn/slots.h"

#include <algorithm>

#include "src/error.hpp"
#include "src/nn/blocks.h"

namespace adaface::nn {
namespace {

class Assignment {
 public:
  Assignment(const Network& network, const std::vector<std::size_t>& sizes)
      : slots{std::vector<int>(sizes.size(), -1), {}}, last_use_(sizes.size(), -1) {
    const int count = static_cast<int>(network.layers.size());
    for (int i = 0; i < count; ++i)
      for (Value value : {network.layers[index(i)].src, network.layers[index(i)].residual})
        if (value >= 0) last_use_[index(value)] = i;
    last_use_[index(network.output)] = count;
    std::vector<int>& slot_of = slots.slot_of;
    slot_of[index(network.input)] = acquire(sizes[index(network.input)]);
    for (int i = 0; i < count; ++i) {
      const Layer& layer = network.layers[index(i)];
      if (layer.residual >= 0 && layer.residual_stride == 1) {
        if (last_use_[index(layer.residual)] != i || layer.residual == layer.src)
          throw Error(ErrorCode::internal, "layer " + layer.name + ": its residual is used again");
        slot_of[index(layer.dst)] = slot_of[index(layer.residual)];
      } else {
        slot_of[index(layer.dst)] = acquire(sizes[index(layer.dst)]);
      }
      if (last_use_[index(layer.src)] == i) free_.push_back(slot_of[index(layer.src)]);
      if (layer.residual >= 0 && layer.residual_stride > 1 && layer.residual != layer.src &&
          last_use_[index(layer.residual)] == i)
        free_.push_back(slot_of[index(layer.residual)]);
    }
  }

  Slots slots;

 private:
  int acquire(std::size_t size) {
    // The smallest free slot that is large enough, else the largest, which then grows.
    auto better = [&](int a, int b) {
      const std::size_t x = slots.slot_sizes[index(a)], y = slots.slot_sizes[index(b)];
      return (x >= size) != (y >= size) ? x >= size : x >= size ? x < y : x > y;
    };
    const auto best = std::min_element(free_.begin(), free_.end(), better);
    if (best == free_.end()) {
      slots.slot_sizes.push_back(size);
      return static_cast<int>(slots.slot_sizes.size()) - 1;
    }
    const int slot = *best;
    free_.erase(best);
    slots.slot_sizes[index(slot)] = std::max(slots.slot_sizes[index(slot)], size);
    return slot;
  }

  std::vector<int> last_use_;
  std::vector<int> free_;
};

}  // namespace

Slots assign_slots(const Network& network, const std::vector<std::size_t>& sizes) {
  return std::move(Assignment(network, sizes).slots);
}

}  // namespace adaface::nn
