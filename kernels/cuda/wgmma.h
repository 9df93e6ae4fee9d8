// wgmma.mma_async (PTX ISA 9.7.15.5.2) for the widths that kernels use. Its operands are registers, each of
// which has to be written out; the macros end with this file.
#pragma once

#define ADAFACE_PLACES_32                                  \
  "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15," \
  "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define ADAFACE_PLACES_64                                            \
  ADAFACE_PLACES_32                                                  \
  ","                                                                \
  "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47," \
  "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define ADAFACE_PLACES_128                                                       \
  ADAFACE_PLACES_64                                                              \
  ","                                                                            \
  "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,"             \
  "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,"             \
  "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111," \
  "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define ADAFACE_SUMS_8(i)                                                                    \
  "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3]), "+f"(sums[i + 4]), \
      "+f"(sums[i + 5]), "+f"(sums[i + 6]), "+f"(sums[i + 7])
#define ADAFACE_SUMS_32(i) \
  ADAFACE_SUMS_8(i), ADAFACE_SUMS_8(i + 8), ADAFACE_SUMS_8(i + 16), ADAFACE_SUMS_8(i + 24)
#define ADAFACE_SUMS_64(i) ADAFACE_SUMS_32(i), ADAFACE_SUMS_32(i + 32)
#define ADAFACE_SUMS_128(i) ADAFACE_SUMS_64(i), ADAFACE_SUMS_64(i + 64)
// `shape` and `types` as the instruction spells them; `tail`: whether matrices are transposed, where it can
// say so; last the sums.
#define ADAFACE_WGMMA(shape, types, places, a_place, b_place, tail, ...)                           \
  asm volatile("{.reg .pred add; setp.ne.b32 add, 1, 0; wgmma.mma_async.sync.aligned." shape types \
               " {" places "}, " a_place ", " b_place ", add, 1, 1" tail ";}"                      \
               : __VA_ARGS__                                                                       \
               : "l"(a), "l"(b))
#define ADAFACE_WGMMA_TYPES(columns, places, a_place, b_place, ...)                                         \
  if constexpr (kProduct == Product::f16)                                                                   \
    ADAFACE_WGMMA("m64n" columns "k16", ".f32.f16.f16", places, a_place, b_place, ", 0, 0", __VA_ARGS__);   \
  else if constexpr (kProduct == Product::bf16)                                                             \
    ADAFACE_WGMMA("m64n" columns "k16", ".f32.bf16.bf16", places, a_place, b_place, ", 0, 0", __VA_ARGS__); \
  else                                                                                                      \
    ADAFACE_WGMMA("m64n" columns "k8", ".f32.tf32.tf32", places, a_place, b_place, "", __VA_ARGS__)

namespace adaface::kernels::cuda::ptx {

// sums{64, kColumns} += a{64, 32 bytes} b{kColumns, 32 bytes}^T, both described in shared memory;
// asynchronous. Thread t of the warpgroup holds rows t / 32 * 16 + t % 32 / 4 and 8 below, columns 8 j + t %
// 4 * 2 and 1 more, at 4 j.
template <Product kProduct, int kColumns>
__device__ __forceinline__ void multiply_warpgroup(float (&sums)[kColumns / 2], std::uint64_t a,
                                                   std::uint64_t b) {
  static_assert(kColumns == 64 || kColumns == 128 || kColumns == 256);
  if constexpr (kColumns == 64) {
    ADAFACE_WGMMA_TYPES("64", ADAFACE_PLACES_32, "%32", "%33", ADAFACE_SUMS_32(0));
  } else if constexpr (kColumns == 128) {
    ADAFACE_WGMMA_TYPES("128", ADAFACE_PLACES_64, "%64", "%65", ADAFACE_SUMS_64(0));
  } else {
    ADAFACE_WGMMA_TYPES("256", ADAFACE_PLACES_128, "%128", "%129", ADAFACE_SUMS_128(0));
  }
}

}  // namespace adaface::kernels::cuda::ptx

#undef ADAFACE_PLACES_32
#undef ADAFACE_PLACES_64
#undef ADAFACE_PLACES_128
#undef ADAFACE_SUMS_8
#undef ADAFACE_SUMS_32
#undef ADAFACE_SUMS_64
#undef ADAFACE_SUMS_128
#undef ADAFACE_WGMMA
#undef ADAFACE_WGMMA_TYPES
