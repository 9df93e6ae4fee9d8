// Which of some photographs is most like the first? Prints it and the cosine, for each face of the first.
//
//   ./nearest model.afw mtcnn.afw photograph.jpg known.jpg...
#include <adaface/gallery.hpp>
#include <cstdio>

int main(int argc, char** argv) try {
  if (argc < 5) return 2;
  adaface::Engine engine({.model = argv[1], .detector = argv[2]});
  adaface::SearchIndex index;
  std::vector<const char*> files;
  for (int i = 4; i < argc; ++i)
    for (const auto& known : engine.analyze(adaface::read_image(argv[i]))) {
      index.add(known.embedding.unit);
      files.push_back(argv[i]);
    }
  for (const auto& face : engine.analyze(adaface::read_image(argv[3])))
    for (const auto& match : index.nearest(face.embedding.unit, 1))
      std::printf("%s %.4f\n", files[match.row], match.similarity);
} catch (const adaface::Error& error) {  // names the file, what was found and what was expected
  std::fprintf(stderr, "error: %s (%s)\n", error.what(), adaface::to_string(error.code()));
  return 1;
}
