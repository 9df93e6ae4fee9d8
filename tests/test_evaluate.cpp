#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <random>

#include "src/adaface.hpp"
#include "tests/program.h"
#include "tools/adaface/pairs.h"
#include "tools/adaface/roc_svg.h"
#include "tools/adaface/verification.h"

namespace {

using namespace adaface::cli;
namespace fs = std::filesystem;
using adaface::testing::contains;
using adaface::testing::files_in;
using adaface::testing::Fixture;
using adaface::testing::fixture;
using adaface::testing::Json;
using adaface::testing::lines;
using adaface::testing::picture;
using adaface::testing::read;
using adaface::testing::Result;
using adaface::testing::Scratch;
using adaface::testing::write;

constexpr bool kSame = true, kDifferent = false;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const adaface::Error& error) {
    return error.what();
  }
  return "";
}

void check_roc(const Verification& v, const std::vector<std::array<double, 3>>& expected) {
  REQUIRE(v.roc.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(v.roc[i].threshold == expected[i][0]);
    CHECK(v.roc[i].far == expected[i][1]);
    CHECK(v.roc[i].tar == expected[i][2]);
  }
}

}  // namespace

// ---- Figures

TEST_CASE("a list with known scores: every figure by hand") {
  const std::vector<ScoredPair> pairs = {{0.9, kSame, 0},      {0.6, kSame, 0},     {0.5, kDifferent, 0},
                                         {0.1, kDifferent, 0}, {0.8, kSame, 1},     {0.4, kSame, 1},
                                         {0.7, kDifferent, 1}, {0.2, kDifferent, 1}};
  const Verification v = verify(pairs);
  CHECK(v.same == 4);
  CHECK(v.different == 4);
  CHECK(v.without_similarity == 0);

  // On fold 1, right answers at 0.8: 3 (not the pair of 0.4), 0.7: 2, 0.4: 3 (not 0.7), 0.2: 2. The higher of
  // the best, 0.8, misses one pair of fold 0: 0.6. On fold 0: 0.9: 3, 0.6: 4, 0.5: 3, 0.1: 2. On fold 1, 0.6
  // misses 0.4 and accepts 0.7.
  REQUIRE(v.folds.size() == 2);
  CHECK(v.folds[0].pairs == 4);
  CHECK(v.folds[0].threshold == 0.8);
  CHECK(v.folds[0].accuracy == 0.75);
  CHECK(v.folds[1].threshold == 0.6);
  CHECK(v.folds[1].accuracy == 0.5);
  CHECK(v.accuracy == 0.625);
  // Each fold is 1/8 off the mean: variance 2/64 over 2 - 1.
  CHECK(v.deviation == doctest::Approx(std::sqrt(2.0) / 8).epsilon(1e-15));
  CHECK(v.standard_error == doctest::Approx(0.125).epsilon(1e-15));

  // Descending S S D S D S D D; right answers 5 6 5 6 5 6 5 4 of 8.
  CHECK(v.best_threshold == 0.8);
  CHECK(v.best_accuracy == 0.75);
  // 0.9 and 0.8 pass all 4 different pairs, 0.6 passes 3, 0.4 passes 2: 13 of 16.
  CHECK(v.auc == 13.0 / 16);
  check_roc(v, {{kInfinity, 0, 0},
                {0.9, 0, 0.25},
                {0.8, 0, 0.5},
                {0.7, 0.25, 0.5},
                {0.6, 0.25, 0.75},
                {0.5, 0.5, 0.75},
                {0.4, 0.5, 1},
                {0.2, 0.75, 1},
                {0.1, 1, 1}});
  CHECK(operating_point(v.roc, 1e-2).tar == 0.5);
  CHECK(operating_point(v.roc, 1e-2).threshold == 0.8);
  CHECK(operating_point(v.roc, 0.25).tar == 0.75);
  CHECK(operating_point(v.roc, 0.49).threshold == 0.6);
  CHECK(operating_point(v.roc, 1).threshold == 0.4);
  // Without the points inside runs: 0.9 and 0.2.
  const std::vector<OperatingPoint> edges = corners(v.roc);
  REQUIRE(edges.size() == 7);
  CHECK(edges[1].threshold == 0.8);
  CHECK(edges[5].threshold == 0.4);
}

TEST_CASE("ties count half, and are accepted together") {
  const Verification v = verify(
      std::vector<ScoredPair>{{0.5, kSame, 0}, {0.5, kDifferent, 0}, {0.5, kSame, 1}, {0.2, kDifferent, 1}});
  // Each same pair ties with one different pair and passes one.
  CHECK(v.auc == 0.75);
  check_roc(v, {{kInfinity, 0, 0}, {0.5, 0.5, 1}, {0.2, 1, 1}});
  CHECK(operating_point(v.roc, 1e-2).tar == 0);
  CHECK(operating_point(v.roc, 1e-2).threshold == kInfinity);
  CHECK(operating_point(v.roc, 0.5).tar == 1);
  CHECK(v.folds[0].accuracy == 0.5);
  CHECK(v.folds[1].accuracy == 1);
}

TEST_CASE("perfect and inverted separation") {
  const auto made = [](double same, double different) {
    std::vector<ScoredPair> pairs;
    for (std::size_t fold = 0; fold < 10; ++fold)
      for (int i = 0; i < 3; ++i) {
        pairs.push_back({same, kSame, fold});
        pairs.push_back({different, kDifferent, fold});
      }
    return verify(pairs);
  };
  const Verification perfect = made(0.9, -0.1);
  CHECK(perfect.accuracy == 1);
  CHECK(perfect.deviation == 0);
  CHECK(perfect.auc == 1);
  CHECK(perfect.best_threshold == 0.9);
  CHECK(operating_point(perfect.roc, 1e-3).tar == 1);

  const Verification inverted = made(-0.1, 0.9);
  CHECK(inverted.auc == 0);
  // The best that is left: to accept all.
  CHECK(inverted.accuracy == 0.5);
  CHECK(inverted.best_threshold == -0.1);
  CHECK(operating_point(inverted.roc, 1e-2).tar == 0);

  CHECK(made(0.3, 0.3).auc == 0.5);
}

TEST_CASE("pairs without similarity are called different at every threshold") {
  const Verification v = verify(std::vector<ScoredPair>{
      {0.9, kSame, 0}, {kNoSimilarity, kDifferent, 0}, {kNoSimilarity, kSame, 1}, {-1, kDifferent, 1}});
  CHECK(v.without_similarity == 2);
  check_roc(v, {{kInfinity, 0, 0}, {0.9, 0, 0.5}, {-1, 0.5, 0.5}});
  // 0.9 passes both different pairs; the lost one passes none and ties with one.
  CHECK(v.auc == 2.5 / 4);
  // Fold 1 offers -1 alone, which is right about neither of its pairs, and about both of fold 0.
  CHECK(v.folds[0].threshold == -1);
  CHECK(v.folds[0].accuracy == 1);
  CHECK(v.folds[1].accuracy == 0.5);

  const Verification none = verify(std::vector<ScoredPair>{
      {kNoSimilarity, kSame, 0}, {kNoSimilarity, kDifferent, 0}, {0.5, kSame, 1}, {0.1, kDifferent, 1}});
  CHECK(none.folds[1].threshold == kInfinity);
  CHECK(none.folds[1].accuracy == 0.5);
}

TEST_CASE("random lists: what a direct count gives, in any order") {
  constexpr unsigned kSeed = 11;
  MESSAGE("seed ", kSeed);
  std::mt19937 random(kSeed);
  for (int run = 0; run < 40; ++run) {
    std::vector<ScoredPair> pairs;
    for (std::size_t i = 0; i < 120; ++i) {
      const bool same = i % 2 == 0;
      // Few distinct values: many ties.
      const double similarity = static_cast<double>(random() % 21 + (same ? 6 : 0)) / 32;
      pairs.push_back({random() % 9 == 0 ? kNoSimilarity : similarity, same, i / 12});
    }
    const auto right_answers = [&](double threshold, auto counts) {
      int right = 0;
      for (const ScoredPair& pair : pairs)
        right += counts(pair) && (pair.similarity >= threshold) == pair.same;
      return right;
    };
    double area = 0;
    for (const ScoredPair& a : pairs)
      for (const ScoredPair& b : pairs)
        if (a.same && !b.same)
          area += a.similarity > b.similarity ? 1 : a.similarity == b.similarity ? 0.5 : 0;
    std::vector<double> accuracies;
    for (std::size_t k = 0; k < 10; ++k) {
      double threshold = -2;
      int best = -1;
      for (int step = 32; step >= 0; --step) {
        const double candidate = step / 32.0;
        const bool present = std::any_of(pairs.begin(), pairs.end(), [&](const ScoredPair& pair) {
          return pair.fold != k && pair.similarity == candidate;
        });
        const int right = right_answers(candidate, [&](const ScoredPair& pair) { return pair.fold != k; });
        if (present && right > best) best = right, threshold = candidate;
      }
      accuracies.push_back(right_answers(threshold, [&](const ScoredPair& pair) { return pair.fold == k; }) /
                           12.0);
    }

    std::shuffle(pairs.begin(), pairs.end(), random);
    const Verification v = verify(pairs);
    CHECK(v.auc == area / 3600);
    for (std::size_t k = 0; k < 10; ++k) CHECK(v.folds[k].accuracy == accuracies[k]);
    CHECK(v.best_accuracy * 120 ==
          doctest::Approx(right_answers(v.best_threshold, [](const ScoredPair&) { return true; })));
    for (const double far : {0.01, 0.1, 0.3}) {
      double tar = 0;
      for (int step = 0; step <= 40; ++step) {
        double accepted[2] = {0, 0};
        for (const ScoredPair& pair : pairs) accepted[pair.same] += pair.similarity >= step / 32.0;
        if (accepted[0] / 60 <= far) tar = std::max(tar, accepted[1] / 60);
      }
      CHECK(operating_point(v.roc, far).tar == tar);
    }
  }
}

TEST_CASE("lists that verify() refuses") {
  const auto error = [](std::vector<ScoredPair> pairs) { return error_of([&] { verify(pairs); }); };
  CHECK_CONTAINS(error({}), "expected both");
  CHECK_CONTAINS(error({{0.5, kSame, 0}, {0.5, kSame, 1}}), "2 pairs of the same person and 0 of different");
  CHECK_CONTAINS(error({{0.5, kSame, 0}, {0.5, kDifferent, 0}}), "1 folds of pairs, expected at least 2");
  CHECK_CONTAINS(error({{0.5, kSame, 0}, {0.5, kDifferent, 2}, {0.5, kSame, 2}}), "a fold without pairs");
  CHECK_CONTAINS(error({{1.5, kSame, 0}, {0.5, kDifferent, 1}}), "expected -1 to 1");
  CHECK_CONTAINS(error({{std::nan(""), kSame, 0}, {0.5, kDifferent, 1}}), "expected -1 to 1");
}

// ---- Lists

namespace {

struct Lists {
  Scratch scratch{"pairs"};
  fs::path list = scratch.path / "list.txt";

  PairList read(const std::string& text) {
    write(list, text);
    return read_pairs(list, scratch.path / "lfw");
  }
  std::string error(const std::string& text) {
    return error_of([&] { read(text); });
  }
  std::string name(const PairList& pairs, std::size_t photograph) {
    return fs::relative(pairs.photographs[photograph], scratch.path / "lfw").string();
  }
};

}  // namespace

TEST_CASE("LFW's pairs.txt") {
  Lists lists;
  for (const char* file : {"A_B/A_B_0001.jpg", "A_B/A_B_0002.jpeg", "C/C_0010.png", "C/C_0010.bmp"}) {
    fs::create_directories((lists.scratch.path / "lfw" / file).parent_path());
    write(lists.scratch.path / "lfw" / file, "x");
  }
  const PairList pairs = lists.read(
      "2\t2\r\n"
      "A_B\t1\t2\r\nC\t3\t10\r\nA_B\t1\tC\t10\r\nC\t3\tA_B\t2\r\n"
      "A_B\t2\t1\nC 10 3\nA_B 1 C 12345\n\nC\t3\tA_B\t1");
  CHECK(pairs.folds == 2);
  CHECK(pairs.own_folds);
  REQUIRE(pairs.pairs.size() == 8);
  REQUIRE(pairs.photographs.size() == 5);
  CHECK(lists.name(pairs, 0) == "A_B/A_B_0001.jpg");
  CHECK(lists.name(pairs, 1) == "A_B/A_B_0002.jpeg");
  CHECK(lists.name(pairs, 2) == "C/C_0003.jpg");
  CHECK(lists.name(pairs, 3) == "C/C_0010.png");
  CHECK(lists.name(pairs, 4) == "C/C_12345.jpg");
  CHECK(pairs.pairs[3].a == 2);
  CHECK(pairs.pairs[3].b == 1);
  CHECK_FALSE(pairs.pairs[3].same);
  for (std::size_t i = 0; i < 8; ++i) {
    CHECK(pairs.pairs[i].fold == i / 4);
    CHECK(pairs.pairs[i].same == (i % 4 < 2));
  }

  // One number: no sets.
  std::string development = "12\n";
  for (int i = 0; i < 12; ++i) development += "A\t1\t" + std::to_string(i + 2) + "\n";
  for (int i = 0; i < 12; ++i) development += "A\t1\tB\t" + std::to_string(i + 2) + "\n";
  const PairList dealt = lists.read(development);
  CHECK(dealt.folds == 10);
  CHECK_FALSE(dealt.own_folds);
  CHECK(dealt.pairs[11].fold == 1);
  CHECK(dealt.pairs[12].fold == 0);

  CHECK_CONTAINS(lists.error("2 1\nA 1 2\nA 1 B 1\nA 2 1\n"),
                 "list.txt: ends after 3 pairs, expected 2 x 1 of each");
  CHECK_CONTAINS(lists.error("1 2\nA 1 2\nA 1 3\nA 1 4\n"),
                 "line 4: more than 2 pairs of the same person in set 1");
  CHECK_CONTAINS(lists.error("2 1\nA 1 2\nA 1 B 1\nA 2 1\nA 1 B 2\nA 1 3\n"),
                 "line 6: more pairs than the header");
  CHECK_CONTAINS(lists.error("2 1\nA 1\n"), "line 2: 2 fields, expected \"name i j\"");
  CHECK_CONTAINS(lists.error("2 1\nA 1 x\n"), "line 2: \"x\" is not the number of a photograph");
  CHECK_CONTAINS(lists.error("2 1\nA 0 1\n"), "line 2: \"0\" is not the number of a photograph");
  CHECK_CONTAINS(lists.error("0 10\n"), "line 1: a header of 0");
  CHECK_CONTAINS(lists.error("5000 10\n"), "line 1: 5000 sets of pairs, expected at most 1000");
}

TEST_CASE("plain lists") {
  Lists lists;
  const PairList pairs = lists.read(
      "\xef\xbb\xbf# who is who\n\na/1.jpg a/2.jpg 1\n\"a b\\\".jpg\"   a/1.jpg 0\nx "
      "y.jpg\t\"z\t0\r\n./a/../a/2.jpg a/1.jpg 1  \n"
      "/abs.jpg a/1.jpg 1");
  REQUIRE(pairs.pairs.size() == 5);
  CHECK(pairs.folds == 2);
  CHECK_FALSE(pairs.own_folds);
  REQUIRE(pairs.photographs.size() == 6);
  CHECK(lists.name(pairs, 0) == "a/1.jpg");
  CHECK(lists.name(pairs, 2) == "a b\".jpg");
  CHECK(lists.name(pairs, 3) == "x y.jpg");
  CHECK(lists.name(pairs, 4) == "\"z");
  CHECK(pairs.photographs[5] == "/abs.jpg");
  CHECK(pairs.pairs[3].a == 1);
  CHECK(pairs.pairs[3].same);
  const std::size_t folds[] = {0, 0, 1, 1, 0};
  for (std::size_t i = 0; i < 5; ++i) CHECK(pairs.pairs[i].fold == folds[i]);

  std::string many;
  for (int i = 0; i < 25; ++i) many += "a b 1\nc d 0\n";
  CHECK(lists.read(many).folds == 10);
  CHECK(lists.read(many).pairs.back().fold == 4);

  CHECK_CONTAINS(lists.error(""), "list.txt: is empty, expected a list of pairs");
  CHECK_CONTAINS(lists.error("# nothing\n\n"), "is empty");
  CHECK_CONTAINS(lists.error("a b 1\nc d\n"), "list.txt, line 2: 2 fields, expected two photographs");
  CHECK_CONTAINS(lists.error("a b 1\n\nc d 2\n"), "line 3: ends in \"2\", expected");
  CHECK_CONTAINS(lists.error("a b c 1\n"), "line 1: 4 fields");
  CHECK_CONTAINS(lists.error("\"a b 1\n"), "line 1: a name without its closing quote");
  CHECK_CONTAINS(lists.error("\"a\"b c 1\n"), "line 1: text follows a closing quote");
  CHECK_CONTAINS(lists.error("\"\" c 1\n"), "line 1: an empty name");
  CHECK_CONTAINS(lists.error("a\t\tc\t1\n"), "line 1: two tabs without a name");
  CHECK_CONTAINS(lists.error(std::string("a\0 b 1\n", 7)), "line 1: holds a NUL byte");
  CHECK_CONTAINS(lists.error("a b 1\nc d 0\ne f 0\n"),
                 "1 pairs of the same person and 2 of different people");
  CHECK_CONTAINS(error_of([&] { read_pairs(lists.scratch.path / "none", "."); }), "none: no such file");
  CHECK_CONTAINS(error_of([&] { read_pairs(lists.scratch.path, "."); }), "is a directory");
}

// ---- The picture

TEST_CASE("the ROC picture holds its figures, escaped, and nothing that is no number") {
  std::vector<ScoredPair> pairs;
  for (std::size_t i = 0; i < 400; ++i)
    pairs.push_back({0.001 * static_cast<double>(i % 2 ? i : i + 300), i % 2 == 0, i % 10});
  for (const double lost : {0.5, kNoSimilarity}) {
    pairs[0].similarity = lost;
    const Verification v = verify(pairs);
    const std::string svg = roc_svg(v, {"a <b> & \"c\"", "line\none"});
    CHECK(svg.starts_with("<?xml"));
    CHECK(svg.ends_with("</svg>\n"));
    CHECK_CONTAINS(svg, "a &lt;b&gt; &amp; &quot;c&quot;");
    CHECK_CONTAINS(svg, "line?one");
    char tar[32];
    for (const double far : {1e-2, 1e-3}) {
      std::snprintf(tar, sizeof tar, ">%.2f%%<", 100 * operating_point(v.roc, far).tar);
      CHECK_CONTAINS(svg, tar);
    }
    CHECK_CONTAINS(svg, "TAR at FAR 1e-2");
    CHECK_CONTAINS(svg, "TAR at FAR 1e-3");
    CHECK_FALSE(contains(svg, "nan"));
    CHECK_FALSE(contains(svg, "inf"));
  }
}

// ---- The program

namespace {

const std::vector<std::string> kPeople = {"ada", "bruno", "chen", "dalia", "emre", "fatou", "goran", "hana"};

std::string person(const std::string& name, int number) {
  return "people/" + name + "/" + name + std::to_string(number) + ".jpg";
}

std::string faces() {
  return picture("");
}

}  // namespace

TEST_CASE("evaluate: the figures of comparing every photograph with every other") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path directory = f.directory("evaluate");
  std::string list = "# people\n";
  struct Listed {
    std::string a, b;
    bool same;
  };
  std::vector<Listed> pairs;
  for (std::size_t p = 0; p < kPeople.size(); ++p)
    for (int i = 1; i <= 4; ++i)
      for (int j = i + 1; j <= 4; ++j) {
        pairs.push_back({person(kPeople[p], i), person(kPeople[p], j), true});
        pairs.push_back({person(kPeople[p], i), person(kPeople[(p + 1) % kPeople.size()], j), false});
      }
  pairs.push_back({"no_face.jpg", person("ada", 1), true});
  for (const Listed& pair : pairs) list += pair.a + " " + pair.b + (pair.same ? " 1\n" : " 0\n");
  write(directory / "list.txt", list);

  const Result matrix =
      f.adaface({"compare", picture("people"), picture("no_face.jpg"), "--json", "--faces", "largest"});
  REQUIRE(matrix.code == 0);
  const Json all = Json::parse(matrix.out);
  std::map<std::string, std::size_t> row;
  for (std::size_t i = 0; i < all["files"].size(); ++i)
    row[fs::relative(all["files"][i].get<std::string>(), faces()).string()] = i;
  std::vector<ScoredPair> scored;
  std::size_t dealt[2] = {0, 0};
  for (const Listed& pair : pairs) {
    const Json& similarity = all["similarity"].at(row.at(pair.a)).at(row.at(pair.b));
    scored.push_back({similarity.is_null() ? kNoSimilarity : similarity.get<double>(), pair.same,
                      dealt[pair.same]++ % 10});
  }
  const Verification expected = verify(scored);

  const Result result = f.adaface({"evaluate", (directory / "list.txt").string(), "--images", faces(),
                                   "--json", "--roc", (directory / "roc.svg").string()});
  CHECK(result.code == 0);
  CHECK(result.err == "");
  REQUIRE(lines(result.out).size() == 1);
  const Json json = lines(result.out).front();
  CHECK(json["same"] == 49);
  CHECK(json["different"] == 48);
  CHECK(json["photographs"] == 33);
  CHECK(json["without_similarity"] == 1);
  REQUIRE(json["no_face"].size() == 1);
  CHECK_CONTAINS(json["no_face"][0].get<std::string>(), "no_face.jpg");
  CHECK(json["unreadable"].empty());
  CHECK(json["accuracy"]["mean"] == expected.accuracy);
  CHECK(json["accuracy"]["standard_error"] == expected.standard_error);
  CHECK(json["auc"] == expected.auc);
  CHECK(json["best"]["threshold"] == expected.best_threshold);
  CHECK(json["tar"][0]["tar"] == operating_point(expected.roc, 1e-2).tar);
  CHECK(json["folds"].size() == 10);
  CHECK(json["roc"].size() == corners(expected.roc).size());
  CHECK_CONTAINS(read(directory / "roc.svg"), "ir_18 on list.txt");
  CHECK(files_in(directory) == 2);

  // The human form, on one thread.
  const Result human =
      f.adaface({"evaluate", (directory / "list.txt").string(), "--images", faces(), "--threads", "1"});
  CHECK(human.code == 0);
  char text[64];
  std::snprintf(text, sizeof text, "accuracy           %.4f +- %.4f", expected.accuracy,
                expected.standard_error);
  CHECK_CONTAINS(human.out, text);
  std::snprintf(text, sizeof text, "AUC                %.6f", expected.auc);
  CHECK_CONTAINS(human.out, text);
  CHECK_CONTAINS(human.out, "1 without a face, 0 unreadable: 1 pairs count as different");
  CHECK_CONTAINS(human.out, "10 folds, pairs of each kind dealt in turn");
  CHECK_CONTAINS(human.out, "no face:\n    ");
}

TEST_CASE("evaluate: LFW's list, and files that cannot be read") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path directory = f.directory("lfw");
  for (const std::string name : {"ada", "bruno"})
    for (int i = 1; i <= 3; ++i) {
      fs::create_directories(directory / name);
      fs::copy_file(faces() + person(name, i),
                    directory / name / (name + "_000" + std::to_string(i) + ".jpg"));
    }
  write(directory / "pairs.txt", "2\t1\nada\t1\t2\nada\t1\tbruno\t1\nbruno\t2\t3\nada\t3\tbruno\t2\n");
  const Result good =
      f.adaface({"evaluate", (directory / "pairs.txt").string(), "--images", directory.string()});
  CHECK(good.code == 0);
  CHECK_CONTAINS(good.out, "2 sets of the list");
  CHECK_CONTAINS(good.out, "photographs        6\n");

  fs::remove(directory / "bruno/bruno_0003.jpg");
  write(directory / "ada/ada_0003.jpg", "no picture");
  const Result bad =
      f.adaface({"evaluate", (directory / "pairs.txt").string(), "--images", directory.string()});
  CHECK(bad.code == 1);
  CHECK_CONTAINS(bad.err, "bruno_0003.jpg");
  CHECK_CONTAINS(bad.out, "0 without a face, 2 unreadable: 2 pairs count as different");
  CHECK_CONTAINS(bad.out, "unreadable:\n    ");

  // Of nothing there is no accuracy.
  const fs::path roc = directory / "roc.svg";
  for (const std::string name : {"ada", "bruno"})
    for (int i = 1; i <= 3; ++i)
      write(directory / name / (name + "_000" + std::to_string(i) + ".jpg"), "no picture");
  const Result nothing = f.adaface({"evaluate", (directory / "pairs.txt").string(), "--images",
                                    directory.string(), "--roc", roc.string()});
  CHECK(nothing.code == 1);
  CHECK(nothing.out.empty());
  CHECK_CONTAINS(nothing.err,
                 "pairs.txt: nothing to measure: of 6 photographs, 6 unreadable, 0 without a face\n");
  CHECK(!fs::exists(roc));
}

TEST_CASE("evaluate --flip: crop and mirror image, summed before normalisation") {
  Fixture& f = fixture();
  if (!f.can_detect()) return;
  const fs::path directory = f.directory("flip");
  const std::vector<std::string> names = {person("ada", 1), person("ada", 2), person("bruno", 1),
                                          person("bruno", 2)};
  adaface::Embedder embedder(adaface::Weights::load(f.home() / "model.afw"));
  adaface::Detector detector(adaface::Weights::load(f.home() / "mtcnn.afw"));
  std::vector<std::array<double, 512>> sums;
  for (std::size_t n = 0; n < names.size(); ++n) {
    const adaface::Image image = adaface::read_image(faces() + names[n]);
    const auto found = select_faces(detector.detect(image), adaface::FaceSelection::largest);
    REQUIRE(found.size() == 1);
    const adaface::Image crop = align_face(image, found[0].landmarks);
    adaface::Image mirror(112, 112);
    for (int y = 0; y < 112; ++y)
      for (int x = 0; x < 112; ++x) std::copy_n(crop.row(y) + 3 * (111 - x), 3, mirror.row(y) + 3 * x);
    const adaface::Embedding a = embedder.embed(crop), b = embedder.embed(mirror);
    auto& sum = sums.emplace_back();
    for (std::size_t i = 0; i < 512; ++i)
      sum[i] = static_cast<double>(a.unit[i]) * a.norm + static_cast<double>(b.unit[i]) * b.norm;
    write_image(directory / ("crop" + std::to_string(n) + ".png"), crop);
  }
  const auto cosine = [&](std::size_t a, std::size_t b) {
    double dot = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < 512; ++i) {
      dot += sums[a][i] * sums[b][i];
      aa += sums[a][i] * sums[a][i];
      bb += sums[b][i] * sums[b][i];
    }
    return dot / std::sqrt(aa * bb);
  };
  const std::size_t pairs[4][2] = {{0, 1}, {2, 3}, {0, 2}, {1, 3}};
  std::vector<double> expected;
  std::string photographs, crops;
  for (std::size_t i = 0; i < 4; ++i) {
    expected.push_back(cosine(pairs[i][0], pairs[i][1]));
    const std::string label = i < 2 ? " 1\n" : " 0\n";
    photographs += names[pairs[i][0]] + " " + names[pairs[i][1]] + label;
    crops +=
        "crop" + std::to_string(pairs[i][0]) + ".png crop" + std::to_string(pairs[i][1]) + ".png" + label;
  }
  write(directory / "photographs.txt", photographs);
  write(directory / "crops.txt", crops);
  // Each threshold of the fold results is a similarity; unit vectors are rounded to float32: 2^-24 x 512 at
  // most.
  constexpr double kRounding = 5e-5;
  const auto known = [&](const Json& json) {
    int count = 0;
    for (const Json& fold : json["folds"])
      count += std::any_of(expected.begin(), expected.end(), [&](double similarity) {
        return std::abs(fold["threshold"].get<double>() - similarity) < kRounding;
      });
    return count;
  };
  const auto evaluate = [&](const std::string& list, const std::string& images,
                            std::vector<std::string> more) {
    std::vector<std::string> arguments = {"evaluate", (directory / list).string(), "--images", images,
                                          "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Result result = f.adaface(arguments);
    REQUIRE(result.code == 0);
    return Json::parse(result.out);
  };
  CHECK(known(evaluate("photographs.txt", faces(), {"--flip"})) == 2);
  CHECK(known(evaluate("crops.txt", directory.string(), {"--flip", "--aligned"})) == 2);
  CHECK(known(evaluate("photographs.txt", faces(), {})) == 0);
}

TEST_CASE("evaluate: wrong usage") {
  Fixture& f = fixture();
  const fs::path directory = f.directory("wrong");
  write(directory / "list.txt", "a b 1\nc d 2\n");
  const std::string list = (directory / "list.txt").string();
  const auto error = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "evaluate");
    const Result result = f.adaface(arguments);
    CHECK(result.code == 2);
    CHECK(result.out == "");
    return result.err;
  };
  CHECK_CONTAINS(error({list, "--images", directory.string()}), "list.txt, line 2: ends in \"2\"");
  CHECK_CONTAINS(error({list, "--images", "/nowhere"}), "--images /nowhere: no such directory");
  CHECK_CONTAINS(error({"/none.txt", "--images", directory.string()}), "/none.txt: no such file");
  CHECK_CONTAINS(error({list, "--images", directory.string(), "--roc", "/nowhere/x.svg"}),
                 "--roc /nowhere/x.svg");
  CHECK_CONTAINS(error({list, "--images", directory.string(), "--faces", "all"}), "--faces");
  CHECK_CONTAINS(error({list}), "--images");
}
