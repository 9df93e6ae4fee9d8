// The bytes of a fuzz target's input, taken from the front as numbers; zeros when they are used up.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <span>

namespace adaface::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : bytes_(data, size) {}

  template <typename T>
  T take() {
    T value{};
    const std::size_t count = std::min(sizeof value, bytes_.size());
    if (count > 0) std::memcpy(&value, bytes_.data(), count);
    bytes_ = bytes_.subspan(count);
    return value;
  }
  // One of some values that a byte chooses.
  template <typename T, std::size_t N>
  T one_of(const T (&values)[N]) {
    return values[take<std::uint8_t>() % N];
  }
  // From 0 to 1.
  double fraction() { return take<std::uint8_t>() / 255.0; }
  // Mostly a number of the size of a picture's coordinates; else any bits, or one of the values that
  // arithmetic breaks at.
  float coordinate() {
    using Limits = std::numeric_limits<float>;
    static constexpr float kBreaking[] = {Limits::quiet_NaN(),  Limits::infinity(),
                                          -Limits::infinity(),  Limits::max(),
                                          Limits::lowest(),     Limits::min(),
                                          Limits::denorm_min(), 2147483648.0f,
                                          -2147483648.0f,       9.3e18f,
                                          16777216.0f,          -0.0f};
    const auto kind = take<std::uint8_t>();
    if (kind < 224) return static_cast<float>(take<std::int16_t>()) / 32;
    if (kind < 240) return take<float>();
    return kBreaking[(kind - 240) % std::size(kBreaking)];
  }
  std::span<const std::uint8_t> part(std::size_t most) {
    const std::span<const std::uint8_t> first = bytes_.first(std::min(most, bytes_.size()));
    bytes_ = bytes_.subspan(first.size());
    return first;
  }
  std::span<const std::uint8_t> rest() const { return bytes_; }

 private:
  std::span<const std::uint8_t> bytes_;
};

}  // namespace adaface::fuzz
