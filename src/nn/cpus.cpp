#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

#include "src/adaface.hpp"
#include "src/nn/thread_pool.h"

namespace adaface {
namespace {

// CPUs' worth of time that the control group allows, rounded up; 0: no limit, or none that can be read.
int quota_from(double quota, double period) {
  return quota > 0 && period > 0 ? std::max(1, static_cast<int>(std::ceil(quota / period))) : 0;
}

// Version 2: the process's own group and every group above it may set a limit; the least one rules.
int cgroup2_quota() {
  std::ifstream groups("/proc/self/cgroup");
  int least = 0;
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::")) continue;
    for (std::string group = line.substr(3);;) {
      std::ifstream file("/sys/fs/cgroup" + group + "/cpu.max");
      double quota = 0, period = 0;  // "max 100000" leaves quota 0
      if (file >> quota >> period) {
        const int cpus = quota_from(quota, period);
        if (cpus > 0) least = least == 0 ? cpus : std::min(least, cpus);
      }
      const std::size_t slash = group.rfind('/');
      if (slash == std::string::npos) break;
      group.resize(slash);
    }
  }
  return least;
}

int cgroup1_quota() {
  std::ifstream quota_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
      period_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double quota = 0, period = 0;
  return quota_file >> quota && period_file >> period ? quota_from(quota, period) : 0;
}

int affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

}  // namespace

int available_cpus() {
  int cpus = affinity();
  for (int quota : {cgroup2_quota(), cgroup1_quota()})
    if (quota > 0) cpus = std::min(cpus, quota);
  return cpus;
}

int nn::thread_count(int requested) {
  constexpr int kMost = 1024;
  if (requested < 0 || requested > kMost)
    throw Error(ErrorCode::invalid_argument,
                "threads is " + std::to_string(requested) + ", expected 0 to " + std::to_string(kMost));
  return requested > 0 ? requested : available_cpus();
}

}  // namespace adaface
