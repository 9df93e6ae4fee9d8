// This engine as one more peer of bench/peers/compare.py, through the public API. It obeys lines on standard
// input and answers each with one line:
//   worker_adaface embed  --model=ir_101.afw --crops=FILE --batch=N --threads=N --precision=f32|bf16
//   worker_adaface detect --model=mtcnn.afw --image=FILE --mode=standard|reference --threads=N
//   "run N"   N times the work -> nanoseconds elapsed, nanoseconds of CPU in all threads
//   "output"  the result as JSON: embeddings, or faces {x1, y1, x2, y2, score, five points}
// FILE of --crops: 112x112 crops of 8-bit BGR pixels, one after the other.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "src/adaface.hpp"

namespace {

using Arguments = std::map<std::string, std::string, std::less<>>;

struct Work {
  std::function<void()> run;
  std::function<void()> print;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 2; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::size_t equals = argument.find('=');
    if (!argument.starts_with("--") || equals == argument.npos)
      throw adaface::Error(adaface::ErrorCode::invalid_argument,
                           std::string(argument) + ": expected --name=value");
    arguments.emplace(argument.substr(2, equals - 2), argument.substr(equals + 1));
  }
  return arguments;
}

const std::string& value_of(const Arguments& arguments, std::string_view name) {
  const auto found = arguments.find(name);
  if (found == arguments.end())
    throw adaface::Error(adaface::ErrorCode::invalid_argument, "--" + std::string(name) + "= is missing");
  return found->second;
}

int number_of(const Arguments& arguments, std::string_view name) {
  return std::atoi(value_of(arguments, name).c_str());
}

Work embedding(const Arguments& arguments) {
  struct State {
    adaface::Embedder embedder;
    std::vector<std::byte> pixels;
    std::vector<adaface::ImageView> crops;
    std::vector<adaface::Embedding> embeddings;
  };
  constexpr std::size_t kCropBytes = std::size_t{3} * adaface::kCropSize * adaface::kCropSize;
  const std::string& precision = value_of(arguments, "precision");
  if (precision != "f32" && precision != "bf16")
    throw adaface::Error(adaface::ErrorCode::invalid_argument, "--precision=: expected f32 or bf16");
  const auto batch = static_cast<std::size_t>(number_of(arguments, "batch"));
  auto state = std::make_shared<State>(
      State{adaface::Embedder(
                adaface::Weights::load(value_of(arguments, "model")),
                {.threads = number_of(arguments, "threads"),
                 .precision = precision == "bf16" ? adaface::Precision::bf16 : adaface::Precision::f32}),
            adaface::read_file(value_of(arguments, "crops")),
            {},
            {}});
  if (batch == 0 || state->pixels.size() < batch * kCropBytes)
    throw adaface::Error(adaface::ErrorCode::invalid_argument, "--crops=: holds fewer crops than --batch=");
  for (std::size_t i = 0; i < batch; ++i)
    state->crops.push_back(
        {.data = reinterpret_cast<const std::uint8_t*>(state->pixels.data()) + i * kCropBytes,
         .width = adaface::kCropSize,
         .height = adaface::kCropSize,
         .stride = std::ptrdiff_t{3} * adaface::kCropSize,
         .order = adaface::ChannelOrder::bgr});
  state->embedder.prepare();
  return {[state] { state->embeddings = state->embedder.embed(state->crops); },
          [state] {
            for (std::size_t i = 0; i < state->embeddings.size(); ++i) {
              std::printf(i == 0 ? "[[" : ",[");
              for (std::size_t j = 0; j < adaface::kEmbeddingSize; ++j)
                std::printf(j == 0 ? "%.9g" : ",%.9g", static_cast<double>(state->embeddings[i].unit[j]));
              std::printf("]");
            }
            std::printf("]\n");
          }};
}

Work detection(const Arguments& arguments) {
  struct State {
    adaface::Detector detector;
    adaface::Image image;
    std::vector<adaface::Face> faces;
  };
  const adaface::Mode mode =
      value_of(arguments, "mode") == "reference" ? adaface::Mode::reference : adaface::Mode::standard;
  auto state = std::make_shared<State>(
      State{adaface::Detector(adaface::Weights::load(value_of(arguments, "model")),
                              {.mode = mode, .threads = number_of(arguments, "threads")}),
            adaface::read_image(value_of(arguments, "image"), {.apply_orientation = false}),
            {}});
  return {[state] { state->faces = state->detector.detect(state->image); },
          [state] {
            std::printf("[");
            for (std::size_t i = 0; i < state->faces.size(); ++i) {
              const adaface::Face& face = state->faces[i];
              std::printf("%s[%.9g,%.9g,%.9g,%.9g,%.9g", i == 0 ? "" : ",", static_cast<double>(face.box.x1),
                          static_cast<double>(face.box.y1), static_cast<double>(face.box.x2),
                          static_cast<double>(face.box.y2), static_cast<double>(face.score));
              for (const adaface::Point& point : face.landmarks)
                std::printf(",%.9g,%.9g", static_cast<double>(point.x), static_cast<double>(point.y));
              std::printf("]");
            }
            std::printf("]\n");
          }};
}

long long cpu_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void serve(const Work& work) {
  work.run();  // plans, and touches all memory
  std::printf("{\"version\":\"%s\"}\n", adaface::version());
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line); std::fflush(stdout)) {
    if (line == "output") {
      work.print();
      continue;
    }
    const int runs = line.starts_with("run ") ? std::atoi(line.c_str() + 4) : 0;
    const long long cpu = cpu_nanoseconds();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < runs; ++i) work.run();
    const std::chrono::nanoseconds elapsed = std::chrono::steady_clock::now() - start;
    std::printf("%lld %lld\n", static_cast<long long>(elapsed.count()), cpu_nanoseconds() - cpu);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string_view verb = argc > 1 ? argv[1] : "";
    if (verb != "embed" && verb != "detect")
      throw adaface::Error(adaface::ErrorCode::invalid_argument, "expected embed or detect");
    const Arguments arguments = parse(argc, argv);
    serve(verb == "embed" ? embedding(arguments) : detection(arguments));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
