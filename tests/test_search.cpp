// Search against brute force in double, equal to the last bit and the last tie; the bound that allows it to
// skip rows; the kernel under it.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/levels.h"
#include "kernels/reference/reference.h"
#include "src/gallery.hpp"
#include "src/gallery/scan.h"

namespace {

using namespace adaface;

constexpr unsigned kSeed = 20221118;
constexpr std::size_t kLength = kEmbeddingSize;
using Random = std::mt19937;
using Unit = std::array<float, kLength>;
using Units = std::vector<Unit>;
using Results = std::vector<std::vector<Match>>;

Random seeded(const char* name) {
  std::printf("%s: seed %u\n", name, kSeed);
  return Random(kSeed);
}

Unit normalised(const std::array<double, kLength>& v) {
  double square = 0;
  for (double value : v) square += value * value;
  Unit out;
  for (std::size_t i = 0; i < kLength; ++i) out[i] = static_cast<float>(v[i] / std::sqrt(square));
  return out;
}

Unit random_unit(Random& random) {
  std::normal_distribution<double> normal;
  std::array<double, kLength> v;
  for (double& value : v) value = normal(random);
  return normalised(v);
}

Units random_units(Random& random, std::size_t count) {
  Units out(count);
  for (Unit& unit : out) unit = random_unit(random);
  return out;
}

// Similarity to `centre` about 1 / sqrt(1 + spread^2).
Unit near(Random& random, const Unit& centre, double spread) {
  std::normal_distribution<double> normal(0, spread / std::sqrt(static_cast<double>(kLength)));
  std::array<double, kLength> v;
  for (std::size_t i = 0; i < kLength; ++i) v[i] = centre[i] + normal(random);
  return normalised(v);
}

// One element near 1, the others too small to survive rounding to bytes, or just not.
Unit spiked(Random& random, double others) {
  std::uniform_real_distribution<double> uniform(-others, others);
  std::array<double, kLength> v;
  for (double& value : v) value = uniform(random);
  v[random() % kLength] = random() % 2 ? 1 : -1;
  return normalised(v);
}

// Nothing is lost by rounding it to bytes, but for the scale.
Unit signs(Random& random, float norm) {
  Unit out;
  for (float& value : out) value = (random() % 2 ? norm : -norm) / std::sqrt(static_cast<float>(kLength));
  return out;
}

std::vector<float> packed(const Units& units) {
  std::vector<float> out;
  for (const Unit& unit : units) out.insert(out.end(), unit.begin(), unit.end());
  return out;
}

bool better(const Match& a, const Match& b) {
  return a.similarity != b.similarity ? a.similarity > b.similarity : a.row < b.row;
}

std::vector<Match> all_ranked(const Units& rows, const Unit& query) {
  std::vector<Match> all;
  for (std::size_t r = 0; r < rows.size(); ++r)
    all.push_back({r, similarity(Embedding{query, 1}, Embedding{rows[r], 1})});
  std::sort(all.begin(), all.end(), better);
  return all;
}

// Empty groups: each row is its own.
std::vector<Match> brute_nearest(const Units& rows, const std::vector<std::uint32_t>& groups,
                                 const Unit& query, std::size_t k) {
  std::vector<Match> out;
  std::map<std::size_t, bool> seen;
  for (const Match& match : all_ranked(rows, query)) {
    if (out.size() == k) break;
    if (!std::exchange(seen[groups.empty() ? match.row : groups[match.row]], true)) out.push_back(match);
  }
  return out;
}

Results brute_at_least(const Units& rows, const Units& queries, double least) {
  Results out;
  for (const Unit& query : queries) {
    out.push_back(all_ranked(rows, query));
    std::erase_if(out.back(), [&](const Match& match) { return match.similarity < least; });
  }
  return out;
}

SearchIndex index_of(const Units& rows, const std::vector<std::uint32_t>& groups = {}, int threads = 1) {
  SearchIndex index(threads);
  for (std::size_t r = 0; r < rows.size(); ++r)
    if (groups.empty())
      index.add(rows[r]);
    else
      index.add(rows[r], groups[r]);
  return index;
}

std::string show(const std::vector<Match>& matches) {
  std::string out;
  for (const Match& match : matches)
    out += std::to_string(match.row) + ":" + std::to_string(match.similarity) + " ";
  return out;
}

void check_equal(const std::vector<Match>& found, const std::vector<Match>& expected) {
  const bool equal = std::equal(
      found.begin(), found.end(), expected.begin(), expected.end(),
      [](const Match& a, const Match& b) { return a.row == b.row && a.similarity == b.similarity; });
  if (!equal) FAIL_CHECK("found " << show(found) << "\nexpected " << show(expected));
  CHECK(equal);
}

void check_equal(const Results& found, const Results& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t q = 0; q < found.size(); ++q) check_equal(found[q], expected[q]);
}

// nearest() of each query alone, of all at once, with several threads; at_least() at similarities that occur.
void check_search(const Units& rows, const std::vector<std::uint32_t>& groups, const Units& queries,
                  std::size_t k) {
  CAPTURE(rows.size());
  CAPTURE(k);
  Results expected;
  for (const Unit& query : queries) expected.push_back(brute_nearest(rows, groups, query, k));
  const SearchIndex single = index_of(rows, groups);
  CHECK(single.size() == rows.size());
  for (std::size_t q = 0; q < queries.size(); ++q) check_equal(single.nearest(queries[q], k), expected[q]);
  const std::vector<float> batch = packed(queries);
  for (int threads : {1, 2, 3, 5}) {
    CAPTURE(threads);
    const SearchIndex index = index_of(rows, groups, threads);
    check_equal(index.nearest(batch, k), expected);
    std::vector<double> limits = {0.9};
    if (!expected.empty() && !expected[0].empty()) limits.push_back(expected[0].back().similarity);
    for (double least : limits)
      check_equal(index.at_least(batch, least), brute_at_least(rows, queries, least));
  }
}

template <class Function>
void check_refused(Function function, const char* part) {
  try {
    function();
    FAIL_CHECK("accepted: " << part);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_argument);
    CHECK_MESSAGE(std::string(error.what()).find(part) != std::string::npos, error.what());
  }
}

}  // namespace

TEST_CASE("random embeddings") {
  Random random = seeded("random");
  const Units queries = random_units(random, 7);
  for (std::size_t count : {1, 15, 16, 17, 255, 257, 4097, 9000})
    check_search(random_units(random, count), {}, queries, 10);
}

TEST_CASE("rows beyond one chunk of memory") {
  Random random = seeded("chunks");
  // Made cheaply, most of them alike: search does not care.
  Units rows(search::RowStore::kChunkRows + 5000);
  const Units some = random_units(random, 100);
  for (Unit& row : rows) {
    row = some[random() % some.size()];
    std::rotate(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(random() % kLength), row.end());
  }
  check_search(rows, {}, {rows.front(), rows.back(), some[3]}, 5);
}

TEST_CASE("clusters, found by their members") {
  Random random = seeded("clusters");
  Units rows, queries;
  std::vector<std::uint32_t> groups;
  for (std::uint32_t c = 0; c < 20; ++c) {
    Unit walk = random_unit(random);
    queries.push_back(near(random, walk, 0.3));
    for (int i = 0; i < 100; ++i) {
      walk = near(random, walk, 0.1);
      rows.push_back(walk);
      groups.push_back(c / 2 * 1000003u);
    }
  }
  check_search(rows, {}, queries, 30);
  check_search(rows, groups, queries, 4);
}

TEST_CASE("ties: the earlier row, also of a million equal ones in small") {
  Random random = seeded("ties");
  const Unit one = random_unit(random);
  check_search(Units(3000, one), {}, {one, random_unit(random)}, 12);

  Units rows;
  std::vector<std::uint32_t> groups;
  const Units some = random_units(random, 40);
  for (std::uint32_t r = 0; r < 2000; ++r) {
    rows.push_back(some[random() % some.size()]);
    groups.push_back(random() % 70);
  }
  check_search(rows, {}, {some[0], some[1], random_unit(random)}, 60);
  check_search(rows, groups, {some[0], some[1], random_unit(random)}, 60);
}

TEST_CASE("rows in ascending and descending similarity") {
  Random random = seeded("order");
  const Unit query = random_unit(random);
  Units rows;
  for (int i = 0; i < 1500; ++i) rows.push_back(near(random, query, 1.5 - i * 0.001));
  check_search(rows, {}, {query}, 10);
  std::reverse(rows.begin(), rows.end());
  check_search(rows, {}, {query}, 10);
}

// The sums of their products lie on either side of 1 and -1, where similarities are clamped and tie.
TEST_CASE("similarities that are clamped") {
  Random random = seeded("clamped");
  for (const Unit& unit : {random_unit(random), signs(random, 1)}) {
    Units rows;
    for (int i = 0; i < 600; ++i) {
      Unit row = unit;
      const float factor = (i % 3 ? 1 : -1) * (1 + 0.0009f * std::sin(static_cast<float>(i)));
      for (float& value : row) value *= factor;
      rows.push_back(row);
    }
    check_search(rows, {}, {unit, rows[5]}, 450);
    const SearchIndex index = index_of(rows);
    for (double least : {-2.0, -1.0, 1.0, 1.0000001})
      for (const Unit& query : {unit, rows[5], rows[6]})
        check_equal(index.at_least(query, least), brute_at_least(rows, {query}, least));
  }
}

TEST_CASE("few rows, many answers, none") {
  Random random = seeded("few");
  const Units rows = random_units(random, 9);
  check_search(rows, {}, {rows[0]}, 100);
  check_search(rows, {1, 1, 2, 2, 2, 7, 7, 7, 0}, {rows[0], rows[8]}, 100);
  const SearchIndex index = index_of(rows);
  CHECK(index.nearest(rows[0], 0).empty());
  CHECK(index.nearest(rows[0], std::numeric_limits<std::size_t>::max()).size() == 9);
  CHECK(index.nearest(std::span<const float>(), 3).empty());
  CHECK(index.scan_bytes() == 9 * (512 + 8));
  const SearchIndex empty(2);
  CHECK(empty.size() == 0);
  CHECK(empty.nearest(rows[0], 3).empty());
  CHECK(empty.at_least(rows[0], -1).at(0).empty());
  CHECK(empty.scan_bytes() == 0);
}

TEST_CASE("more queries than share a pass") {
  Random random = seeded("queries");
  const Units rows = random_units(random, 700);
  for (std::size_t count : {63, 64, 65, 130}) check_search(rows, {}, random_units(random, count), 3);
}

TEST_CASE("vectors that bytes cannot hold well, and the zero vector") {
  Random random = seeded("spiked");
  Units rows;
  for (double others : {0.5, 0.02, 0.0039, 0.003, 1e-3, 1e-6, 1e-20, 1e-40})
    for (int i = 0; i < 150; ++i) rows.push_back(spiked(random, others));
  rows.push_back(Unit{});
  rows.push_back(Unit{1e-45f});
  std::shuffle(rows.begin(), rows.end(), random);
  Units queries(rows.begin(), rows.begin() + 30);
  queries.push_back(Unit{});
  queries.push_back(Unit{1e-44f, -1e-44f});
  check_search(rows, {}, queries, 20);
}

TEST_CASE("what is refused leaves the index as it was") {
  Random random = seeded("refused");
  const Units rows = random_units(random, 20);
  SearchIndex index;
  Unit bad = rows[0];
  bad[511] = std::numeric_limits<float>::quiet_NaN();
  check_refused([&] { index.add(bad, 1); }, "not finite");
  for (const Unit& row : rows) index.add(row);  // the refused one did not choose the form
  for (float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                      -std::numeric_limits<float>::infinity()}) {
    bad[100] = value;
    check_refused([&] { index.add(bad); }, "not finite");
    check_refused([&] { index.nearest(bad, 1); }, "not finite");
    check_refused([&] { index.at_least(bad, 0.5); }, "not finite");
  }
  Unit longer = rows[0];
  for (float& value : longer) value *= 1.0011f;
  check_refused([&] { index.add(longer); }, "1.001");
  check_refused([&] { index.nearest(longer, 0); }, "1.001");
  longer.fill(std::numeric_limits<float>::max());
  check_refused([&] { index.add(longer); }, "1.001");
  check_refused([&] { index.add(rows[0], 3); }, "group");
  check_refused([&] { index.nearest(std::span<const float>(rows[0]).first(511), 1); }, "511");
  check_refused([&] { index.at_least(rows[0], std::nan("")); }, "similarity");
  check_refused([] { SearchIndex(-1); }, "threads");
  check_refused([] { SearchIndex(1025); }, "threads");
  CHECK(index.size() == 20);
  check_equal(index.nearest(rows[7], 20), brute_nearest(rows, {}, rows[7], 20));

  SearchIndex grouped;
  grouped.add(rows[0], 3);
  check_refused([&] { grouped.add(rows[0]); }, "group");
  CHECK(grouped.size() == 1);
}

TEST_CASE("searches from several threads at once") {
  Random random = seeded("threads");
  const Units rows = random_units(random, 9000);
  const Units queries = random_units(random, 4);
  Results expected;
  for (const Unit& query : queries) expected.push_back(brute_nearest(rows, {}, query, 10));
  const SearchIndex index = index_of(rows, {}, 2);
  std::vector<Results> found(queries.size(), Results(20));
  std::vector<std::thread> callers;
  for (std::size_t q = 0; q < queries.size(); ++q)
    callers.emplace_back([&, q] {
      for (std::vector<Match>& result : found[q]) result = index.nearest(queries[q], 10);
    });
  for (std::thread& caller : callers) caller.join();
  for (std::size_t q = 0; q < queries.size(); ++q)
    for (const std::vector<Match>& result : found[q]) check_equal(result, expected[q]);
}

TEST_CASE("a moved index") {
  Random random = seeded("moved");
  const Units rows = random_units(random, 50);
  SearchIndex from = index_of(rows);
  from.reserve(40000);
  SearchIndex to = std::move(from);
  check_equal(to.nearest(rows[3], 5), brute_nearest(rows, {}, rows[3], 5));
  from = index_of({rows[3]});
  CHECK(from.nearest(rows[3], 5).size() == 1);
}

TEST_CASE("the bound holds") {
  Random random = seeded("bound");
  Units units;
  for (int i = 0; i < 60; ++i) units.push_back(random_unit(random));
  for (double others : {0.5, 0.02, 0.0039, 0.003, 1e-3, 1e-6})
    for (int i = 0; i < 20; ++i) units.push_back(spiked(random, others));
  // The worst for rounding: all other elements half a step from the next code.
  std::array<double, kLength> worst;
  for (std::size_t i = 0; i < kLength; ++i) worst[i] = i == 0 ? 1 : (i % 2 ? 1 : -1) * 0.4995 / 127;
  units.push_back(normalised(worst));
  units.push_back(Unit{});
  units.push_back(Unit{1e-43f, 1e-45f, -1e-42f});
  for (std::size_t i = 0; i < 100; ++i) units.push_back(near(random, units[i], 0.2));
  for (int i = 0; i < 60; ++i) units.push_back(signs(random, 1 - static_cast<float>(i) * 1e-5f));
  for (std::size_t i = 0; i < 60; ++i)
    for (float& value : units[i]) value *= 1.0009f;

  // And the worst queries: along what rounding took from a row.
  for (std::size_t n = units.size(), i = 0; i < n; ++i) {
    const search::Rounded row = search::round_to_bytes(units[i], "row");
    if (row.residual < 1e-6f) continue;
    std::array<double, kLength> lost;
    for (std::size_t j = 0; j < kLength; ++j)
      lost[j] = units[i][j] - static_cast<double>(row.scale) * row.codes[j];
    units.push_back(normalised(lost));
  }

  double closest = 1, widest = 0;
  for (const Unit& q : units)
    for (const Unit& x : units) {
      const search::Rounded query = search::round_to_bytes(q, "query"),
                            row = search::round_to_bytes(x, "row");
      double exact = 0, lost = 0;
      std::int32_t product = 0;
      for (std::size_t i = 0; i < kLength; ++i) {
        exact += static_cast<double>(q[i]) * x[i];
        product += query.codes[i] * row.codes[i];
        const double difference = x[i] - static_cast<double>(row.scale) * row.codes[i];
        lost += difference * difference;
      }
      REQUIRE(row.residual >= std::sqrt(lost));
      const search::BoundedQuery bounded(query);
      const float upper = bounded.upper(product, row.scale, row.residual);
      // What the limit stands for, and the bound itself, the slack left out.
      REQUIRE(upper >= bounded.limit(std::clamp(exact, -1.0, 1.0)));
      const double bound = static_cast<double>(query.norm) * row.residual + query.residual * search::kMaxNorm;
      const double error =
          std::abs(exact - static_cast<double>(query.scale) * row.scale * static_cast<double>(product));
      REQUIRE(error <= bound + 1e-12);
      // Single precision stays within its share.
      const double upper_exact = static_cast<double>(query.scale) * row.scale * product +
                                 static_cast<double>(query.norm) * row.residual;
      REQUIRE(std::abs(upper - upper_exact) <= 2.3e-7);
      if (bound > 0) closest = std::min(closest, 1 - error / bound);
      widest = std::max(widest, bound);
    }
  std::printf("bound: at most %.4f, errors reach %.3f of it\n", widest, 1 - closest);
  CHECK(widest < 0.2);
  CHECK(closest < 0.05);  // the worst case is among them
}

TEST_CASE("dot_products: every version against the definition") {
  Random random = seeded("dot_products");
  for (const kernels::Level& level : kernels::levels()) std::printf("%s ", level.name);
  std::printf("\n");
  const auto element = [&](int kind) {
    return static_cast<int>(kind == 0 ? random() % 255 : kind == 1 ? random() % 2 * 254 : 254) - 127;
  };
  for (std::size_t length : {512, 64, 16})
    for (std::size_t blocks : {1, 2, 3, 5})
      for (std::size_t queries : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 64, 65})
        for (int kind : {0, 1, 2}) {  // random, extremes, the greatest sum
          std::vector<std::uint8_t> rows(blocks * kernels::kDotRows * length);
          std::vector<std::int8_t> query(queries * length);
          for (std::uint8_t& code : rows) code = static_cast<std::uint8_t>(element(kind) + kernels::kDotZero);
          for (std::int8_t& code : query) code = static_cast<std::int8_t>(element(kind));
          constexpr std::int32_t kGuard = 0x5a5a5a5a;
          std::vector<std::int32_t> expected(queries * blocks * kernels::kDotRows + 1, kGuard);
          kernels::definitions().dot_products(rows.data(), blocks, query.data(), queries, length,
                                              expected.data());
          if (kind == 2) REQUIRE(expected[0] == static_cast<std::int32_t>(length) * 127 * 127);
          for (const kernels::Level& level : kernels::levels()) {
            std::vector<std::int32_t> found(expected.size(), kGuard);
            level.kernels.dot_products(rows.data(), blocks, query.data(), queries, length, found.data());
            CAPTURE(level.name);
            CAPTURE(length);
            CAPTURE(blocks);
            CAPTURE(queries);
            CHECK(found == expected);
          }
        }
}
