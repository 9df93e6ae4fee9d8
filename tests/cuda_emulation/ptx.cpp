#include "tests/cuda_emulation/kernels/cuda/ptx.h"

#include <vector>

namespace adaface::kernels::cuda::ptx {
namespace {

float half_value(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return fraction ? std::bit_cast<float>(0x7FC00000u) : sign * INFINITY;
  return sign * (exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                               : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25));
}

std::vector<float> make_table() {
  std::vector<float> table(65536);
  for (unsigned i = 0; i < 65536; ++i) table[i] = half_value(static_cast<std::uint16_t>(i));
  return table;
}
const std::vector<float> kHalves = make_table();

// The factors of one 32-bit word.
int unpack(Product product, std::uint32_t word, float* to) {
  switch (product) {
    case Product::f16:
      to[0] = kHalves[word & 0xFFFF];
      to[1] = kHalves[word >> 16];
      return 2;
    case Product::bf16:
      to[0] = std::bit_cast<float>(word << 16);
      to[1] = std::bit_cast<float>(word & 0xFFFF0000u);
      return 2;
    // The hardware does not read the last 13 bits.
    case Product::tf32: to[0] = std::bit_cast<float>(word & ~0x1FFFu); return 1;
  }
  return 0;
}

}  // namespace

float f16_to_float(std::uint16_t bits) {
  return kHalves[bits];
}

std::uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000);
  const float magnitude = std::abs(value);
  if (std::isnan(value)) return 0x7FFF;
  if (magnitude >= 65520.0f) return static_cast<std::uint16_t>(sign | 0x7C00);
  const int exponent = magnitude == 0 ? -14 : std::max(std::ilogb(magnitude), -14);
  const long units = std::lrint(std::ldexp(magnitude, 10 - exponent));
  return static_cast<std::uint16_t>(sign + (exponent + 14) * 1024 + units);
}

std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return 0x7FFF;
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

void multiply_step(Product product, int rows, int columns, const std::uint32_t* a, const std::uint32_t* b,
                   float* sums) {
  constexpr int kMost = 256;
  float factors[16], transposed[16][kMost];
  int depth = 0;
  for (int c = 0; c < columns; ++c) {
    for (int w = 0; w < 8; ++w) {
      const int each = unpack(product, b[c * 8 + w], factors);
      for (int i = 0; i < each; ++i) transposed[w * each + i][c] = factors[i];
      depth = 8 * each;
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int w = 0; w < 8; ++w) unpack(product, a[r * 8 + w], factors + w * depth / 8);
    float* row = sums + r * columns;
    for (int k = 0; k < depth; ++k)
      for (int c = 0; c < columns; ++c) row[c] += factors[k] * transposed[k][c];
  }
}

namespace {

// Chunks of 16 bytes of a row lie exchanged by the row's number within eight rows of 128 bytes: bits 4 to 6
// of an address are those it would have, exclusive or bits 7 to 9.
std::uint64_t swizzled(std::uint64_t plain) {
  return plain ^ ((plain >> 7 & 7) << 4);
}

void warpgroup_step(Product product, int columns, std::uint64_t a, std::uint64_t b, float** sums) {
  const auto read = [](std::uint64_t base, int row, std::uint32_t* to) {
    for (int chunk = 0; chunk < 2; ++chunk) {
      const std::uint64_t plain =
          base + static_cast<std::uint64_t>(row) * 128 + static_cast<std::uint64_t>(chunk) * 16;
      std::memcpy(to + chunk * 4, reinterpret_cast<const void*>(swizzled(plain)), 16);
    }
  };
  std::uint32_t rows[64 * 8], lines[256 * 8];
  float square[64 * 256];
  for (int r = 0; r < 64; ++r) read(a, r, rows + r * 8);
  for (int c = 0; c < columns; ++c) read(b, c, lines + c * 8);
  // Thread t of the four warps: rows t / 32 * 16 + t % 32 / 4, and 8 below; columns 8 j + t % 4 * 2, and 1
  // more.
  const auto for_each = [&](auto&& visit) {
    for (int t = 0; t < 128; ++t)
      for (int j = 0; j < columns / 8; ++j)
        for (int i = 0; i < 4; ++i)
          visit(sums[t][j * 4 + i],
                square[(t / 32 * 16 + t % 32 / 4 + i / 2 * 8) * columns + 8 * j + t % 4 * 2 + i % 2]);
  };
  for_each([](float& sum, float& cell) { cell = sum; });
  multiply_step(product, 64, columns, rows, lines, square);
  for_each([](float& sum, float& cell) { sum = cell; });
}

}  // namespace

void finish_copies(std::size_t left) {
  emulation::Thread& thread = *emulation::self;
  std::size_t groups = 0, end = 0;
  {
    const emulation::Unseen unseen;
    if (thread.groups.size() <= left) return;
    groups = thread.groups.size() - left;
    end = thread.groups[groups - 1];
    if (end > 0 && !std::exchange(thread.is_unfenced, true)) ++thread.block->unfenced;
  }
  for (std::size_t i = 0; i < end; ++i) {
    emulation::PendingCopy copy;
    {
      const emulation::Unseen unseen;
      copy = thread.copies[i];
      if (copy.read > 0) std::memcpy(copy.dst, copy.src, static_cast<std::size_t>(copy.read));
      std::memset(static_cast<std::byte*>(copy.dst) + copy.read, 0,
                  static_cast<std::size_t>(copy.bytes - copy.read));
    }
    emulation::sees_read(copy.src, static_cast<std::size_t>(copy.read));
    emulation::sees_write(copy.dst, static_cast<std::size_t>(copy.bytes));
  }
  const emulation::Unseen unseen;
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + static_cast<std::ptrdiff_t>(end));
  thread.groups.erase(thread.groups.begin(), thread.groups.begin() + static_cast<std::ptrdiff_t>(groups));
  for (std::size_t& group : thread.groups) group -= end;
}

void see_product(int columns, std::uint64_t a, std::uint64_t b) {
  if (!emulation::kSeesRaces) return;
  const auto see = [](std::uint64_t base, int chunk) {
    const std::uint64_t plain = base + static_cast<std::uint64_t>(chunk / 2 * 128 + chunk % 2 * 16);
    emulation::sees_read(reinterpret_cast<const void*>(swizzled(plain)), 16);
  };
  const int thread = emulation::number_in_warpgroup();
  see(a, thread);
  for (int chunk = thread; chunk < 2 * columns; chunk += 128) see(b, chunk);
}

namespace {

void see_products(std::size_t left) {
  const emulation::Thread& thread = *emulation::self;
  std::size_t end = 0;
  {
    const emulation::Unseen unseen;
    const std::vector<std::size_t>& groups = thread.product_groups;
    if (groups.size() > left) end = groups[groups.size() - left - 1];
  }
  for (std::size_t i = 0; i < end; ++i) {
    emulation::PendingProduct product;
    {
      const emulation::Unseen unseen;
      product = thread.products[i];
    }
    see_product(product.columns, product.a, product.b);
  }
}

}  // namespace

void finish_products(std::size_t left) {
  if (emulation::kSeesRaces) see_products(left);
  emulation::Thread* const mine = emulation::self;
  emulation::warpgroup_together(mine, [left](void** all) {
    emulation::Thread* threads[128];
    for (int i = 0; i < 128; ++i) threads[i] = static_cast<emulation::Thread*>(all[i]);
    const emulation::Thread& first = *threads[0];
    for (const emulation::Thread* thread : threads)
      if (thread->product_groups != first.product_groups || thread->products.size() != first.products.size())
        emulation::stop("threads of a warpgroup differ in their products");
    if (first.product_groups.size() <= left) return;
    const std::size_t groups = first.product_groups.size() - left, end = first.product_groups[groups - 1];
    for (std::size_t p = 0; p < end; ++p) {
      const emulation::PendingProduct& product = first.products[p];
      float* sums[128];
      for (int i = 0; i < 128; ++i) sums[i] = threads[i]->products[p].sums;
      warpgroup_step(static_cast<Product>(product.factors), product.columns, product.a, product.b, sums);
    }
    for (emulation::Thread* thread : threads) {
      thread->products.erase(thread->products.begin(),
                             thread->products.begin() + static_cast<std::ptrdiff_t>(end));
      thread->product_groups.erase(thread->product_groups.begin(),
                                   thread->product_groups.begin() + static_cast<std::ptrdiff_t>(groups));
      for (std::size_t& group : thread->product_groups) group -= end;
    }
  });
}

}  // namespace adaface::kernels::cuda::ptx
