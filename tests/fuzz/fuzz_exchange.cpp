// Any bytes as an exported file, through all checks but those of the gallery itself. An .npy and its columns
// are one input with kSeparator between.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "src/error.hpp"
#include "src/gallery/exchange_rows.h"

namespace {

using namespace adaface;

constexpr std::string_view kSeparator = "\n--columns--\n";

// Files in memory: a run has no time for a disk.
struct MemoryFile {
  int fd = ::memfd_create("input", 0);
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd); }
  void set(std::string_view bytes) const {
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, bytes.data(), bytes.size(), 0) < 0) std::abort();
  }
};

struct Files {
  MemoryFile rows, columns;
  char directory[32] = "/tmp/fuzz_exchange.XXXXXX";
  std::string base;
  Files() {
    if (!::mkdtemp(directory)) std::abort();
    base = std::string(directory) + "/x";
    if (::symlink(rows.path().c_str(), (base + ".npy").c_str()) != 0 ||
        ::symlink(columns.path().c_str(), (base + ".csv").c_str()) != 0)
      std::abort();
  }
  ~Files() {
    ::unlink((base + ".npy").c_str());
    ::unlink((base + ".csv").c_str());
    ::rmdir(directory);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Files files;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = input.rfind(kSeparator);
  files.rows.set(input.substr(0, end));
  files.columns.set(end == std::string_view::npos ? std::string_view()
                                                  : input.substr(end + kSeparator.size()));
  try {
    const auto rows = gallery::read_rows(files.base + ".npy");
    gallery::read_photographs(
        *rows, [](const GalleryModel&) {},
        [](const Photograph& photograph, std::span<const FaceRecord> faces) {
          if (photograph.identity.empty() || photograph.path.empty() || faces.empty()) std::abort();
        });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt) std::abort();
  }
  return 0;
}
