// The Winograd kernels put together, a version beside its definition.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/kernels.h"
#include "tests/winograd_problem.h"

namespace adaface::kernels {

// Half a unit in the last of 24, 11 and 8 bits: the relative error of one rounding.
constexpr double kFloat = 0x1p-24, kHalf = 0x1p-11, kBrain = 0x1p-8;

struct Arithmetic {
  const char* name;
  WinogradType type;
  bool bf16;                           // products of bfloat16
  double weight_rounding, v_rounding;  // besides those of float32
};
constexpr Arithmetic kArithmetics[] = {{"f32", WinogradType::f32, false, 0, 0},
                                       {"f16 weights", WinogradType::f16, false, kHalf, 0},
                                       {"bf16 weights", WinogradType::bf16, false, kBrain, 0},
                                       {"bf16 products", WinogradType::bf16, true, kBrain, kBrain}};

struct Version {
  const WinogradKernels& kernels;
  const WinogradKernels& definition;
  bool defines() const { return &kernels == &definition; }
  std::string name() const {
    return "blocks of " + std::to_string(kernels.block) + (defines() ? ", definition" : "");
  }
};

// The definition stands in where this CPU, or the cap, has no other.
inline std::vector<Version> versions() {
  std::vector<Version> result;
  for (const int block : {8, 16}) {
    const WinogradKernels &definition = winograd_definition(block), *kernels = winograd(block);
    result.push_back({kernels ? *kernels : definition, definition});
  }
  return result;
}

template <typename F>
void for_each_version(F&& f) {
  for (const Version& version : versions())
    for (const Arithmetic& arithmetic : kArithmetics)
      if (!arithmetic.bf16 || version.kernels.multiply_bf16) f(version, arithmetic);
}

// The worst of many differences in units of their bounds.
struct Worst {
  double units = 0;
  std::string where;
  template <typename Describe>
  void take(double difference, double bound, Describe&& describe) {
    const double now = difference == 0 ? 0 : bound > 0 ? difference / bound : HUGE_VAL;
    if (now <= units) return;
    units = std::isnan(now) ? HUGE_VAL : now;
    where = describe();
  }
};

inline std::string describe(const Problem& p) {
  static const char* const kTiles[] = {"4+2", "4", "2"};
  std::string text = std::to_string(p.images) + " x " + std::to_string(p.in) + " -> " +
                     std::to_string(p.out) + ", " + std::to_string(p.height) + "x" + std::to_string(p.width) +
                     ", tiles of " + kTiles[static_cast<int>(p.tiles)];
  return text + (p.norm ? ", norm" : "") + (p.prelu ? ", prelu" : "") + (p.add ? ", add" : "");
}

// {images, channels, pixels} to {images, blocks, pixels, block}.
inline Floats blocked(const Floats& planes, int images, int channels, int pixels, int block) {
  const int blocks = (channels + block - 1) / block;
  Floats result(size(images * blocks) * size(pixels * block));
  for (int image = 0; image < images; ++image)
    for (int c = 0; c < channels; ++c)
      for (int i = 0; i < pixels; ++i)
        result[(size(image * blocks + c / block) * size(pixels) + size(i)) * size(block) + size(c % block)] =
            planes[size(image * channels + c) * size(pixels) + size(i)];
  return result;
}

inline Floats padded(Floats values, int count) {
  values.resize(size(count));
  return values;
}

// The four kernels over a problem. With `products`, the definition works on the same operands beside them:
// inputs, weights and outputs have to be the same bits, products are compared there.
class Convolution {
 public:
  Convolution(const Version& version, const Arithmetic& arithmetic, const Problem& p, const Data& data,
              Worst* products = nullptr)
      : k_(version.kernels),
        definition_(version.definition),
        a_(arithmetic),
        p_(p),
        data_(data),
        in_blocks_((p.in + k_.block - 1) / k_.block),
        out_blocks_((p.out + k_.block - 1) / k_.block),
        panels_((p.out + k_.panel - 1) / k_.panel),
        pixels_(p.height * p.width),
        worst_products_(products),
        src_(blocked(data.src, p.images, p.in, pixels_, k_.block)),
        dst_(size(p.images * out_blocks_) * size(pixels_ * k_.block)),
        other_dst_(dst_.count()),
        scale_(p.norm ? padded(data.scale, in_blocks_ * k_.block) : Floats{}),
        shift_(p.norm ? padded(data.shift, in_blocks_ * k_.block) : Floats{}),
        bias_(padded(data.bias, panels_ * k_.panel)),
        slope_(p.prelu ? padded(data.slope, panels_ * k_.panel) : Floats{}) {
    REQUIRE(k_.panel == definition_.panel);
  }

  // {images, out blocks, height, width, block}
  Floats run(int band_rows) {
    if (p_.add) {
      const Floats residual = blocked(data_.residual, p_.images, p_.out, pixels_, k_.block);
      std::copy(residual.begin(), residual.end(), dst_.data());
      std::copy(residual.begin(), residual.end(), other_dst_.data());
    }
    const std::vector<WinogradGrid> grids = bands(p_, band_rows);
    for (int panel = 0; panel < panels_; ++panel) weights(grids[0], panel);
    for (const WinogradGrid& grid : grids) a_.bf16 ? run_band<std::uint16_t>(grid) : run_band<float>(grid);
    CHECK(dst_.intact());
    return Floats(dst_.data(), dst_.data() + dst_.count());
  }

 private:
  void weights(const WinogradGrid& grid, int panel) {
    const std::size_t count = size(winograd_positions(grid)) *
                              kernels::winograd_position_bytes(in_blocks_, k_.block, k_.panel, a_.type);
    const int first = panel * k_.panel, rows = std::min(k_.panel, p_.out - first);
    const float* begin = data_.weights.data() + size(first * p_.in) * 9;
    Guarded<float> src(Floats(begin, begin + size(rows * p_.in) * 9));
    Guarded<std::uint8_t> u(count), other(u.count());
    const bool keep = panel % 2 == 1;
    k_.weights(grid, src.data(), nullptr, rows, p_.in, in_blocks_, a_.type, keep, u.data());
    CHECK(u.intact());
    if (worst_products_) {
      definition_.weights(grid, src.data(), nullptr, rows, p_.in, in_blocks_, a_.type, keep, other.data());
      CHECK(first_difference(u, other) == u.count());
      check_scale(grid, src, rows, other);
    }
    u_.push_back(std::move(u));
  }

  // Rows times a scale are rows that were multiplied before; `unscaled`: U without one.
  void check_scale(const WinogradGrid& grid, Guarded<float>& src, int rows, Guarded<std::uint8_t>& unscaled) {
    Floats scale, multiplied(src.data(), src.data() + src.count());
    for (int row = 0; row < rows; ++row) scale.push_back(0.5f + 0.37f * static_cast<float>(row));
    const std::size_t each = multiplied.size() / size(rows);
    for (std::size_t i = 0; i < multiplied.size(); ++i) multiplied[i] *= scale[i / each];
    Guarded<std::uint8_t> scaled(unscaled.count()), expected(unscaled.count());
    k_.weights(grid, src.data(), scale.data(), rows, p_.in, in_blocks_, a_.type, true, scaled.data());
    definition_.weights(grid, multiplied.data(), nullptr, rows, p_.in, in_blocks_, a_.type, false,
                        expected.data());
    CHECK(scaled.intact());
    CHECK(first_difference(scaled, expected) == expected.count());
    CHECK(first_difference(scaled, unscaled) < unscaled.count());
  }

  template <typename Element>
  void run_band(const WinogradGrid& grid) {
    const std::size_t products = size(winograd_positions(grid) * winograd_tiles(grid) * p_.images);
    Guarded<Element> v(products * size(in_blocks_ * k_.block)), other_v(v.count());
    for (int image = 0; image < p_.images; ++image)
      for (int block = 0; block < in_blocks_; ++block) {
        input(k_, grid, image, block, v);
        if (worst_products_) input(definition_, grid, image, block, other_v);
      }
    CHECK(v.intact());
    if (worst_products_) CHECK(first_difference(v, other_v) == v.count());

    for (int panel = 0; panel < panels_; ++panel) {
      Guarded<float> m(products * size(k_.panel));
      multiply(k_, grid, u_[size(panel)], v, m);
      CHECK(m.intact());
      if (worst_products_) check_products(grid, u_[size(panel)], v, m);
      for (int image = 0; image < p_.images; ++image)
        for (int part = 0; part < k_.panel / k_.block; ++part) {
          const int block = panel * (k_.panel / k_.block) + part;
          if (block >= out_blocks_) break;
          const float* begin = m.data() + size(part) * products * size(k_.block);
          Guarded<float> one(Floats(begin, begin + products * size(k_.block)));
          output(k_, grid, image, block, one, dst_);
          if (worst_products_) output(definition_, grid, image, block, one, other_dst_);
        }
    }
    if (worst_products_) CHECK(first_difference(dst_, other_dst_) == dst_.count());
  }

  template <typename Element>
  void input(const WinogradKernels& kernels, const WinogradGrid& grid, int image, int block,
             Guarded<Element>& v) {
    const WinogradInput shape{.grid = grid,
                              .height = p_.height,
                              .width = p_.width,
                              .in_blocks = in_blocks_,
                              .block = k_.block,
                              .images = p_.images,
                              .image = image,
                              .channel_block = block,
                              .scale = p_.norm ? scale_.data() + block * k_.block : nullptr,
                              .shift = p_.norm ? shift_.data() + block * k_.block : nullptr};
    const float* begin = src_.data() + size(image * in_blocks_ + block) * size(pixels_ * k_.block);
    Guarded<float> src(Floats(begin, begin + pixels_ * k_.block));
    Guarded<float> scratch(winograd_scratch(p_.width, k_.block));
    if constexpr (sizeof(Element) == 2)
      kernels.input_bf16(shape, src.data(), v.data(), scratch.data());
    else
      kernels.input(shape, src.data(), v.data(), scratch.data());
    CHECK(scratch.intact());
  }

  template <typename Element>
  void multiply(const WinogradKernels& kernels, const WinogradGrid& grid, Guarded<std::uint8_t>& u,
                Guarded<Element>& v, Guarded<float>& m) {
    if constexpr (sizeof(Element) == 2)
      kernels.multiply_bf16(grid, p_.images, in_blocks_, u.data(), v.data(), m.data());
    else
      kernels.multiply(grid, p_.images, in_blocks_, a_.type, u.data(), v.data(), m.data());
  }

  void output(const WinogradKernels& kernels, const WinogradGrid& grid, int image, int block,
              Guarded<float>& m, Guarded<float>& dst) {
    kernels.output({.grid = grid,
                    .height = p_.height,
                    .width = p_.width,
                    .block = k_.block,
                    .images = p_.images,
                    .image = image,
                    .bias = bias_.data() + block * k_.block,
                    .slope = p_.prelu ? slope_.data() + block * k_.block : nullptr,
                    .add = p_.add},
                   m.data(), dst.data() + size(image * out_blocks_ + block) * size(pixels_ * k_.block));
  }

  // A sum of n products in float32, in any order, is off by at most n roundings of the sum of their
  // magnitudes, and so is the definition's.
  template <typename Element>
  void check_products(const WinogradGrid& grid, Guarded<std::uint8_t>& u, Guarded<Element>& v,
                      Guarded<float>& m) {
    Guarded<float> expected(m.count()), magnitudes(m.count());
    multiply(definition_, grid, u, v, expected);
    if (first_difference(m, expected) == m.count()) return;
    Guarded<Element> positive_v(std::vector<Element>(v.data(), v.data() + v.count()));
    Guarded<std::uint8_t> positive_u(std::vector<std::uint8_t>(u.data(), u.data() + u.count()));
    drop_signs(reinterpret_cast<std::uint8_t*>(positive_v.data()), v.count() * sizeof(Element),
               sizeof(Element));
    drop_signs(positive_u.data(), u.count(), a_.type == WinogradType::f32 ? 4 : 2);
    multiply(definition_, grid, positive_u, positive_v, magnitudes);
    for (std::size_t i = 0; i < m.count(); ++i) {
      const float actual = m.data()[i], wanted = expected.data()[i];
      if (std::isnan(actual) && std::isnan(wanted)) continue;  // no tile uses it
      worst_products_->take(std::abs(static_cast<double>(actual) - wanted),
                            2 * p_.in * kFloat * static_cast<double>(magnitudes.data()[i]), [&] {
                              return describe(p_) + ", product " + std::to_string(i) + ": " +
                                     std::to_string(actual) + ", expected " + std::to_string(wanted);
                            });
    }
  }

  static void drop_signs(std::uint8_t* bytes, std::size_t count, std::size_t element) {
    for (std::size_t i = element - 1; i < count; i += element) bytes[i] &= 0x7F;
  }

  // The index of the first bits that are not the same, but for the sign of zero; count() where all are.
  template <typename T>
  static std::size_t first_difference(Guarded<T>& a, Guarded<T>& b) {
    std::size_t i = 0;
    while (i < a.count() &&
           (std::memcmp(a.data() + i, b.data() + i, sizeof(T)) == 0 || a.data()[i] == b.data()[i]))
      ++i;
    return i;
  }

  const WinogradKernels &k_, &definition_;
  const Arithmetic& a_;
  const Problem& p_;
  const Data& data_;
  int in_blocks_, out_blocks_, panels_, pixels_;
  Worst* worst_products_;
  Floats src_;
  Guarded<float> dst_, other_dst_;
  Floats scale_, shift_, bias_, slope_;   // padded to whole blocks
  std::vector<Guarded<std::uint8_t>> u_;  // one a panel
};

// Takes every output, and what pads their channels to whole blocks: zeros.
inline void compare(const Problem& p, int block, const Floats& actual, const Expected& expected,
                    double relative, Worst& worst) {
  const int channels = (p.out + block - 1) / block * block, pixels = p.height * p.width;
  for (int image = 0; image < p.images; ++image)
    for (int c = 0; c < channels; ++c)
      for (int i = 0; i < pixels; ++i) {
        const std::size_t row = size((image * channels + c / block * block) * pixels);
        const float value = actual[row + size(i * block + c % block)];
        const std::size_t plain = size((image * p.out + c) * pixels + i);
        const bool padding = c >= p.out;
        const double wanted = padding ? 0 : expected.values[plain];
        worst.take(std::abs(value - wanted), padding ? 0 : relative * expected.sizes[plain], [&] {
          return describe(p) + ", {" + std::to_string(image) + ", " + std::to_string(c) + ", " +
                 std::to_string(i / p.width) + ", " + std::to_string(i % p.width) +
                 "}: " + std::to_string(value) + ", expected " + std::to_string(wanted);
        });
      }
}

}  // namespace adaface::kernels
