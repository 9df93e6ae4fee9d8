// Files of format version 1, as they were when it was settled: every later version reads them
// (docs/stability.md).
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "src/adaface.hpp"
#include "tests/golden.h"
#include "tests/synthetic_weights.h"
#include "weights/afw.h"
#include "weights/afw_layout.h"

#ifdef ADAFACE_GALLERY
#include "src/gallery.hpp"
#endif

namespace adaface {
namespace {

using testing::Scratch;
using testing::source_root;
namespace fs = std::filesystem;

std::vector<char> read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Header and directory, checksums included, of the untrained MTCNN's file. Its tensors are a formula
// (tools/synthetic/values.h), so they need not be kept.
const fs::path kWeights = source_root() / "tests/data/formats/mtcnn_version1.afw_directory";

TEST_CASE("a weight file of version 1") {
  const Scratch scratch("formats");
  std::vector<char> file = read_bytes(kWeights);
  weights::Header header;
  REQUIRE(file.size() > sizeof header);
  std::memcpy(&header, file.data(), sizeof header);
  CHECK(header.version == 1);
  REQUIRE(header.payload_offset == file.size());
  std::vector<weights::TensorRecord> records(header.tensor_count);
  std::memcpy(records.data(), file.data() + sizeof header, records.size() * sizeof(weights::TensorRecord));
  file.resize(header.file_bytes);
  const std::vector<weights::TensorRow> table = weights::tensor_table(weights::Architecture::mtcnn);
  REQUIRE(records.size() == table.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    std::vector<float> values(records[i].bytes / sizeof(float));
    synthetic::fill_values(/*seed=*/1, table[i].source, table[i].shape, 0, values);
    std::memcpy(file.data() + records[i].offset, values.data(), records[i].bytes);
  }
  write_file(scratch.path / "old.afw", std::as_bytes(std::span(file)));

  const Weights old = Weights::load(scratch.path / "old.afw");
  old.verify();
  const WeightsInfo info = old.info();
  CHECK(info.architecture == "mtcnn");
  CHECK(info.storage == "f32");
  CHECK(info.weights_sha256 == "10dfa7a8ab97efb4a7a533490847917e5490d4000ceb32cc9094e85a571c9d6f");
  CHECK(info.tensors.size() == 50);
  CHECK(info.tensors.front().name == "pnet.conv1.weight");
  Detector detector(old, {.threads = 1});
  CHECK(detector.detect(Image(8, 8)).empty());

  // Equal weights give equal bytes, for as long as the version stays.
  testing::write_weights(weights::Architecture::mtcnn, scratch.path / "new.afw");
  CHECK(read_bytes(scratch.path / "new.afw") == file);
}

#ifdef ADAFACE_GALLERY
TEST_CASE("a gallery of schema version 1") {
  const Scratch scratch("formats-gallery");
  const fs::path path = scratch.path / "people.gallery";
  fs::copy_file(source_root() / "tests/data/galleries/people.gallery", path);
  {
    const Gallery gallery = Gallery::open(path);
    CHECK(gallery.model().weights_sha256 == std::string(64, 'a'));
    CHECK(gallery.model().architecture == "ir_18");
    CHECK(gallery.verify(1).damage.empty());
    const std::vector<Person> people = gallery.people();
    REQUIRE(people.size() == 2);
    CHECK(people[0].identity == "ada");
    CHECK(people[0].photographs == 2);
    CHECK(people[0].faces == 3);
    CHECK(people[1].identity == "bruno");
    CHECK(people[1].photographs == 1);
    const std::vector<Photograph> photographs = gallery.photographs();
    REQUIRE(photographs.size() == 4);
    CHECK(photographs[3].path == "/p/bruno/2.jpg");
    CHECK(photographs[3].rejection == "no face");
    CHECK(photographs[0].rules == "largest min_face=20");
    CHECK(photographs[0].bytes == 12345678901);
    CHECK(photographs[0].modified_ns == -5);
    CHECK(photographs[0].hash[0] == 0xFB);
    const std::vector<GalleryFace> faces = gallery.faces();
    REQUIRE(faces.size() == 4);
    CHECK(faces[0].photograph == "/p/ada/1.jpg");
    CHECK(faces[0].embedding.norm == 21.5f);
    CHECK(faces[0].embedding.unit[0] == std::bit_cast<float>(0xbc82b91eu));
    CHECK(faces[0].score == 0.99999f);
    CHECK(faces[0].box.x1 == -1.25f);
    CHECK(faces[0].box.y2 == 120.75f);
    CHECK(similarity(faces[2].embedding, faces[3].embedding) == doctest::Approx(1).epsilon(1e-6));
  }
  Gallery gallery = Gallery::open_writable(path);
  Gallery::Transaction transaction(gallery);
  CHECK(transaction.remove_person("ada"));
  transaction.commit();
  CHECK(gallery.faces().size() == 1);
}
#endif

}  // namespace
}  // namespace adaface
