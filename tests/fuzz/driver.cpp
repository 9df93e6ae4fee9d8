// Runs a fuzz target without libFuzzer: replays the corpus, then mutates it, the same way for the same seed.
//
//   fuzz_pickle [--seconds N] [--runs N] [--seed N] [--fail-allocations] CORPUS...    files, or directories
//   of files
//
// --fail-allocations: in every second run, one of the first allocations throws std::bad_alloc, which must
// come out of the target.
//
// Exit code 0: every input was handled. What is not handled ends the process; the input is then in
// crash-input in the working directory.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "tests/allocations.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;
using Random = std::mt19937_64;

constexpr std::size_t kMaxInput = 1 << 16;

std::size_t below(Random& random, std::size_t bound) {
  return static_cast<std::size_t>(random() % bound);
}

void overwrite(Bytes& bytes, std::size_t at, std::uint64_t value, std::size_t width) {
  for (std::size_t i = 0; i < width && at + i < bytes.size(); ++i)
    bytes[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

void mutate(Bytes& bytes, Random& random, const std::vector<Bytes>& corpus) {
  constexpr std::uint64_t kExtremes[] = {0,          1,          0x7f,       0x80,
                                         0xff,       0x7fff,     0x8000,     0xffff,
                                         0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff,
                                         1ull << 63, ~0ull,      ~0ull - 7,  1ull << 32};
  constexpr std::size_t kWidths[] = {1, 2, 4, 8};
  if (bytes.empty()) bytes.push_back(0);
  const std::size_t at = below(random, bytes.size());
  const std::size_t length = 1 + below(random, std::min<std::size_t>(64, bytes.size() - at));
  const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  const auto last = first + static_cast<std::ptrdiff_t>(length);
  switch (below(random, 8)) {
    case 0: bytes[at] = static_cast<std::uint8_t>(bytes[at] ^ 1u << below(random, 8)); break;
    case 1: bytes[at] = static_cast<std::uint8_t>(random()); break;
    case 2:
      overwrite(bytes, at, kExtremes[below(random, std::size(kExtremes))], kWidths[below(random, 4)]);
      break;
    case 3: bytes.resize(at); break;
    case 4: bytes.erase(first, last); break;
    case 5: {
      const Bytes chunk(first, last);
      const auto where = bytes.begin() + static_cast<std::ptrdiff_t>(below(random, bytes.size() + 1));
      bytes.insert(where, chunk.begin(), chunk.end());
      break;
    }
    case 6: {
      const Bytes& other = corpus[below(random, corpus.size())];
      if (other.empty()) break;
      const std::size_t from = below(random, other.size());
      const std::size_t count = std::min({length, other.size() - from, bytes.size() - at});
      std::copy_n(other.begin() + static_cast<std::ptrdiff_t>(from), count, first);
      break;
    }
    default:
      // A length a little off is worth more than a wild one.
      bytes[at] = static_cast<std::uint8_t>(bytes[at] + below(random, 9) - 4);
  }
  if (bytes.size() > kMaxInput) bytes.resize(kMaxInput);
}

// Kept for the terminate handler; a signal or a sanitizer leaves it to the seed and the run number.
const Bytes* current_input = nullptr;

void run(const Bytes& bytes) {
  current_input = &bytes;
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

void run_short_of_memory(const Bytes& bytes, std::int64_t allocations) {
  try {
    adaface::testing::refuse_requests(allocations, adaface::testing::Owner::ours,
                                      adaface::testing::Refusal::one);
    run(bytes);
  } catch (const std::bad_alloc&) {
  }
  adaface::testing::grant_requests();
}

[[noreturn]] void save_input() {
  if (current_input) {
    std::ofstream file("crash-input", std::ios::binary);
    file.write(reinterpret_cast<const char*>(current_input->data()),
               static_cast<std::streamsize>(current_input->size()));
    std::fprintf(stderr, "an exception left the target; its input is in crash-input\n");
  }
  std::abort();
}

void add_corpus(const fs::path& path, std::vector<Bytes>& corpus) {
  std::vector<fs::path> files;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::recursive_directory_iterator(path))
      if (entry.is_regular_file()) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
  } else {
    files.push_back(path);
  }
  for (const fs::path& file : files) {
    std::ifstream stream(file, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t runs = 0, seed = 1;
  double seconds = 0;
  bool fail_allocations = false;
  std::vector<Bytes> corpus;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool option = argument == "--runs" || argument == "--seconds" || argument == "--seed";
    if (option && i + 1 == argc) {
      std::fprintf(stderr, "%s takes a number\n", argument.c_str());
      return 2;
    }
    if (argument == "--fail-allocations")
      fail_allocations = true;
    else if (argument == "--runs")
      runs = std::stoull(argv[++i]);
    else if (argument == "--seconds")
      seconds = std::stod(argv[++i]);
    else if (argument == "--seed")
      seed = std::stoull(argv[++i]);
    else
      add_corpus(argument, corpus);
  }
  if (corpus.empty()) corpus.emplace_back();
  std::set_terminate(save_input);

  for (const Bytes& bytes : corpus) run(bytes);
  Random random(seed);
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t done = 0;
  for (; runs > 0 || seconds > 0; ++done) {
    if (runs > 0 && done >= runs) break;
    if (seconds > 0 && std::chrono::steady_clock::now() - start > std::chrono::duration<double>(seconds))
      break;
    Bytes bytes = corpus[below(random, corpus.size())];
    for (std::size_t count = 1 + below(random, 6); count > 0; --count) mutate(bytes, random, corpus);
    if (fail_allocations && done % 2 == 1)
      run_short_of_memory(bytes, static_cast<std::int64_t>(below(random, 400)));
    else
      run(bytes);
  }
  std::printf("%zu corpus files, %llu mutations, seed %llu\n", corpus.size(),
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(seed));
  return 0;
}
