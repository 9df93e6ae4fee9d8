#include "bench/cuda/timing.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <random>

namespace adaface::bench {
namespace {

using kernels::cuda::Storage;
using nn::cuda::DeviceMemory;
using nn::cuda::Stream;

constexpr unsigned kSeed = 20261125;
constexpr std::size_t kBlockBytes = std::size_t{4} << 20;
constexpr std::size_t kCopyBytes = std::size_t{1} << 30;

void check(cudaError_t error, const std::string& operation) {
  nn::cuda::check(static_cast<kernels::cuda::Status>(error), operation);
}

// Sign and fraction at random, exponents -1, -2, ... with half the probability each: a uniform number's.
std::uint32_t random_word(Storage storage, std::mt19937_64& random) {
  const std::uint64_t bits = random();
  const auto sign = static_cast<std::uint32_t>(bits >> 63);
  const auto below = static_cast<std::uint32_t>(std::min(std::countr_zero(bits >> 40 | 1u << 10), 10));
  const auto fraction = static_cast<std::uint32_t>(bits);
  switch (storage) {
    case Storage::f16: return sign << 15 | (14 - below) << 10 | (fraction & 0x3FFu);
    case Storage::bf16: return sign << 15 | (126 - below) << 7 | (fraction & 0x7Fu);
    case Storage::f32: break;
  }
  return sign << 31 | (126 - below) << 23 | (fraction & 0x7FFFFFu);
}

}  // namespace

Times times_of(std::vector<double> ms) {
  std::ranges::sort(ms);
  const std::size_t half = ms.size() / 2;
  return {ms.front(), ms.size() % 2 ? ms[half] : (ms[half - 1] + ms[half]) / 2};
}

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

DeviceMemory random_numbers(Stream& stream, Storage storage, std::size_t bytes, const std::string& what) {
  const auto element = static_cast<std::size_t>(kernels::cuda::bytes_of(storage));
  std::mt19937_64 random(kSeed);
  std::vector<std::byte> block(std::min(kBlockBytes, (bytes + element - 1) / element * element));
  for (std::size_t at = 0; at < block.size(); at += element) {
    const std::uint32_t word = random_word(storage, random);
    std::memcpy(block.data() + at, &word, element);
  }
  DeviceMemory memory(bytes, what);
  for (std::size_t at = 0; at < bytes; at += block.size())
    stream.upload(memory.data() + at, block.data(), std::min(block.size(), bytes - at));
  stream.synchronize("random numbers");
  return memory;
}

DeviceFacts device_facts(int device) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, device), "properties of device " + std::to_string(device));
  DeviceFacts facts{.name = properties.name,
                    .compute_major = properties.major,
                    .compute_minor = properties.minor,
                    .multiprocessors = properties.multiProcessorCount,
                    .l2_bytes = static_cast<std::size_t>(properties.l2CacheSize)};
  check(cudaDriverGetVersion(&facts.driver), "the driver's version");
  check(cudaRuntimeGetVersion(&facts.runtime), "the runtime's version");
  return facts;
}

double copy_bandwidth(Stream& stream, int samples) {
  const DeviceMemory src = random_numbers(stream, Storage::f16, kCopyBytes, "a copy's source");
  const DeviceMemory dst(kCopyBytes, "a copy");
  const auto copy = [&] {
    check(cudaMemcpyAsync(dst.data(), src.data(), kCopyBytes, cudaMemcpyDeviceToDevice, stream.get()),
          "copy on the device");
  };
  time_on(stream, 2, copy);
  return 2e-6 * static_cast<double>(kCopyBytes) / times_of(time_on(stream, samples, copy)).median_ms;
}

}  // namespace adaface::bench
