// Any bytes as a list of pairs of `adaface evaluate`: what is returned keeps its promises.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "src/error.hpp"
#include "tools/adaface/pairs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace adaface;
  static const int fd = ::memfd_create("input", 0);
  static const std::filesystem::path list = "/proc/self/fd/" + std::to_string(fd), images = "/nowhere";
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  try {
    const cli::PairList pairs = cli::read_pairs(list, images);
    if (pairs.folds < 1 || pairs.folds > 1000) std::abort();
    std::vector<std::size_t> kinds(2);
    for (const cli::PhotographPair& pair : pairs.pairs) {
      if (pair.a >= pairs.photographs.size() || pair.b >= pairs.photographs.size()) std::abort();
      if (pair.fold >= pairs.folds) std::abort();
      ++kinds[pair.same];
    }
    if (kinds[0] < 1 || kinds[1] < 1) std::abort();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt) std::abort();
  }
  return 0;
}
