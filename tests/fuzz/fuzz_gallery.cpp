// Any bytes as a gallery file: everything that is read from it is sound, or it is refused with an error of
// the documented kinds; then the same while it is changed.
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "src/gallery.hpp"

namespace {

using namespace adaface;
namespace fs = std::filesystem;

// SQLite reads files only. In memory where there is such a place, and gone with the process.
struct File {
  fs::path path, wal, shm, journal;  // all at hand: where memory runs out, none can be put together
  File() {
    const fs::path memory = "/dev/shm";
    path = (fs::is_directory(memory) ? memory : fs::temp_directory_path()) /
           ("adaface-fuzz-gallery." + std::to_string(::getpid()));
    wal = path.native() + "-wal";
    shm = path.native() + "-shm";
    journal = path.native() + "-journal";
  }
  ~File() {
    for (const fs::path* file : {&path, &wal, &shm, &journal}) ::unlink(file->c_str());
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
};

template <typename F>
void documented(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt && error.code() != ErrorCode::unsupported &&
        error.code() != ErrorCode::out_of_memory)
      throw;
  }
}

void read_all(const Gallery& gallery) {
  documented([&] {
    for (const Person& person : gallery.people())
      if (person.identity.empty()) std::abort();
  });
  documented([&] {
    for (const Photograph& photograph : gallery.photographs())
      if (photograph.path.empty() || photograph.identity.empty()) std::abort();
  });
  documented([&] {
    for (const GalleryFace& face : gallery.faces())
      if (!(std::abs(similarity(face.embedding, face.embedding) - 1) < 0.003) || face.person == 0)
        std::abort();
  });
  gallery.verify(0.5, 1);
}

void change(const fs::path& path) {
  Gallery gallery = Gallery::open_writable(path);
  Gallery::Transaction transaction(gallery);
  FaceRecord face{};
  face.embedding.unit[0] = 1;
  Photograph photograph;
  photograph.path = "/p/ada/1.jpg";
  photograph.identity = "hana";
  transaction.put(photograph, {&face, 1});
  transaction.move("/p/ada/2.jpg", "/p/bruno/1.jpg", "bruno");
  transaction.remove_person("ada");
  transaction.commit();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const File file;
  {
    std::ofstream stream(file.path, std::ios::binary);
    stream.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  }
  documented([&] { read_all(Gallery::open(file.path)); });
  try {
    documented([&] { change(file.path); });
  } catch (const Error& error) {
    // A photograph that the mutation took away; a file that forbids to be written.
    if (error.code() != ErrorCode::not_found && error.code() != ErrorCode::io) throw;
  }
  return 0;
}
