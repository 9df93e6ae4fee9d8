// Do two photographs show the same person? Prints the cosine between their largest faces.
//
//   g++ -std=c++20 compare.cpp -o compare $(pkg-config --cflags --libs adaface)
//   ./compare model.afw mtcnn.afw a.jpg b.jpg
#include <adaface/adaface.hpp>
#include <cstdio>

int main(int argc, char** argv) try {
  if (argc != 5) return 2;
  const auto largest = adaface::FaceSelection::largest;
  adaface::Engine engine({.model = argv[1], .detector = argv[2], .faces = largest});
  const auto a = engine.analyze(adaface::read_image(argv[3]));
  const auto b = engine.analyze(adaface::read_image(argv[4]));
  if (a.empty() || b.empty()) {
    std::fprintf(stderr, "%s: no face\n", argv[a.empty() ? 3 : 4]);
    return 1;
  }
  std::printf("%.4f\n", adaface::similarity(a[0].embedding, b[0].embedding));
} catch (const adaface::Error& error) {  // names the file, what was found and what was expected
  std::fprintf(stderr, "error: %s (%s)\n", error.what(), adaface::to_string(error.code()));
  return 1;
}
