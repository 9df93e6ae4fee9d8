#include "src/gallery/scan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "kernels/kernels.h"
#include "src/gallery/best_groups.h"

namespace adaface::search {
namespace {

using kernels::kDotRows;

constexpr std::size_t kBatch = 64;  // queries that share a pass
constexpr std::size_t kStretch =
    256;  // rows at once: 128 KB of codes, in the second-level cache for all queries
constexpr std::size_t kPart = 4096;        // rows that a thread takes at once
constexpr std::size_t kLookedAtOnce = 32;  // rows between two looks at whether any of them passed
static_assert(RowStore::kChunkRows % kPart == 0 && kPart % kStretch == 0 && kStretch % kLookedAtOnce == 0);

struct Batch {
  std::span<const float> floats;
  std::vector<std::int8_t> codes;
  std::vector<BoundedQuery> bounds;

  explicit Batch(std::span<const float> queries) : floats(queries) {
    for (std::size_t at = 0; at < queries.size(); at += kLength) {
      const Rounded rounded = round_to_bytes(Vector(queries.data() + at, kLength), "query");
      codes.insert(codes.end(), rounded.codes.begin(), rounded.codes.end());
      bounds.emplace_back(rounded);
    }
  }
  std::size_t size() const { return bounds.size(); }
};

// All that one thread needs: a sink for each query of the batch, and room for integer products.
template <class Sink>
struct Worker {
  std::vector<Sink> sinks;
  std::vector<std::int32_t> products;
};

// Written so that compilers make vectors of it: no early exit.
bool any_reaches(const BoundedQuery& query, const std::int32_t* products, const float* scales,
                 const float* residuals, float limit) {
  int any = 0;
  for (std::size_t r = 0; r < kLookedAtOnce; ++r)
    any |= query.upper(products[r], scales[r], residuals[r]) >= limit;
  return any != 0;
}

// One query, the rows [first, first + count) of one chunk, their products given.
template <class Sink>
void second_pass(const RowStore& store, const BoundedQuery& query, const float* floats, std::size_t first,
                 std::size_t count, const std::int32_t* products, Sink& sink) {
  const RowStore::Chunk& chunk = store.chunk(first);
  const std::size_t at = first % RowStore::kChunkRows;
  const float *scales = chunk.scales + at, *residuals = chunk.residuals + at;
  float limit = query.limit(sink.threshold());
  for (std::size_t begin = 0; begin < count; begin += kLookedAtOnce) {
    const std::size_t end = std::min(begin + kLookedAtOnce, count);
    if (end - begin == kLookedAtOnce &&
        !any_reaches(query, products + begin, scales + begin, residuals + begin, limit))
      continue;
    for (std::size_t r = begin; r < end; ++r) {
      if (query.upper(products[r], scales[r], residuals[r]) < limit) continue;
      sink.offer({first + r, similarity(floats, store.row(first + r))}, chunk.groups[at + r]);
      limit = query.limit(sink.threshold());
    }
  }
}

template <class Sink>
void scan_part(const RowStore& store, const Batch& batch, std::size_t first, Worker<Sink>& worker) {
  const std::size_t last = std::min(first + kPart, store.size());
  worker.products.resize(batch.size() * kStretch);
  for (; first < last; first += kStretch) {
    const std::size_t count = std::min(kStretch, last - first), blocks = (count + kDotRows - 1) / kDotRows;
    kernels::select().dot_products(store.chunk(first).codes + first % RowStore::kChunkRows * kLength, blocks,
                                   batch.codes.data(), batch.size(), kLength, worker.products.data());
    for (std::size_t q = 0; q < batch.size(); ++q)
      second_pass(store, batch.bounds[q], batch.floats.data() + q * kLength, first, count,
                  worker.products.data() + q * blocks * kDotRows, worker.sinks[q]);
  }
}

// Every batch of queries past every row. collect(workers, q) makes the answer to query q of a batch of what
// the threads found.
template <class Sink, class Collect>
std::vector<std::vector<Match>> scan(const RowStore& store, std::span<const float> queries, const Sink& empty,
                                     nn::ThreadPool* pool, const Collect& collect) {
  if (queries.size() % kLength != 0)
    throw Error(ErrorCode::invalid_argument,
                "queries: " + std::to_string(queries.size()) + " values, expected a multiple of 512");
  std::vector<Batch> batches;
  for (std::size_t at = 0; at < queries.size(); at += kBatch * kLength)
    batches.emplace_back(queries.subspan(at, std::min(kBatch * kLength, queries.size() - at)));

  const std::size_t parts = (store.size() + kPart - 1) / kPart;
  std::vector<std::vector<Match>> results;
  for (const Batch& batch : batches) {
    std::vector<Worker<Sink>> workers(pool ? static_cast<std::size_t>(pool->threads()) : 1);
    for (Worker<Sink>& worker : workers) worker.sinks.assign(batch.size(), empty);
    const auto task = [&](int part, int worker) {
      scan_part(store, batch, static_cast<std::size_t>(part) * kPart,
                workers[static_cast<std::size_t>(worker)]);
    };
    if (pool)
      pool->run(static_cast<int>(parts), task);
    else
      for (std::size_t part = 0; part < parts; ++part) task(static_cast<int>(part), 0);
    for (std::size_t q = 0; q < batch.size(); ++q) results.push_back(collect(workers, q));
  }
  return results;
}

struct BestRows {
  BestGroups best;
  bool grouped;

  double threshold() const { return best.threshold(); }
  void offer(const Match& match, std::uint32_t group) { best.offer(match, grouped ? group : match.row); }
};

struct RowsAbove {
  double least;
  std::vector<Match> matches;

  double threshold() const { return least; }
  void offer(const Match& match, std::uint32_t) {
    if (match.similarity >= least) matches.push_back(match);
  }
};

}  // namespace

// Similarities are clamped to [-1, 1], bounds are not: every row reaches -1.
float BoundedQuery::limit(double similarity) const {
  if (similarity <= -1) return -std::numeric_limits<float>::infinity();
  const double exact = similarity - margin;
  const auto nearest = static_cast<float>(exact);
  return nearest > exact ? std::nextafter(nearest, -std::numeric_limits<float>::infinity()) : nearest;
}

double similarity(const float* a, const float* b) {
  double sum = 0;
  for (std::size_t i = 0; i < kLength; ++i) sum += static_cast<double>(a[i]) * b[i];
  return std::clamp(sum, -1.0, 1.0);
}

std::vector<std::vector<Match>> nearest(const RowStore& rows, bool grouped, std::span<const float> queries,
                                        std::size_t k, nn::ThreadPool* pool) {
  const RowStore none;
  const BestRows empty{BestGroups(k), grouped};
  return scan(k == 0 ? none : rows, queries, empty, pool, [&](auto& workers, std::size_t q) {
    BestGroups& best = workers[0].sinks[q].best;
    for (std::size_t w = 1; w < workers.size(); ++w) best.offer_all(workers[w].sinks[q].best);
    return best.matches();
  });
}

std::vector<std::vector<Match>> at_least(const RowStore& rows, std::span<const float> queries,
                                         double similarity, nn::ThreadPool* pool) {
  if (std::isnan(similarity))
    throw Error(ErrorCode::invalid_argument, "similarity: not a number, expected one in [-1, 1]");
  return scan(rows, queries, RowsAbove{similarity, {}}, pool, [](auto& workers, std::size_t q) {
    std::vector<Match> all = std::move(workers[0].sinks[q].matches);
    for (std::size_t w = 1; w < workers.size(); ++w) {
      const std::vector<Match>& more = workers[w].sinks[q].matches;
      all.insert(all.end(), more.begin(), more.end());
    }
    std::sort(all.begin(), all.end(), before);
    return all;
  });
}

}  // namespace adaface::search
