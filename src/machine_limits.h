// What this machine reaches at best on as many threads as a network runs on: the peak of multiply-adds, and
// the rate at which each level of the memory is read. Found by short measurements, the best of which counts,
// so that they can be spread among those that they are compared with.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "src/adaface.hpp"
#include "src/nn/thread_pool.h"

namespace adaface {

// In bytes, as one CPU sees them.
struct CacheSizes {
  std::size_t l1 = std::size_t{32} << 10;
  std::size_t l2 = std::size_t{1} << 20;
  std::size_t l3 = std::size_t{16} << 20;
  int l3_cpus = 1;  // that share one
};

// From the kernel's description of a CPU's caches; what it does not say, or says implausibly, keeps the value
// above.
CacheSizes read_cache_sizes(const std::filesystem::path& directory = "/sys/devices/system/cpu/cpu0/cache");

class LimitsMeter {
 public:
  // The pool must outlive the meter. Allocates four times the last-level cache, at most 1 GiB in all.
  LimitsMeter(nn::ThreadPool& pool, Precision precision, const CacheSizes& caches = read_cache_sizes());

  // One measurement, a fraction of a millisecond long. It leaves the caches as they are.
  void measure_compute();
  // One measurement of the next level in turn, of about a millisecond. It displaces what lies in the caches.
  void measure_next_level();
  // Each of them once.
  void measure_all();

  // The best so far.
  const MachineLimits& limits() const { return limits_; }

 private:
  template <typename Warm, typename Work>
  double seconds(const Warm& warm, const Work& work);
  double read_rate(std::size_t words, int passes);
  double memory_rate();

  nn::ThreadPool& pool_;
  double (*multiply_adds_)(int rounds);
  MachineLimits limits_;
  int level_ = 0;
  // Of one thread, in words of 8 bytes: the parts of its buffer that are read for each level. That for memory
  // lies behind the others and is read a piece at a time, so that a piece has long left the caches when its
  // turn comes again.
  std::size_t l1_words_, l2_words_, l3_words_, memory_words_, piece_words_, position_ = 0;
  std::vector<std::vector<std::uint64_t>> buffers_;
  std::vector<const std::uint64_t*> starts_;  // of a line of the cache, in each
  std::vector<double> done_;
};

}  // namespace adaface
