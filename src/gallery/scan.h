// Exact search over a RowStore: a first pass over bytes that bounds every similarity, a second over the
// floats of the few rows whose bound reaches what is known to be good enough.
//
// With q^ and x^ the rounded query and row, Cauchy-Schwarz gives
//   |q.x - q^.x^| = |q^.(x - x^) + (q - q^).x| <= |q^| |x - x^| + |q - q^| |x|
// where |x| <= 1.001, |x - x^| is stored with the row, and the rest belongs to the query. A row is passed
// over when q^.x^ plus this stays below the similarity it would have to reach.
#pragma once

#include <span>
#include <vector>

#include "src/gallery/row_store.h"
#include "src/nn/thread_pool.h"

namespace adaface::search {

// Added to the bound for what single precision does to it. A rounded vector is no longer than 1.001 (1 +
// sqrt(512) / 254) < 1.0902, so |q^.x^| < 1.19. Its integer sum stays below 2^24, hence exact; two
// multiplications lose 2 * 2^-24 * 1.19, the product of |q^| and |x - x^| (< 0.1) 2^-24 * 0.1, the sum 2^-24
// * 1.29, and the limit that it is compared with is rounded down: 2.3e-7 in all. The second pass, in double,
// is off by 1e-13.
inline constexpr double kRoundingSlack = 1e-6;

// What the first pass knows of a query.
struct BoundedQuery {
  float scale;    // of its codes
  float norm;     // at least |q^|
  double margin;  // at least |q - q^| * 1.001 + kRoundingSlack

  explicit BoundedQuery(const Rounded& query)
      : scale(query.scale), norm(query.norm), margin(query.residual * kMaxNorm + kRoundingSlack) {}

  // upper() of a row whose similarity is at least `similarity` is at least this.
  float limit(double similarity) const;
  // Of a row with this integer product, scale and residual.
  float upper(std::int32_t product, float row_scale, float residual) const {
    return static_cast<float>(product) * row_scale * scale + norm * residual;
  }
};

// As adaface::similarity.
double similarity(const float* a, const float* b);

// `queries` is {n, 512}. A null pool: the calling thread alone. The results are those of SearchIndex;
// grouped: rows of one group are one answer, else each row is its own. Throw invalid_argument for a bad
// query.
std::vector<std::vector<Match>> nearest(const RowStore& rows, bool grouped, std::span<const float> queries,
                                        std::size_t k, nn::ThreadPool* pool);
std::vector<std::vector<Match>> at_least(const RowStore& rows, std::span<const float> queries,
                                         double similarity, nn::ThreadPool* pool);

}  // namespace adaface::search
