// Search against the speed of memory:
//   bench_search [--rows=1000000] [--threads=1] [--seed=1]
// For random embeddings, then for clusters: ten nearest for one query, against reading the same arrays once,
// and for 64 queries at once, against one by one. What is compared runs in turns, so that a machine that
// slows down slows down both. Results are checked against brute force in double.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "kernels/kernels.h"
#include "src/gallery/best_groups.h"
#include "src/gallery/scan.h"

namespace {

using namespace adaface;
using search::kLength;
using search::RowStore;

constexpr std::size_t kQueries = 64, kBest = 10, kCentres = 1000;

struct Random {  // SplitMix64 (Steele et al. 2014)
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
};

using Unit = std::array<float, kLength>;

// s * centre + the rest in a random direction; s = 0: random. The sum of four uniform numbers is close enough
// to a normal one.
Unit unit_near(Random& random, const Unit& centre, double s) {
  Unit v;
  for (float& value : v) {
    const std::uint64_t bits = random.next();
    value =
        static_cast<float>((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48)) -
        131070.f;
  }
  const double dot = s == 0 ? 0 : std::inner_product(v.begin(), v.end(), centre.begin(), 0.0);
  double square = 0;
  for (std::size_t i = 0; i < kLength; ++i) {
    v[i] -= static_cast<float>(dot * centre[i]);
    square += static_cast<double>(v[i]) * v[i];
  }
  const auto factor = static_cast<float>(std::sqrt((1 - s * s) / square));
  for (std::size_t i = 0; i < kLength; ++i) v[i] = v[i] * factor + static_cast<float>(s) * centre[i];
  return v;
}

// The time to read memory once; the sum keeps the reads alive.
std::uint64_t sum_of(const void* data, std::size_t bytes) {
  return kernels::select().read_words(static_cast<const std::uint64_t*>(data), bytes / sizeof(std::uint64_t),
                                      true);
}

std::uint64_t read_all(const RowStore& store, bool floats) {
  std::uint64_t sum = 0;
  for (std::size_t first = 0; first < store.size(); first += RowStore::kChunkRows) {
    const RowStore::Chunk& chunk = store.chunk(first);
    const std::size_t rows = std::min(RowStore::kChunkRows, store.size() - first);
    sum += sum_of(chunk.codes, rows * kLength) + sum_of(chunk.scales, rows * sizeof(float)) +
           sum_of(chunk.residuals, rows * sizeof(float));
    if (floats)
      sum += sum_of(chunk.groups, rows * sizeof(*chunk.groups)) +
             sum_of(chunk.rows, rows * kLength * sizeof(float));
  }
  return sum;
}

struct Times {
  std::vector<double> seconds;
  void measure(const std::function<void()>& function) {
    const auto begin = std::chrono::steady_clock::now();
    function();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  double least() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

void print(const char* what, const Times& times, double bytes) {
  std::printf("  %-34s %9.2f ms median %9.2f ms least", what, times.median() * 1e3, times.least() * 1e3);
  if (bytes > 0) std::printf("  %6.1f GB/s", bytes / times.least() / 1e9);
  std::printf("\n");
}

void print_ratio(const char* what, double of_medians, double of_minima) {
  std::printf("  %-34s %9.3f    medians %9.3f    minima\n", what, of_medians, of_minima);
}

bool same(const std::vector<Match>& a, const std::vector<Match>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Match& x, const Match& y) {
    return x.row == y.row && x.similarity == y.similarity;
  });
}

std::vector<Match> brute_force(const RowStore& store, const float* query) {
  std::vector<Match> all(store.size());
  for (std::size_t row = 0; row < store.size(); ++row) {
    double sum = 0;
    for (std::size_t i = 0; i < kLength; ++i) sum += static_cast<double>(query[i]) * store.row(row)[i];
    all[row] = {row, std::clamp(sum, -1.0, 1.0)};
  }
  const std::size_t count = std::min(kBest, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(), search::before);
  all.resize(count);
  return all;
}

bool bench(const char* name, const RowStore& store, const std::vector<float>& queries, nn::ThreadPool* pool) {
  constexpr int kRounds = 21, kBatchRounds = 5;
  const std::span<const float> all(queries);
  const auto one = [&](std::size_t q) {
    return std::move(search::nearest(store, false, all.subspan(q * kLength, kLength), kBest, pool)[0]);
  };
  volatile std::uint64_t sink = 0;
  Times read, read_floats, single, one_by_one, batch;
  for (int round = 0; round < kRounds; ++round) {
    read.measure([&] { sink = read_all(store, false); });
    single.measure([&] { one(static_cast<std::size_t>(round) % kQueries); });
    if (round % 4 == 0) read_floats.measure([&] { sink = read_all(store, true); });
  }
  std::vector<std::vector<Match>> alone(kQueries), together;
  for (int round = 0; round < kBatchRounds; ++round) {
    one_by_one.measure([&] {
      for (std::size_t q = 0; q < kQueries; ++q) alone[q] = one(q);
    });
    batch.measure([&] { together = search::nearest(store, false, all, kBest, pool); });
  }

  std::printf("%s\n", name);
  const double rows = static_cast<double>(store.size());
  print("read what a query scans, one thread", read, rows * RowStore::kScanBytesPerRow);
  print("read all, one thread", read_floats, rows * (RowStore::kScanBytesPerRow + 4 + kLength * 4));
  print("one query", single, rows * RowStore::kScanBytesPerRow);
  print("64 queries one by one", one_by_one, 0);
  print("64 queries at once", batch, 0);
  print_ratio("one query / read what it scans", single.median() / read.median(),
              single.least() / read.least());
  print_ratio("one query / read all", single.median() / read_floats.median(),
              single.least() / read_floats.least());
  print_ratio("one by one / at once", one_by_one.median() / batch.median(),
              one_by_one.least() / batch.least());

  std::size_t wrong = 0, checked = 4;
  for (std::size_t q = 0; q < kQueries; ++q) wrong += !same(alone[q], together[q]);
  for (std::size_t q = 0; q < checked; ++q)
    wrong += !same(alone[q], brute_force(store, queries.data() + q * kLength));
  std::printf("  at once = one by one: 64 compared; = brute force in double: %zu compared; %zu differ\n",
              checked, wrong);
  return wrong == 0;
}

std::unique_ptr<RowStore> filled(std::size_t rows, Random& random, const std::vector<Unit>& centres,
                                 std::vector<float>& queries) {
  auto store = std::make_unique<RowStore>();
  store->reserve(rows);
  const auto make = [&](std::size_t centre) {
    return centres.empty() ? unit_near(random, Unit{}, 0)
                           : unit_near(random, centres[centre], 0.8 + 0.17 * random.uniform());
  };
  for (std::size_t row = 0; row < rows; ++row)
    store->add(make(row * centres.size() / rows), 0);  // a cluster lies together, as a person's faces do
  queries.clear();
  for (std::size_t q = 0; q < kQueries; ++q) {
    const Unit unit = make(centres.empty() ? 0 : random.next() % centres.size());
    queries.insert(queries.end(), unit.begin(), unit.end());
  }
  return store;
}

}  // namespace

int main(int argc, char** argv) try {
  std::size_t rows = 1000000;
  int threads = 1;
  std::uint64_t seed = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const char* value = argv[i] + std::min(argument.find('=') + 1, argument.size());
    if (argument.starts_with("--rows="))
      rows = std::strtoull(value, nullptr, 10);
    else if (argument.starts_with("--threads="))
      threads = std::atoi(value);
    else if (argument.starts_with("--seed="))
      seed = std::strtoull(value, nullptr, 10);
    else if (argument == "--help") {
      std::puts(
          "Times search against the speed of memory, over random embeddings and over clusters.\n"
          "Usage: bench_search [OPTION...]\n\n"
          "  --rows=N           embeddings (default 1000000, of 2.6 KB each)\n"
          "  --threads=N        of a search (default 1)\n"
          "  --seed=N           of the embeddings (default 1)");
      return 0;
    } else {
      std::fprintf(stderr, "error: %s: unknown, expected --rows=, --threads= or --seed=\n", argv[i]);
      return 2;
    }
  }
  if (rows == 0 || threads < 1) {
    std::fprintf(stderr, "error: --rows and --threads have to be at least 1\n");
    return 2;
  }
  std::printf("%zu rows, %d threads, seed %llu\n", rows, threads, static_cast<unsigned long long>(seed));
  const auto pool = threads > 1 ? std::make_unique<nn::ThreadPool>(threads) : nullptr;
  Random random{seed};
  std::vector<Unit> centres;
  std::vector<float> queries;
  bool right = true;
  for (const char* name : {"random", "clusters"}) {
    Times fill;
    std::unique_ptr<RowStore> store;
    fill.measure([&] { store = filled(rows, random, centres, queries); });
    right &= bench(name, *store, queries, pool.get());
    std::printf("  made and added in %.1f s\n", fill.least());
    for (std::size_t c = 0; c < kCentres; ++c) centres.push_back(unit_near(random, Unit{}, 0));
  }
  return right ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
