// The stages as a product runs them, through the public API: kUsage says how to call it. The time of single
// layers: adaface bench --layers.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>
#include <vector>

#include "bench/arguments.h"
#include "src/adaface.hpp"

namespace {

constexpr char kUsage[] =
    "Times the stages as a product runs them. Those whose file is not given are left out; give one at "
    "least.\n"
    "Usage: bench_pipeline [--model=FILE] [--image=FILE [--detector=FILE]] [OPTION...]\n"
    "Example: bench_pipeline --model=ir_101.afw --detector=mtcnn.afw --image=group.jpg\n";

struct Arguments {
  std::string model, detector, image;
  int threads = 1;
};

void add_embed(const adaface::Weights& weights, int threads, std::size_t batch) {
  const std::string name = "embed/" + weights.info().architecture + "/batch:" + std::to_string(batch);
  benchmark::RegisterBenchmark(
      name.c_str(),
      [=](benchmark::State& state) {
        adaface::Embedder embedder(weights, {.threads = threads});
        embedder.prepare();
        const adaface::Image crop(adaface::kCropSize, adaface::kCropSize);
        const std::vector<adaface::ImageView> crops(batch, crop);
        for (auto _ : state) benchmark::DoNotOptimize(embedder.embed(crops));
        state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch));
      })
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

// From a file in the page cache to a session, and on to the first embedding, for each plan and precision.
void add_start(const std::string& path, int threads, adaface::Precision precision, adaface::PlanKind plan) {
  const std::string name = std::string(plan == adaface::PlanKind::fast ? "/fast" : "/small") +
                           (precision == adaface::Precision::f32 ? "/f32" : "/bf16");
  for (const bool embed : {false, true})
    benchmark::RegisterBenchmark(((embed ? "load+plan+embed" : "load+plan") + name).c_str(),
                                 [=](benchmark::State& state) {
                                   const adaface::Image crop(adaface::kCropSize, adaface::kCropSize);
                                   for (auto _ : state) try {
                                       adaface::Embedder embedder(
                                           adaface::Weights::load(path),
                                           {.threads = threads, .precision = precision, .plan = plan});
                                       if (embed) benchmark::DoNotOptimize(embedder.embed(crop));
                                     } catch (const adaface::Error& error) {
                                       return state.SkipWithError(error.what());
                                     }
                                 })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
}

void add_image_stages(const std::string& path) {
  benchmark::RegisterBenchmark("decode",
                               [=](benchmark::State& state) {
                                 for (auto _ : state) benchmark::DoNotOptimize(adaface::read_image(path));
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("align",
                               [=](benchmark::State& state) {
                                 const adaface::Image image = adaface::read_image(path);
                                 const auto x = static_cast<float>(image.width()),
                                            y = static_cast<float>(image.height());
                                 // A face that fills a third of the picture.
                                 const std::array<adaface::Point, 5> landmarks = {{{x * 0.4f, y * 0.4f},
                                                                                   {x * 0.6f, y * 0.4f},
                                                                                   {x * 0.5f, y * 0.5f},
                                                                                   {x * 0.42f, y * 0.6f},
                                                                                   {x * 0.58f, y * 0.6f}}};
                                 for (auto _ : state)
                                   benchmark::DoNotOptimize(adaface::align_face(image, landmarks));
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

void add_detect(const std::string& path, const adaface::Weights& weights, int threads, adaface::Mode mode) {
  const char* name = mode == adaface::Mode::standard ? "detect/standard" : "detect/reference";
  benchmark::RegisterBenchmark(name,
                               [=](benchmark::State& state) {
                                 const adaface::Image image = adaface::read_image(path);
                                 adaface::Detector detector(weights, {.mode = mode, .threads = threads});
                                 std::size_t faces = 0;
                                 for (auto _ : state) faces = detector.detect(image).size();
                                 state.counters["faces"] = static_cast<double>(faces);
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  const adaface::bench::Option options[] = {
      {.name = "model", .text = &arguments.model, .help = "an embedding network: load, plan, embed"},
      {.name = "image", .text = &arguments.image, .help = "a picture: decode, align"},
      {.name = "detector", .text = &arguments.detector, .help = "mtcnn.afw: detect in the picture"},
      {.name = "threads", .number = &arguments.threads, .help = "of each session (default 1)"}};
  if (adaface::bench::help(argc, argv, kUsage, options)) return 0;
  benchmark::Initialize(&argc, argv);
  if (!adaface::bench::parse(argc, argv, options)) return 2;
  if (arguments.model.empty() && arguments.image.empty()) {
    std::fprintf(stderr, "error: nothing to time: expected --model=FILE, --image=FILE, or both\n%s", kUsage);
    return 2;
  }
  try {
    if (!arguments.model.empty())
      for (std::size_t batch : {1, 8})
        add_embed(adaface::Weights::load(arguments.model), arguments.threads, batch);
    if (!arguments.model.empty())
      for (const auto precision : {adaface::Precision::f32, adaface::Precision::bf16})
        for (const auto plan : {adaface::PlanKind::fast, adaface::PlanKind::small})
          add_start(arguments.model, arguments.threads, precision, plan);
    if (!arguments.image.empty()) add_image_stages(arguments.image);
    if (!arguments.image.empty() && !arguments.detector.empty())
      for (adaface::Mode mode : {adaface::Mode::standard, adaface::Mode::reference})
        add_detect(arguments.image, adaface::Weights::load(arguments.detector), arguments.threads, mode);
    if (benchmark::RunSpecifiedBenchmarks() == 0) return 2;  // the filter matched none, and that was said
  } catch (const adaface::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
