// The cosine between two faces that are aligned already: crops of 112x112, as `adaface align` writes them.
// The engine is part of the program, without what this one does not use.
//
//   g++ -std=c++20 -Wl,--gc-sections crops.cpp -o crops $(pkg-config --static --cflags --libs adaface |
//     sed s/-ladaface/-l:libadaface.a/)
//   ./crops model.afw a.png b.png
#include <adaface/adaface.hpp>
#include <cstdio>

int main(int argc, char** argv) try {
  if (argc != 4) return 2;
  const auto weights = adaface::Weights::load(argv[1]);
  adaface::Embedder embedder(weights, {.plan = adaface::PlanKind::small});
  const auto a = embedder.embed(adaface::read_image(argv[2]));
  const auto b = embedder.embed(adaface::read_image(argv[3]));
  std::printf("%.4f\n", adaface::similarity(a, b));
} catch (const adaface::Error& error) {  // names the file, what was found and what was expected
  std::fprintf(stderr, "error: %s (%s)\n", error.what(), adaface::to_string(error.code()));
  return 1;
}
