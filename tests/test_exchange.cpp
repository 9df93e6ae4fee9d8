// Export and import of galleries.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <sstream>
#include <thread>
#include <vector>

#include "src/gallery.hpp"
#include "src/gallery/exchange_rows.h"
#include "tests/golden.h"
#include "tests/synthetic_gallery.h"

namespace fs = std::filesystem;
using namespace adaface;
using namespace adaface::testing;

namespace {

struct Format {
  ExchangeFormat format;
  const char* name;
};
constexpr Format kFormats[] = {{ExchangeFormat::csv, "people.csv"},
                               {ExchangeFormat::jsonl, "people.jsonl"},
                               {ExchangeFormat::npy, "people.npy"}};

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string numbered(const char* name, int number) {
  return std::string(name).append(std::to_string(number));
}

// A face of few digits: its unit vector is an axis, or the negative one.
FaceRecord short_face(int axis) {
  FaceRecord face;
  face.embedding.unit.fill(0);
  face.embedding.unit[static_cast<std::size_t>(std::abs(axis))] = axis < 0 ? -1.0f : 1.0f;
  face.embedding.norm = 25.5f;
  face.box = {1, 2, 30.25f, 40};
  face.score = 0.75f;
  return face;
}

void put(Gallery& gallery, const Photograph& photograph, const std::vector<FaceRecord>& faces) {
  Gallery::Transaction transaction(gallery);
  transaction.put(photograph, faces);
  transaction.commit();
}

// Every stored bit that an export holds, as text: people, photographs with faces, faces.
std::string content(const Gallery& gallery) {
  std::ostringstream text;
  for (const Person& p : gallery.people())
    if (p.faces > 0) text << "person " << p.identity << ' ' << p.photographs << ' ' << p.faces << '\n';
  for (const Photograph& p : gallery.photographs()) {
    if (!p.rejection.empty()) continue;
    text << "photograph " << p.path.native() << '|' << p.identity << '|' << p.bytes << '|' << p.modified_ns
         << '|' << p.rules << '|';
    text.write(reinterpret_cast<const char*>(p.hash.data()), 16) << '\n';
  }
  for (const GalleryFace& f : gallery.faces()) {
    text << "face " << f.identity << '|' << f.photograph.native() << '|';
    text.write(reinterpret_cast<const char*>(&f.embedding.unit), sizeof f.embedding.unit);
    for (const float value : {f.embedding.norm, f.score, f.box.x1, f.box.y1, f.box.x2, f.box.y2})
      text << ' ' << std::bit_cast<std::uint32_t>(value);
    text << '\n';
  }
  return text.str();
}

void fill_awkward(Gallery& gallery) {
  const std::string names[] = {"Anna",
                               " led by and followed by spaces ",
                               "quote \" and \"\"two\"\"",
                               "comma, comma,,",
                               "lines\nand\r\nmore\rlines\n",
                               "carriage\rreturn",
                               "\"",
                               ",",
                               "'single', back\\slash \\u0041",
                               "tab\t bell\a delete\x7F escape\x1B",
                               "not UTF-8 \xFF\xFE\x80",
                               "cut UTF-8 \xE2\x82",
                               "surrogate \xED\xA0\x80",
                               "Zo\xC3\xAB \xE2\x82\xAC \xF0\x9F\x98\x80 \xE2\x80\xA8",
                               "=1+1",
                               "identity",
                               "{",
                               std::string(60000, '"')};
  std::uint64_t seed = 1;
  for (const std::string& name : names) {
    for (int k = 0; k < 2; ++k) {
      Photograph p =
          photograph_of(name, "/photographs/" + name.substr(0, 1000) + "/" + std::to_string(k) + ".jpg");
      p.rules = k == 0 ? "" : name;
      p.modified_ns =
          k == 0 ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
      p.bytes = k == 0 ? 0 : static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
      if (k == 0) p.hash = {};
      std::vector<FaceRecord> faces{synthetic_face(seed++)};
      // Zeros of either sign, the smallest and the largest floats.
      faces.push_back(short_face(-7));
      faces[1].embedding.unit[3] = -0.0f;
      faces[1].embedding.unit[4] = std::numeric_limits<float>::denorm_min();
      faces[1].embedding.unit[5] = -std::numeric_limits<float>::min();
      faces[1].embedding.norm = std::nextafter(20.0f, 21.0f);
      faces[1].box = {-0.0f, -std::numeric_limits<float>::max(), 16777216, 1e20f};
      put(gallery, p, faces);
    }
  }
  Photograph rejected = photograph_of("Anna", "/photographs/rejected.jpg");
  rejected.rejection = "no_face";
  put(gallery, rejected, {});
}

// What import throws, and that the gallery is then as it was. Empty when it succeeds.
struct Outcome {
  std::string message;
  ErrorCode code = ErrorCode::internal;
  ImportReport report;
};
Outcome import(Gallery& gallery, const fs::path& path) {
  Outcome outcome;
  try {
    outcome.report = import_faces(gallery, path);
  } catch (const Error& error) {
    outcome.message = error.what();
    outcome.code = error.code();
    REQUIRE(outcome.message.size() > 0);
  }
  return outcome;
}

// Refused, with `what` in the message, and nothing stored.
void refuses(const Scratch& scratch, const fs::path& path, const std::string& what,
             ErrorCode code = ErrorCode::corrupt) {
  Gallery gallery = Gallery::open_or_create(scratch.path / "refusing.gallery", kModel);
  if (gallery.people().empty()) put(gallery, photograph_of("Old", "/old.jpg"), {short_face(9)});
  const std::string before = content(gallery);
  const Outcome outcome = import(gallery, path);
  CAPTURE(outcome.message);
  CHECK(outcome.message.find(path.stem().string()) != std::string::npos);
  CHECK(outcome.message.find(what) != std::string::npos);
  CHECK(outcome.message.find('\n') == std::string::npos);
  CHECK(outcome.code == code);
  CHECK(content(gallery) == before);
}

std::string csv_header() {
  std::string line = "identity,file,hash,bytes,modified_ns,rules,score,x1,y1,x2,y2,norm,model,architecture";
  for (int i = 0; i < kEmbeddingSize; ++i) line += ",e" + std::to_string(i);
  return line;
}

// ",0,0,...,1,...,0": the last 512 fields of a row.
std::string csv_axis(int axis) {
  std::string text;
  for (int i = 0; i < kEmbeddingSize; ++i) text += i == axis ? ",1" : ",0";
  return text;
}

const std::string kHash = "000102030405060708090a0b0c0d0e0f";
const std::string kTail = ",0.75,1,2,30.25,40,25.5," + kModel.weights_sha256 + ",ir_18";
const std::string kAnna = "Anna,/a.jpg," + kHash + ",123,-5,largest" + kTail;
const std::string kBert = "Bert,/b.jpg," + kHash + ",456,7,\"a, \"\"b\"\"\"" + kTail;

std::string json_axis(int axis) {
  std::string text = csv_axis(axis);
  text[0] = '[';
  return text + ']';
}

std::string json_line(const std::string& names = "\"identity\":\"Anna\",\"file\":\"/a.jpg\"") {
  return "{" + names + ",\"hash\":\"" + kHash +
         "\",\"bytes\":123,\"modified_ns\":-5,\"rules\":\"largest\",\"score\":0.75,\"box\":[1,2,30.25,40],"
         "\"norm\":25.5,\"model\":\"" +
         kModel.weights_sha256 + "\",\"architecture\":\"ir_18\",\"embedding\":" + json_axis(3) + "}\n";
}

std::string npy_header(const std::string& dictionary, char major = 1) {
  std::string text = dictionary;
  text.resize((text.size() + 11 + 63) / 64 * 64 - 11, ' ');
  text += '\n';
  return std::string("\x93NUMPY") + major + '\0' + static_cast<char>(text.size() & 255) +
         static_cast<char>(text.size() >> 8) + text;
}

std::string npy(const std::string& shape, std::initializer_list<int> axes) {
  std::string bytes = npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }");
  for (const int axis : axes) {
    const FaceRecord face = short_face(axis);
    bytes.append(reinterpret_cast<const char*>(&face.embedding.unit), sizeof face.embedding.unit);
  }
  return bytes;
}

std::string columns_header() {
  return csv_header().substr(0, csv_header().find(",e0")) + '\n';
}

void write_npy(const fs::path& path, const std::string& array, const std::string& columns) {
  write_bytes(path, array);
  write_bytes(fs::path(path).replace_extension(".csv"), columns);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("each format reads back to an equal gallery and writes the same bytes again") {
  const Scratch scratch("exchange-round");
  Gallery gallery = Gallery::open_or_create(scratch.path / "g.gallery", kModel);
  fill_awkward(gallery);
  REQUIRE(gallery.faces().size() == 72);
  for (const auto& [format, name] : kFormats) {
    CAPTURE(name);
    const fs::path path = scratch.path / name, again = scratch.path / ("again" + path.extension().string());
    export_faces(gallery, format, path);
    CHECK(exported_model(path).weights_sha256 == kModel.weights_sha256);
    CHECK(exported_model(path).architecture == kModel.architecture);
    Gallery other = Gallery::open_or_create(scratch.path / (std::string(name) + ".gallery"), kModel);
    for (int times = 0; times < 2; ++times) {  // the second replaces
      const ImportReport report = import_faces(other, path);
      CHECK(report.photographs == 36);
      CHECK(report.faces == 72);
      CHECK((content(other) == content(gallery)));
    }
    export_faces(other, format, again);
    CHECK((read_bytes(again) == read_bytes(path)));
    if (format == ExchangeFormat::npy)
      CHECK((read_bytes(scratch.path / "again.csv") == read_bytes(scratch.path / "people.csv")));
  }
  for (const auto& entry : fs::directory_iterator(scratch.path))
    CHECK(entry.path().filename().string().rfind(".adaface-", 0) != 0);
}

TEST_CASE("random floats keep their bits") {
  const Scratch scratch("exchange-floats");
  constexpr unsigned kSeed = 20240607;
  std::printf("seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  const auto any = [&] {
    for (;;) {
      const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
      if (std::isfinite(value)) return value;
    }
  };
  Gallery gallery = Gallery::open_or_create(scratch.path / "g.gallery", kModel);
  Gallery::Transaction transaction(gallery);
  for (int i = 0; i < 40; ++i) {
    FaceRecord face = short_face(i);
    for (float& value : face.embedding.unit)
      if (value == 0) value = any() * 1e-43f;
    for (float& value : face.embedding.unit)
      if (!(std::abs(value) <= 1)) value = 0;
    face.box = {any(), any(), any(), any()};
    face.score = any();
    face.embedding.norm = any();
    transaction.put(photograph_of("P", numbered("/", i)), std::vector{face});
  }
  transaction.commit();
  for (const auto& [format, name] : kFormats) {
    export_faces(gallery, format, scratch.path / name);
    Gallery other = Gallery::open_or_create(scratch.path / (std::string(name) + ".gallery"), kModel);
    import_faces(other, scratch.path / name);
    CHECK((content(other) == content(gallery)));
  }
}

TEST_CASE("what is written") {
  const Scratch scratch("exchange-written");
  Gallery gallery = Gallery::open_or_create(scratch.path / "g.gallery", kModel);
  Photograph anna = photograph_of("Anna", "/a.jpg"), bert = photograph_of("Bert", "/b.jpg");
  for (std::uint8_t i = 0; i < 16; ++i) anna.hash[i] = bert.hash[i] = i;
  anna.bytes = 123, anna.modified_ns = -5, anna.rules = "largest";
  bert.bytes = 456, bert.modified_ns = 7, bert.rules = "a, \"b\"";
  put(gallery, anna, {short_face(3), short_face(4)});
  put(gallery, bert, {short_face(5)});
  export_faces(gallery, ExchangeFormat::csv, scratch.path / "p.csv");
  CHECK((read_bytes(scratch.path / "p.csv") == csv_header() + '\n' + kAnna + csv_axis(3) + '\n' + kAnna +
                                                   csv_axis(4) + '\n' + kBert + csv_axis(5) + '\n'));
  export_faces(gallery, ExchangeFormat::npy, scratch.path / "n.npy");
  CHECK((read_bytes(scratch.path / "n.npy") == npy("(3, 512)", {3, 4, 5})));
  CHECK(
      (read_bytes(scratch.path / "n.csv") == columns_header() + kAnna + '\n' + kAnna + '\n' + kBert + '\n'));
  export_faces(gallery, ExchangeFormat::npy, scratch.path / "bare");
  CHECK((read_bytes(scratch.path / "bare.csv") == read_bytes(scratch.path / "n.csv")));
  export_faces(gallery, ExchangeFormat::jsonl, scratch.path / "p.jsonl");
  const std::string lines = read_bytes(scratch.path / "p.jsonl");
  CHECK(lines.substr(0, lines.find("\n")) + "\n" ==
        "{\"identity\":\"Anna\",\"file\":\"/a.jpg\",\"hash\":\"" + kHash +
            "\",\"bytes\":123,\"modified_ns\":-5,\"rules\":\"largest\",\"score\":0.75,\"box\":[1,2,30.25,40],"
            "\"norm\":25.5,\"model\":\"" +
            kModel.weights_sha256 + "\",\"architecture\":\"ir_18\",\"embedding\":" + json_axis(3) + "}\n");
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);)
    CHECK(nlohmann::json::parse(line)["embedding"].size() == kEmbeddingSize);
}

TEST_CASE("files made by others") {
  const Scratch scratch("exchange-others");
  Gallery gallery = Gallery::open_or_create(scratch.path / "g.gallery", kModel);
  const fs::path path = scratch.path / "in.txt";

  // Quotes around everything, CRLF, names over several lines.
  std::string quoted = "\"" + replaced(kAnna, "Anna", "Anna\r\nM\"\",") + "\"";
  quoted = replaced(quoted, ",/a.jpg", "\",/a.jpg");
  quoted = quoted.substr(0, quoted.size() - 1);
  write_bytes(path, csv_header() + "\r\n" + quoted + csv_axis(3) + "\r\n" + kBert + csv_axis(4) + "\r\n");
  ImportReport report = import_faces(gallery, path);
  CHECK(report.photographs == 2);
  CHECK(report.faces == 2);
  CHECK(gallery.people().at(0).identity == "Anna\r\nM\",");
  CHECK(gallery.photographs().at(1).rules == "a, \"b\"");
  CHECK(gallery.photographs().at(0).hash[15] == 15);

  // Keys in another order, spaces, escapes, CRLF, no line end at the end, hexadecimal.
  write_bytes(path, "{ \"embedding\" : " + json_axis(3) + ", " +
                        json_line("\"identity_hex\":\"46ff\",\"file\":\"\\u002fc\\n\"").substr(1));
  std::string text = read_bytes(path);
  text = text.substr(0, text.rfind(",\"embedding\"")) + " }\r\n" +
         json_line("\"identity\":\"F\",\"file\":\"/d\"");
  text.pop_back();
  write_bytes(path, replaced(text, "30.25", "3025e-2"));
  report = import_faces(gallery, path);
  CHECK(report.photographs == 2);
  const std::vector<GalleryFace> faces = gallery.faces();
  REQUIRE(faces.size() == 4);
  CHECK(faces[2].identity == "F");
  CHECK(faces[3].identity == "F\xFF");
  CHECK(faces[3].photograph == "/c\n");
  CHECK(faces[3].box.x2 == 30.25f);

  // As NumPy writes it, and as it may be written.
  for (const char* dictionary : {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 512), }",
                                 "{\"shape\":(1,512,),\"fortran_order\":False,\"descr\":\"<f4\"}"}) {
    write_npy(scratch.path / "x.npy", npy_header(dictionary) + npy("(1, 512)", {8}).substr(128),
              columns_header() + kAnna + "\n");
    CHECK(import_faces(gallery, scratch.path / "x.npy").faces == 1);
  }
  CHECK(gallery.people().at(0).identity == "Anna");  // the photograph's other name is gone
  CHECK(gallery.people().size() == 4);
}

TEST_CASE("no faces") {
  const Scratch scratch("exchange-none");
  Gallery gallery = Gallery::open_or_create(scratch.path / "g.gallery", kModel);
  for (const auto& [format, name] : kFormats) {
    CAPTURE(name);
    const fs::path path = scratch.path / name;
    export_faces(gallery, format, path);
    CHECK_THROWS_AS(exported_model(path), Error);
    if (format == ExchangeFormat::jsonl) {
      CHECK(fs::file_size(path) == 0);
      refuses(scratch, path, "is no export");
    } else {
      CHECK(import_faces(gallery, path).faces == 0);
    }
  }
}

TEST_CASE("every truncation is refused, except between rows") {
  const Scratch scratch("exchange-cut");
  Gallery full = Gallery::open_or_create(scratch.path / "full.gallery", kModel);
  put(full, photograph_of("An\"na", "/a.jpg"), {short_face(3), short_face(4)});
  put(full, photograph_of("Bert\xFF", "/b.jpg"), {short_face(5)});
  Gallery gallery = Gallery::open_or_create(scratch.path / "g.gallery", kModel);
  Gallery partial = Gallery::open_or_create(scratch.path / "partial.gallery", kModel);
  for (const auto& [format, name] : kFormats) {
    const fs::path path = scratch.path / name;
    export_faces(full, format, path);
    std::vector<fs::path> files{path};
    if (format == ExchangeFormat::npy) files.push_back(scratch.path / "people.csv");
    for (const fs::path& file : files) {
      const std::string whole = read_bytes(file);
      std::size_t accepted = 0, refused = 0;
      for (std::size_t size = whole.size(); size-- > 0;) {
        fs::resize_file(file, size);
        Outcome outcome = import(gallery, path);
        const bool line_end = size > 0 && whole[size - 1] == '\n';
        const bool object_end = format == ExchangeFormat::jsonl && size > 0 && whole[size] == '\n';
        if (outcome.message.empty()) {
          const bool whole_rows = line_end || object_end;
          CHECK_MESSAGE(whole_rows, std::string(name) << " cut to " << size);
          CHECK_MESSAGE(format != ExchangeFormat::npy, std::string(name) << " cut to " << size);
          ++accepted;
          CHECK(outcome.report.faces ==
                static_cast<std::size_t>(
                    std::count(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size), '\n')) +
                    (object_end ? 1 : 0) - (format == ExchangeFormat::csv ? 1 : 0));
          Gallery::Transaction transaction(gallery);
          transaction.remove_person("An\"na");
          transaction.remove_person("Bert\xFF");
          transaction.commit();
        } else {
          ++refused;
          CHECK(outcome.code == ErrorCode::corrupt);
        }
        if (size % 16 == 0) CHECK(gallery.photographs().empty());
      }
      CHECK(gallery.photographs().empty());
      MESSAGE(file.filename().string() << ": " << accepted << " accepted, " << refused << " refused");
      // The header alone and two rows; or two objects and a half of three, with and without a line end.
      CHECK(accepted == (format == ExchangeFormat::csv ? 3 : format == ExchangeFormat::jsonl ? 5 : 0));
      write_bytes(file, whole);
    }
  }
}

TEST_CASE("flipped bits are refused or import whole photographs") {
  const Scratch scratch("exchange-flip");
  Gallery full = Gallery::open_or_create(scratch.path / "full.gallery", kModel);
  put(full, photograph_of("Anna", "/a.jpg"), {short_face(3), synthetic_face(1)});
  put(full, photograph_of("Bert", "/b.jpg"), {short_face(5)});
  constexpr unsigned kSeed = 77;
  std::printf("seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  Gallery gallery = Gallery::open_or_create(scratch.path / "g.gallery", kModel);
  put(gallery, photograph_of("Old", "/old.jpg"), {short_face(9)});
  for (const auto& [format, name] : kFormats) {
    const fs::path path = scratch.path / name;
    export_faces(full, format, path);
    const std::string whole = read_bytes(path);
    int refused = 0;
    for (int i = 0; i < 400; ++i) {
      std::string bytes = whole;
      const std::size_t at = random() % bytes.size();
      bytes[at] = static_cast<char>(bytes[at] ^ 1 << random() % 8);
      write_bytes(path, bytes);
      const std::string before = content(gallery);
      const Outcome outcome = import(gallery, path);
      if (outcome.message.empty()) {
        CHECK(outcome.report.faces == 3);
        continue;
      }
      ++refused;
      CHECK((outcome.code == ErrorCode::corrupt || outcome.code == ErrorCode::invalid_argument));
      CHECK((content(gallery) == before));
    }
    MESSAGE(std::string(name) << ": " << refused << " of 400 refused");
    CHECK(refused > 0);
  }
}

TEST_CASE("csv that is not an export names its line") {
  const Scratch scratch("exchange-csv");
  const fs::path path = scratch.path / "bad.csv";
  const std::string header = csv_header() + '\n', anna = kAnna + csv_axis(3) + '\n';
  const std::string bert = kBert + csv_axis(4) + '\n';
  const auto refused = [&](const std::string& text, const std::string& what) {
    write_bytes(path, text);
    refuses(scratch, path, what);
  };
  refused("", "is no export");
  refused("hello\n", "is no export");
  refused(std::string(300000, 'x'), "is no export");
  refused(std::string(10, '\0'), "is no export");
  refused("\x89PNG\r\n\x1a\n", "is no export");
  refused(replaced(header, "file,", ""), "line 1: column 2: found \"hash\", expected file");
  refused(replaced(header, ",e511", ""), "line 1: has 525 columns, expected 526");
  refused(replaced(header, ",e511", ",e511,e512"), "line 1: has more than 526 fields");
  refused(columns_header() + kAnna + '\n', "line 1: has no embeddings");
  refused(header + anna + replaced(bert, "Bert,", ""), "line 3: has 525 fields, expected 526");
  refused(header + anna + replaced(bert, "Bert,", "Bert,,"), "line 3: has more than 526 fields");
  refused(header + anna + "\n", "line 3: has 1 fields");
  refused(header + anna + std::string(2000, ',') + "\n", "line 3: has more than");
  refused(header + anna + replaced(bert, "0.75", "nan"),
          "line 3: score is \"nan\", expected a finite number");
  refused(header + anna + replaced(bert, "0.75", "1e39"), "line 3: score is");
  refused(header + anna + replaced(bert, "0.75", " 1"), "line 3: score is");
  refused(header + anna + replaced(bert, "0.75", ""), "line 3: score is \"\"");
  refused(header + anna + replaced(bert, "0.75", "0x1"), "line 3: score is");
  refused(header + anna + replaced(bert, ",0,0,0,0,1", ",0,0,0,0,inf"), "line 3: e4 is \"inf\"");
  refused(header + anna + replaced(bert, ",0,0,0,0,1", ",0,0,0,0,1.01"), "line 3: unit is of norm 1.01");
  refused(header + anna + replaced(bert, ",0,0,0,0,1", ",0,0,0,0,0"), "line 3: unit is of norm 0");
  refused(header + anna + replaced(bert, ",456,", ",-1,"), "line 3: bytes is \"-1\"");
  refused(header + anna + replaced(bert, ",456,", ",9223372036854775808,"), "line 3: size is");
  refused(header + anna + replaced(bert, ",456,", ",99999999999999999999,"), "line 3: bytes is");
  refused(header + anna + replaced(bert, ",7,", ",9223372036854775808,"), "line 3: modified_ns is");
  refused(header + anna + replaced(bert, kHash, kHash.substr(2)), "line 3: hash is");
  refused(header + anna + replaced(bert, "0f,", "0g,"), "line 3: hash is");
  refused(header + anna + replaced(bert, "Bert", ""), "line 3: name of the person is empty");
  refused(header + anna + replaced(bert, "/b.jpg", ""), "line 3: path is empty");
  refused(header + anna + replaced(bert, "Bert", std::string("Be\0rt", 5)),
          "line 3: name of the person has a NUL");
  refused(header + anna + replaced(bert, "Bert", std::string(65537, 'x')),
          "line 3: field 1 is longer than 65536");
  refused(header + anna + replaced(bert, "Bert", "Be\"rt"), "line 3: field 1 has a quote");
  refused(header + anna + replaced(bert, "Bert", "\"Be\"rt"), "line 3: field 1 goes on after");
  refused(header + anna + replaced(bert, "Bert", "\"Bert"), "line 3: ");
  refused(header + anna + replaced(bert, "Bert", "Be\rrt"), "line 3: field 1 has a bare carriage return");
  refused(header + replaced(anna, "Anna", "\"A\n\n\"") + replaced(bert, "0.75", "x"), "line 5: score is");
  refused(header + anna + replaced(bert, "ir_18", "ir_19"), "line 3: is of another model");
  refused(header + anna + replaced(bert, "aaaa", "bbbb"), "line 3: is of another model");

  // Rows of one photograph.
  refused(header + anna + replaced(anna, "Anna", "Bert"), "line 3: identity is not that");
  refused(header + anna + replaced(anna, "000102", "000103"), "line 3: hash is not that");
  refused(header + anna + replaced(anna, ",123,", ",124,"), "line 3: bytes is not that");
  refused(header + anna + replaced(anna, ",-5,", ",5,"), "line 3: modified_ns is not that");
  refused(header + anna + replaced(anna, ",largest,", ",best,"), "line 3: rules is not that");
  std::string far = header + anna;
  for (int i = 0; i < 300; ++i) far += replaced(bert, "/b.jpg", numbered("/", i));
  refused(far + anna, "line 303: /a.jpg has rows above");

  write_bytes(path, header + replaced(anna, "aaaa", "bbbb"));
  refuses(scratch, path, "line 2: ", ErrorCode::invalid_argument);
  refuses(scratch, scratch.path / "absent.csv", "absent.csv", ErrorCode::not_found);
  refuses(scratch, scratch.path, "", ErrorCode::io);
}

TEST_CASE("jsonl that is not an export names its line") {
  const Scratch scratch("exchange-jsonl");
  const fs::path path = scratch.path / "bad.jsonl";
  const std::string good = json_line("\"identity\":\"B\",\"file\":\"/b\"");
  const auto refused = [&](const std::string& line, const std::string& what) {
    write_bytes(path, good + line + good);
    refuses(scratch, path, "line 2: " + what);
  };
  const std::string anna = json_line();
  refused("\n", "is no JSON");
  refused("[]\n", "is an array, expected an object");
  refused("7\n", "is a number, expected an object");
  refused("{}\n", "has no identity");
  refused(replaced(anna, "{", "{{"), "is no JSON");
  refused(replaced(anna, "}\n", "}x\n"), "is no JSON");
  refused(replaced(anna, "}\n", "}{}\n"), "is no JSON");
  refused(replaced(anna, "Anna", "An\xFFna"), "is no JSON");
  refused(replaced(anna, "Anna", std::string("An\0na", 5)), "is no JSON");
  refused(replaced(anna, "Anna", "An\\u0000na"), "name of the person has a NUL byte");
  refused(replaced(anna, "\"Anna\"", "{}"), "identity is an object, expected a string");
  refused(replaced(anna, "\"Anna\"", "7"), "identity is a number, expected a string");
  refused(replaced(anna, "\"Anna\"", "null"), "identity is null");
  refused(replaced(anna, "identity\"", "identity_hex\""), "identity_hex: expected hexadecimal");
  refused(replaced(anna, "{", "{\"identity_hex\":\"41\","), "has identity twice");
  refused(replaced(anna, "{", "{\"score\":1,"), "has score twice");
  refused(replaced(anna, "{", "{\"x\":1,"), "has the key \"x\"");
  refused(replaced(anna, "{", "{\"_hex\":1,"), "has the key \"_hex\"");
  refused(replaced(anna, "{", "{\"hash_hex\":1,"), "has the key \"hash_hex\"");
  refused(replaced(anna, "0.75", "\"0.75\""), "score is \"0.75\", expected a finite number");
  refused(replaced(anna, "0.75", "NaN"), "is no JSON");
  refused(replaced(anna, "0.75", "1e39"), "score is \"1e39\"");
  refused(replaced(anna, "0.75", "1e400"), "is no JSON");
  refused(replaced(anna, "0.75", "[0.75]"), "score is an array");
  refused(replaced(anna, "123", "-123"), "bytes is a number, expected a whole number");
  refused(replaced(anna, "123", "123.0"), "bytes is a number, expected a whole number");
  refused(replaced(anna, "-5", "9223372036854775808"), "modified_ns is a number");
  refused(replaced(anna, kHash, "00"), "hash is \"00\"");
  refused(replaced(anna, "[1,2,30.25,40]", "[1,2,30.25]"), "box is 3 numbers, expected an array of 4");
  refused(replaced(anna, "[1,2,30.25,40]", "[1,2,30.25,40,5]"), "box is more than 4 numbers");
  refused(replaced(anna, "[1,2,30.25,40]", "[[1,2,30.25,40]]"), "box is an array");
  refused(replaced(anna, "[1,2,30.25,40]", "5"), "box is a number");
  refused(replaced(anna, "[0,0,0,1", "[0,0,1"), "embedding is 511 numbers");
  refused(replaced(anna, "[0,0,0,1", "[0,0,0,0,1"), "embedding is more than 512");
  refused(replaced(anna, "[0,0,0,1", "[0,0,0,1.01"), "unit is of norm 1.01");
  refused(replaced(anna, ",\"norm\":25.5", ""), "has no norm");
  refused(replaced(anna, "Anna", std::string(70000, 'x')), "name of the person is of 70000 bytes");
  refused(replaced(anna, "Anna", std::string(3 << 20, 'x')), "is longer than");
  refused("{\"box\":" + std::string(1000000, '[') + "\n", "box is an array");
  refused(replaced(anna, "\"file\":\"/a.jpg\"", "\"file\":\"/b\""), "identity is not that of the row before");
  write_bytes(path, good + anna + good);
  refuses(scratch, path, "line 3: /b has rows above");
  write_bytes(path, replaced(good, "aaaa", "bbbb"));
  refuses(scratch, path, "line 1: ", ErrorCode::invalid_argument);
}

TEST_CASE("npy that is not an export") {
  const Scratch scratch("exchange-npy");
  const fs::path path = scratch.path / "bad.npy";
  const std::string rows = columns_header() + kAnna + '\n' + kBert + '\n';
  const std::string data = npy("(2, 512)", {1, 2}).substr(128);
  const auto refused = [&](const std::string& array, const std::string& what, const std::string& columns) {
    write_npy(path, array, columns);
    refuses(scratch, path, what);
  };
  const auto header = [&](const std::string& dictionary, const std::string& what) {
    refused(npy_header(dictionary) + data, what, rows);
  };
  header("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 512), }", "holds \">f4\", expected \"<f4\"");
  header("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 512), }", "holds \"<f8\"");
  header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 512), }", "has the header");
  header("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 512), }", "is in Fortran order");
  for (const char* shape : {"(1024,)", "(2, 256)", "(2, 512, 1)", "(512, 2)", "()", "(-2, 512)", "(2 512)",
                            "(99999999999999999999, 512)", "7", "(, 512)"})
    header("{'descr': '<f4', 'fortran_order': False, 'shape': " + std::string(shape) + ", }", "is of shape");
  header("{'descr': '<f4', 'fortran_order': False, 'shape': (36028797018963970, 512), }",
         "holds 4096 bytes of embeddings, expected 36028797018963970 rows");
  header("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 512), }", "holds 4096 bytes");
  header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 512), }", "holds 4096 bytes");
  for (const char* dictionary :
       {"", "{", "{}", "{'descr': '<f4'}", "{'descr", "{'descr'", "{'descr':", "{'descr': (",
        "{'descr': '<f4', ", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 512), 'x': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 512)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 512)} x"})
    header(dictionary, "has the header");
  refused(npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 512), }", 2) + data,
          "is .npy version 2.0, expected 1.0", rows);
  refused("\x93NUMPY", "ends in the middle of its header", rows);

  const std::string array = npy("(2, 512)", {1, 2});
  refused(array, "has 2 rows, but ", columns_header() + kAnna + '\n');
  refused(array, "bad.csv: line 4: there is no such row", rows + replaced(kBert, "/b", "/c") + '\n');
  refused(array, "bad.csv: line 1: has 526 columns, expected 14", csv_header() + '\n');
  refused(array, "bad.csv: line 3 (row 2 of ",
          columns_header() + kAnna + '\n' + replaced(kBert, "Bert", "") + '\n');
  std::string nan = array;
  std::memset(nan.data() + nan.size() - 4, 0xFF, 4);
  refused(nan, "bad.csv: line 3 (row 2 of ", rows);
  nan = array;
  std::memset(nan.data() + 128, 0, 2048);
  refused(nan, "unit is of norm 0", rows);
  write_npy(path, array, rows);
  fs::remove(scratch.path / "bad.csv");
  refuses(scratch, path, "bad.csv", ErrorCode::not_found);
}

TEST_CASE("exports are complete or absent") {
  const Scratch scratch("exchange-absent");
  Gallery gallery = Gallery::open_or_create(scratch.path / "g.gallery", kModel);
  put(gallery, photograph_of("Anna", "/a.jpg"), {short_face(3)});
  const std::string before = content(gallery);
  for (const auto& [format, name] : kFormats) {
    CHECK_THROWS_AS(export_faces(gallery, format, scratch.path / "absent" / name), Error);
    CHECK_THROWS_AS(export_faces(gallery, format, scratch.path), Error);
    CHECK_THROWS_AS(export_faces(gallery, format, gallery.path()), Error);
  }
  // Where the columns cannot be written, there are no embeddings either.
  fs::create_directory(scratch.path / "n.csv");
  CHECK_THROWS_AS(export_faces(gallery, ExchangeFormat::npy, scratch.path / "n.npy"), Error);
  CHECK(!fs::exists(scratch.path / "n.npy"));
  fs::remove(scratch.path / "n.csv");
  // A name that is a link stays one.
  write_bytes(scratch.path / "target.npy", "");
  fs::create_symlink("target.npy", scratch.path / "n.npy");
  for (int times = 0; times < 2; ++times) {
    export_faces(gallery, ExchangeFormat::npy, scratch.path / "n.npy");
    CHECK(fs::is_symlink(scratch.path / "n.npy"));
    CHECK(import_faces(gallery, scratch.path / "n.npy").faces == 1);
  }
  CHECK(content(gallery) == before);
  for (const auto& entry : fs::directory_iterator(scratch.path))
    CHECK(entry.path().filename().string().rfind(".adaface-", 0) != 0);
}

TEST_CASE("files written by tests/data/exchange/make.py") {
  const Scratch scratch("exchange-data");
  const fs::path data = source_root() / "tests/data/exchange";
  const std::string both = read_bytes(data / "people.npy_and_csv"), separator = "\n--columns--\n";
  const std::size_t end = both.find(separator);
  REQUIRE(end != std::string::npos);
  write_npy(scratch.path / "people.npy", both.substr(0, end), both.substr(end + separator.size()));
  std::string first;
  for (const fs::path& path : {data / "people.csv", data / "people.jsonl", scratch.path / "people.npy"}) {
    CAPTURE(path.string());
    const GalleryModel model = exported_model(path);
    CHECK(model.weights_sha256 == "abc");
    Gallery gallery = Gallery::open_or_create(scratch.path / (path.extension().string() + ".gallery"), model);
    CHECK(import_faces(gallery, path).photographs == 2);
    const std::vector<GalleryFace> faces = gallery.faces();
    REQUIRE(faces.size() == 3);
    CHECK(faces[1].identity == "Anna \"A\",");
    CHECK(faces[1].embedding.unit[4] == 1);
    CHECK(faces[2].photograph == "/b\n.jpg");
    CHECK(faces[2].box.y2 == 4e20f);
    if (first.empty()) first = content(gallery);
    CHECK(content(gallery) == first);
  }
}

TEST_CASE("an export while somebody writes holds one state") {
  const Scratch scratch("exchange-meanwhile");
  constexpr int kPhotographs = 20, kExports = 30;
  // Of state s, every photograph is of s bytes and shows a face along axis s.
  const auto write_state = [](Gallery& gallery, int state) {
    Gallery::Transaction transaction(gallery);
    for (int i = 0; i < kPhotographs; ++i) {
      Photograph p = photograph_of(numbered("P", (i + state) % 3), numbered("/", i));
      p.bytes = static_cast<std::uint64_t>(state);
      transaction.put(p, std::vector{short_face(state)});
    }
    transaction.commit();
  };
  const fs::path file = scratch.path / "g.gallery";
  Gallery writing = Gallery::open_or_create(file, kModel);
  write_state(writing, 0);
  std::atomic<bool> stop = false;
  std::atomic<int> states = 0;
  std::thread writer([&] {
    while (!stop) write_state(writing, ++states % kEmbeddingSize);
  });
  const Gallery gallery = Gallery::open(file);
  int different = 0;
  std::uint64_t last = 0;
  std::vector<std::string> faults;
  for (int i = 0; i < kExports; ++i) {
    try {
      export_faces(gallery, ExchangeFormat::csv, scratch.path / "out.csv");
      const fs::path copy = scratch.path / ("copy" + std::to_string(i));
      Gallery other = Gallery::open_or_create(copy, kModel);
      import_faces(other, scratch.path / "out.csv");
      const std::vector<Photograph> photographs = other.photographs();
      const std::vector<GalleryFace> faces = other.faces();
      if (faces.size() != kPhotographs) faults.push_back("faces: " + std::to_string(faces.size()));
      for (const Photograph& p : photographs)
        if (p.bytes != photographs[0].bytes) faults.push_back("photographs of two states");
      for (const GalleryFace& f : faces)
        if (f.embedding.unit[photographs.at(0).bytes] != 1) faults.push_back("a face of another state");
      different += photographs.at(0).bytes != last;
      last = photographs.at(0).bytes;
    } catch (const std::exception& error) {
      faults.push_back(error.what());
    }
  }
  stop = true;
  writer.join();
  MESSAGE(states.load() << " states written, " << different << " seen");
  CHECK(faults == std::vector<std::string>{});
}

TEST_CASE("an .npy never stands beside the columns of another export") {
  const Scratch scratch("exchange-commit");
  const fs::path path = scratch.path / "n.npy", columns = scratch.path / "n.csv";
  gallery::ExchangeRow row;
  row.identity = "Anna", row.file = "/a.jpg", row.face = short_face(3), row.model = kModel;
  const auto earlier = gallery::write_npy(path);
  earlier->write(row);
  earlier->commit();
  REQUIRE(fs::exists(path));
  const auto later = gallery::write_npy(path);
  row.identity = "Bert", row.face = short_face(4);
  later->write(row);
  CHECK(exported_model(path).architecture == "ir_18");  // the earlier one, until commit()
  fs::remove(columns);
  fs::create_directory(columns);
  CHECK_THROWS_AS(later->commit(), Error);
  CHECK(!fs::exists(path));
}

TEST_CASE("a photograph of endless faces is refused") {
  struct Endless final : gallery::RowReader {
    std::size_t rows = 0;
    bool next(gallery::ExchangeRow& row) override {
      row.identity = "Anna", row.file = "/a.jpg", row.face = short_face(3), row.model = kModel;
      return ++rows < 1'000'000;
    }
    std::string where() const override { return "endless"; }
  } endless;
  CHECK_THROWS_WITH_AS(gallery::read_photographs(
                           endless, [](const auto&) {}, [](const auto&, auto) {}),
                       "endless: expected at most 65536 faces of one photograph", Error);
}
