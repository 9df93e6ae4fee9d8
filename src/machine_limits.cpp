#include "src/machine_limits.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>
#include <string>

#include "kernels/kernels.h"

namespace adaface {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kMostMemory = 1024 * kMiB;
constexpr std::size_t kWord = sizeof(std::uint64_t);
constexpr std::size_t kLine = 64 / kWord;

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "1024K" or "32M", in bytes; 0 for anything else.
std::size_t parse_size(const std::string& text) {
  std::istringstream stream(text);
  std::size_t number = 0;
  char unit = 'B';
  if (!(stream >> number) || number > kMostMemory) return 0;
  stream >> unit;
  return unit == 'K' ? number << 10 : unit == 'M' ? number << 20 : unit == 'B' ? number : 0;
}

// How many CPUs "0-3,8,10-11" names; at least 1.
int count_cpus(const std::string& list) {
  std::istringstream stream(list);
  long count = 0, first = 0, last = 0;
  while (stream >> first) {
    last = first;
    if (stream.peek() == '-') stream.ignore(1) >> last;
    if (first < 0 || last < first || last > 1'000'000) break;
    count += last - first + 1;
    stream.ignore(1);
  }
  return static_cast<int>(std::clamp(count, 1L, 1'000'000L));
}

void keep_better(double& best, double value) {
  best = std::max(best, value);
}

}  // namespace

CacheSizes read_cache_sizes(const std::filesystem::path& directory) {
  CacheSizes sizes;
  for (int index = 0; index < 8; ++index) {
    const std::filesystem::path cache = directory / ("index" + std::to_string(index));
    const std::string level = first_line(cache / "level");
    const std::size_t size = parse_size(first_line(cache / "size"));
    if (size < 1024 || size > kMostMemory || first_line(cache / "type") == "Instruction") continue;
    if (level == "1") sizes.l1 = size;
    if (level == "2") sizes.l2 = size;
    if (level == "3") {
      sizes.l3 = size;
      sizes.l3_cpus = count_cpus(first_line(cache / "shared_cpu_list"));
    }
  }
  // Each larger than the one before, as the measurements below take for granted.
  sizes.l2 = std::max(sizes.l2, 2 * sizes.l1);
  sizes.l3 = std::max(sizes.l3, 2 * sizes.l2);
  return sizes;
}

LimitsMeter::LimitsMeter(nn::ThreadPool& pool, Precision precision, const CacheSizes& caches)
    : pool_(pool),
      multiply_adds_(precision == Precision::bf16 ? kernels::select().multiply_adds_bf16
                                                  : kernels::select().multiply_adds),
      done_(static_cast<std::size_t>(pool.threads())) {
  const auto threads = static_cast<std::size_t>(pool.threads());
  const std::size_t sharers = std::min(threads, static_cast<std::size_t>(caches.l3_cpus));
  limits_.l1_bytes = caches.l1 * threads;
  limits_.l2_bytes = caches.l2 * threads;
  limits_.l3_bytes = caches.l3 * ((threads + sharers - 1) / sharers);
  // Half of a cache that is ours, a quarter of one that others use too.
  l1_words_ = caches.l1 / 2 / kWord;
  l2_words_ = caches.l2 / 2 / kWord;
  l3_words_ = std::max(caches.l3 / 4 / sharers, 2 * caches.l2) / kWord;
  memory_words_ = std::min(4 * caches.l3 / sharers, kMostMemory / threads) / kWord;
  piece_words_ = std::min(memory_words_, 8 * kMiB / kWord);
  memory_words_ -= memory_words_ % piece_words_;
  for (std::size_t i = 0; i < threads; ++i) {
    std::vector<std::uint64_t>& buffer = buffers_.emplace_back(l3_words_ + memory_words_ + kLine);
    // Not zeros: what the system has not written yet, it may give as one shared page.
    std::iota(buffer.begin(), buffer.end(), std::uint64_t{i});
    const std::size_t past = reinterpret_cast<std::uintptr_t>(buffer.data()) / kWord % kLine;
    starts_.push_back(buffer.data() + (kLine - past) % kLine);
  }
}

// How long all threads take for work(thread) from a common start, after warm(thread).
template <typename Warm, typename Work>
double LimitsMeter::seconds(const Warm& warm, const Work& work) {
  // Every thread of the pool takes one index, since none comes back before all have arrived here.
  std::barrier start(pool_.threads());
  std::vector<std::pair<Clock::time_point, Clock::time_point>> times(done_.size());
  pool_.run(pool_.threads(), [&](int i, int) {
    const auto thread = static_cast<std::size_t>(i);
    done_[thread] = warm(thread);
    start.arrive_and_wait();
    times[thread].first = Clock::now();
    done_[thread] += work(thread);
    times[thread].second = Clock::now();
  });
  Clock::time_point first = times[0].first, last = times[0].second;
  for (const auto& [begin, end] : times) {
    first = std::min(first, begin);
    last = std::max(last, end);
  }
  return std::max(std::chrono::duration<double>(last - first).count(), 1e-9);
}

void LimitsMeter::measure_compute() {
  constexpr int kRounds = 50'000;  // 0.2 ms at 3 GHz
  const double time =
      seconds([](std::size_t) { return 0.0; }, [&](std::size_t) { return multiply_adds_(kRounds); });
  keep_better(limits_.peak_gflops, 2e-9 * std::accumulate(done_.begin(), done_.end(), 0.0) / time);
}

// In GB/s: the first `words` of each buffer, `passes` times after once.
double LimitsMeter::read_rate(std::size_t words, int passes) {
  const auto pass = [&](std::size_t thread) {
    return static_cast<double>(kernels::select().read_words(starts_[thread], words, false));
  };
  const double time = seconds(pass, [&](std::size_t thread) {
    double sum = 0;
    for (int i = 0; i < passes; ++i) sum += pass(thread);
    return sum;
  });
  return 1e-9 * kWord * static_cast<double>(words * buffers_.size()) * passes / time;
}

double LimitsMeter::memory_rate() {
  const double time = seconds([](std::size_t) { return 0.0; },
                              [&](std::size_t thread) {
                                return static_cast<double>(kernels::select().read_words(
                                    starts_[thread] + l3_words_ + position_, piece_words_, true));
                              });
  position_ = (position_ + piece_words_) % memory_words_;
  return 1e-9 * kWord * static_cast<double>(piece_words_ * buffers_.size()) / time;
}

void LimitsMeter::measure_next_level() {
  // Enough passes for some 16 MiB: short against a scheduler's slice, long against reading a clock.
  const auto passes = [](std::size_t words) {
    return static_cast<int>(std::max<std::size_t>(1, 16 * kMiB / kWord / words));
  };
  switch (level_++ % 4) {
    case 0: return keep_better(limits_.l1_gb_s, read_rate(l1_words_, passes(l1_words_)));
    case 1: return keep_better(limits_.l2_gb_s, read_rate(l2_words_, passes(l2_words_)));
    case 2: return keep_better(limits_.l3_gb_s, read_rate(l3_words_, passes(l3_words_)));
    default: return keep_better(limits_.memory_gb_s, memory_rate());
  }
}

void LimitsMeter::measure_all() {
  measure_compute();
  for (int i = 0; i < 4; ++i) measure_next_level();
}

}  // namespace adaface
