// The one-dimensional transforms of winograd.h. `Value` is float or a vector of them. Functions have internal
// linkage: see winograd.h.
//
// The columns of a transform stand for the points 0, 1, -1, 2, -2, infinity; tiles of 2 leave out 2 and -2. A
// tile of 2 scales its input so that it can use the weights of a tile of 4.
#pragma once

namespace adaface::kernels {

// d: 6 inputs, to 6 points.
template <typename Value>
[[gnu::always_inline]] static inline void winograd_input_four(const Value (&d)[6], Value (&t)[6]) {
  const Value a = d[4] - d[2] * 4.0f, b = d[3] - d[1] * 4.0f, c = d[4] - d[2], e = (d[3] - d[1]) * 2.0f;
  t[0] = (d[0] * 4.0f - d[2] * 5.0f) + d[4];
  t[1] = a + b;
  t[2] = a - b;
  t[3] = c + e;
  t[4] = c - e;
  t[5] = (d[1] * 4.0f - d[3] * 5.0f) + d[5];
}

// d: 4 inputs, to the points 0, 1, 2 and 5.
template <typename Value>
[[gnu::always_inline]] static inline void winograd_input_two(const Value (&d)[6], Value (&t)[6]) {
  t[0] = (d[0] - d[2]) * 4.0f;
  t[1] = (d[1] + d[2]) * -3.0f;
  t[2] = (d[2] - d[1]) * -3.0f;
  t[5] = d[1] - d[3];
}

// m: products at the 6 points, to 4 outputs.
template <typename Value>
[[gnu::always_inline]] static inline void winograd_output_four(const Value (&m)[6], Value (&y)[4]) {
  const Value a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], d = m[3] - m[4];
  y[0] = m[0] + a + c;
  y[1] = b + d * 2.0f;
  y[2] = a + c * 4.0f;
  y[3] = b + d * 8.0f + m[5];
}

// m: products at the points 0, 1, 2 and 5, to 2 outputs.
template <typename Value>
[[gnu::always_inline]] static inline void winograd_output_two(const Value (&m)[6], Value (&y)[4]) {
  y[0] = m[0] + m[1] + m[2];
  y[1] = m[1] - m[2] - m[5];
}

// g: 3 weights, to 6 points.
template <typename Value>
[[gnu::always_inline]] static inline void winograd_weights(const Value& g0, const Value& g1, const Value& g2,
                                                           Value (&u)[6]) {
  const Value a = (g0 + g2) * (-1.0f / 6), b = g1 * (-1.0f / 6);
  const Value c = g0 * (1.0f / 24) + g2 * (1.0f / 6), d = g1 * (1.0f / 12);
  u[0] = g0 * 0.25f;
  u[1] = a + b;
  u[2] = a - b;
  u[3] = c + d;
  u[4] = c - d;
  u[5] = g2;
}

}  // namespace adaface::kernels
