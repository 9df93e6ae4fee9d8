// Pages of answers: for each face that was looked for, the gallery's photograph and its own side by side.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "src/gallery.hpp"
#include "tools/adaface/inputs.h"

namespace adaface::cli {

// A face in a photograph, cut out with its surroundings.
struct Portrait {
  std::optional<Image> image;  // none: the photograph could not be read
  std::string title;           // bytes of any kind
  std::string detail;
  std::string more = {};  // a third line, where one of a picture has it
};

// The face with half of its size around it, square, as montages show it.
Image cut_portrait(const Image& photograph, const Box& box);

// Writes into a directory: match/0001-ada.jpg ..., unknown/0002.jpg ..., and index.html, which shows them
// all.
class Montage {
 public:
  // Creates the directory, or empties one that an earlier montage made. Throws UsageError for any other that
  // is not empty, and where `inputs` lie in it or it among them: a next run would read its pictures; Error
  // io.
  Montage(std::filesystem::path directory, const std::vector<std::string>& arguments,
          const std::vector<Input>& inputs);

  // `known` stands left, `query` right; each returns the picture's path. Throw Error io.
  std::filesystem::path add_match(const std::string& identity, double similarity, const Portrait& known,
                                  const Portrait& query);
  // `nearest` is empty when the gallery is.
  std::filesystem::path add_unknown(const std::string& nearest, double similarity, const Portrait& query);
  void add_without_face(const std::string& file);

  // Writes index.html anew.
  void finish(const std::string& gallery, double threshold);

 private:
  struct Entry {
    std::string picture, title, detail;  // picture: relative to the directory
  };
  std::filesystem::path save(const Image& picture, const char* folder, const std::string& name);

  std::filesystem::path directory_;
  int count_ = 0;
  std::vector<Entry> matches_, unknown_;
  std::vector<std::string> without_face_;
};

}  // namespace adaface::cli
