#include "bench/cuda/pictures.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>

#include "bench/cuda/timing.h"
#include "src/nn/onednn.h"

namespace adaface::bench {
namespace {

// What the stages of one picture take at most, and of how many pictures at least.
constexpr double kStagesMs = 10e3;
constexpr int kLeastPictures = 3;

double milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return milliseconds_since(start);
}

std::size_t size(int value) {
  return static_cast<std::size_t>(value);
}

// A way to do a round: engines, each on a thread of the host, that take the next picture when they are done
// with one.
class Way {
 public:
  Way(std::string name, std::vector<std::unique_ptr<Engine>> engines)
      : name_(std::move(name)), engines_(std::move(engines)) {}

  const std::string& name() const { return name_; }
  Engine& engine() { return *engines_[0]; }
  int faces() const { return faces_; }
  const std::vector<double>& ms() const { return ms_; }

  void round(const std::vector<Image>& pictures, int count) {
    std::atomic<int> next = 0, faces = 0;
    ms_.push_back(milliseconds([&] {
      on_all([&](Engine& engine) {
        for (int picture; (picture = next++) < count;)
          faces += static_cast<int>(engine.analyze(pictures[size(picture) % pictures.size()]).size());
      });
    }));
    faces_ = faces;
  }
  // Every engine has seen every picture.
  void warm_up(const std::vector<Image>& pictures) {
    on_all([&](Engine& engine) {
      for (const Image& picture : pictures) engine.analyze(picture);
    });
  }

 private:
  void on_all(const std::function<void(Engine&)>& work) {
    std::vector<std::exception_ptr> failures(engines_.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < engines_.size(); ++i)
      threads.emplace_back([&, i] {
        try {
          work(*engines_[i]);
        } catch (...) {
          failures[i] = std::current_exception();
        }
      });
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures)
      if (failure) std::rethrow_exception(failure);
  }

  std::string name_;
  std::vector<std::unique_ptr<Engine>> engines_;
  int faces_ = 0;
  std::vector<double> ms_;
};

Way make_way(const std::string& name, const Weights& model, const Weights& detector, int engines,
             const EngineOptions& options) {
  std::vector<std::unique_ptr<Engine>> made;
  for (int i = 0; i < engines; ++i) {
    made.push_back(std::make_unique<Engine>(model, detector, options));
    made.back()->embedder().prepare();
  }
  return {name, std::move(made)};
}

std::string plural(int count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// Medians of one picture's stages, one after the other on one thread of the host; and of the whole at once,
// which on a device need not bring back what lies between, where there is an engine for it.
nlohmann::json time_stages(const std::string& name, Detector& detector, Embedder& embedder, Engine* engine,
                           const PictureOptions& options, const std::vector<Image>& pictures) {
  std::vector<double> decode, detect, align, embed, whole;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < options.count && (i < kLeastPictures || milliseconds_since(start) < kStagesMs); ++i) {
    const std::size_t at = size(i) % pictures.size();
    const Image& image = pictures[at];
    if (i < static_cast<int>(pictures.size()))
      decode.push_back(milliseconds([&] { read_image(options.files[at]); }));
    std::vector<Face> faces;
    detect.push_back(milliseconds([&] { faces = detector.detect(image); }));
    std::vector<Image> crops;
    align.push_back(milliseconds([&] {
      for (const Face& face : faces) crops.push_back(align_face(image, face.landmarks));
    }));
    const std::vector<ImageView> views(crops.begin(), crops.end());
    embed.push_back(milliseconds([&] { embedder.embed(views); }));
    if (engine) whole.push_back(milliseconds([&] { engine->analyze(image); }));
  }
  const auto median = [](const std::vector<double>& ms) { return times_of(ms).median_ms; };
  std::printf("%-46s %8.2f %8.2f %8.3f %8.2f", name.c_str(), median(decode), median(detect), median(align),
              median(embed));
  nlohmann::json stages = {{"name", name},
                           {"decode_ms", median(decode)},
                           {"detect_ms", median(detect)},
                           {"align_ms", median(align)},
                           {"embed_ms", median(embed)}};
  if (engine) {
    std::printf(" %8.2f", median(whole));
    stages["whole_ms"] = median(whole);
  }
  std::printf("\n");
  return stages;
}

// How long a picture's bytes take to the device, from memory as a decoder leaves it.
double upload_ms(const Image& image, int device) {
  const nn::cuda::DeviceScope scope(device);
  nn::cuda::Stream stream;
  const std::size_t bytes = static_cast<std::size_t>(image.stride()) * size(image.height());
  const nn::cuda::DeviceMemory memory(bytes, "a picture");
  std::vector<double> ms;
  for (int i = 0; i < 20; ++i)
    ms.push_back(milliseconds([&] {
      stream.upload(memory.data(), image.row(0), bytes);
      stream.synchronize("upload");
    }));
  return times_of(ms).median_ms;
}

std::vector<Way> cpu_ways(const Weights& model, const Weights& detector) {
  std::vector<Way> ways;
  const int cpus = available_cpus();
  for (const Precision precision : {Precision::f32, Precision::bf16}) {
    if (precision == Precision::bf16 && !nn::onednn_has_bf16()) continue;
    const std::string name = precision == Precision::f32 ? "CPU, f32, " : "CPU, bf16, ";
    ways.push_back(make_way(name + "one engine on " + plural(cpus, "thread"), model, detector, 1,
                            {.threads = cpus, .precision = precision}));
    if (cpus > 1)
      ways.push_back(make_way(name + plural(cpus, "engine") + " of one thread", model, detector, cpus,
                              {.threads = 1, .precision = precision}));
  }
  return ways;
}

// Empty, and why in `reason`, where the device cannot detect.
std::vector<Way> device_ways(const Weights& model, const Weights& detector, const PictureOptions& options,
                             std::string* reason) {
  std::vector<Way> ways;
  try {
    for (const int threads : options.threads)
      ways.push_back(make_way("device, " + plural(threads, "host thread"), model, detector, threads,
                              {.threads = 1, .precision = options.precision, .device = options.device}));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unsupported) throw;
    ways.clear();
    *reason = error.what();
  }
  return ways;
}

// What the device finds beside what the CPU finds, face by face in their order: whether that makes sense
// shows in the numbers, which are the tests' business otherwise.
nlohmann::json agreement(Engine& device, Engine& cpu, const std::vector<Image>& pictures) {
  double furthest = 0, least_similarity = 1;
  std::size_t found = 0, expected = 0;
  for (const Image& picture : pictures) {
    const std::vector<EmbeddedFace> ours = device.analyze(picture), theirs = cpu.analyze(picture);
    found += ours.size(), expected += theirs.size();
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
      for (std::size_t k = 0; k < theirs[i].face.landmarks.size(); ++k) {
        const Point a = ours[i].face.landmarks[k], b = theirs[i].face.landmarks[k];
        furthest =
            std::max(furthest, std::hypot(static_cast<double>(a.x) - b.x, static_cast<double>(a.y) - b.y));
      }
      least_similarity = std::min(least_similarity, similarity(ours[i].embedding, theirs[i].embedding));
    }
  }
  std::printf(
      "faces: %zu on the device, %zu on the CPU; landmarks %.4f pixels apart at most, cosine %.6f at least\n",
      found, expected, furthest, least_similarity);
  return {{"device_faces", found},
          {"cpu_faces", expected},
          {"landmarks_apart", furthest},
          {"cosine", least_similarity}};
}

nlohmann::json rows_of(const std::vector<Way>& on_device, const std::vector<Way>& on_cpu) {
  nlohmann::json rows = nlohmann::json::array();
  for (const std::vector<Way>* ways : {&on_device, &on_cpu})
    for (const Way& way : *ways) {
      if (way.ms().empty()) continue;
      const Times times = times_of(way.ms());
      rows.push_back({{"name", way.name()},
                      {"min_ms", times.min_ms},
                      {"median_ms", times.median_ms},
                      {"rounds", way.ms().size()},
                      {"faces", way.faces()}});
    }
  return rows;
}

double median_of(const Way& way) {
  return times_of(way.ms()).median_ms;
}

// The fastest; null of none.
Way* fastest(std::vector<Way>& ways) {
  Way* best = nullptr;
  for (Way& way : ways)
    if (!best || median_of(way) < median_of(*best)) best = &way;
  return best;
}

}  // namespace

nlohmann::json time_pictures(const Weights& model, const Weights& detector, const PictureOptions& options,
                             const std::function<void(const nlohmann::json&)>& keep) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<Image> pictures;
  for (const std::filesystem::path& file : options.files) pictures.push_back(read_image(file));
  std::string reason;
  std::vector<Way> on_device = device_ways(model, detector, options, &reason),
                   on_cpu = cpu_ways(model, detector);
  std::printf("\n%d pictures of %dx%d%s, detected, aligned and embedded; milliseconds\n", options.count,
              pictures[0].width(), pictures[0].height(), pictures.size() > 1 ? " and others" : "");
  if (on_device.empty()) std::printf("not on the device: %s\n", reason.c_str());
  nlohmann::json result = {{"count", options.count},
                           {"width", pictures[0].width()},
                           {"height", pictures[0].height()},
                           {"ways", nlohmann::json::array()},
                           {"stages", nlohmann::json::array()}};
  for (std::vector<Way>* ways : {&on_device, &on_cpu})
    for (Way& way : *ways) way.warm_up(pictures);
  // In turns, so that what disturbs a round disturbs all.
  for (int round = 0; round < options.rounds; ++round)
    for (std::vector<Way>* ways : {&on_device, &on_cpu}) {
      const double longest = std::accumulate(ways->begin(), ways->end(), 0.0, [](double sum, const Way& way) {
        return sum + (way.ms().empty() ? 0 : way.ms().back());
      });
      if (round > 0 && milliseconds_since(start) + longest > 1e3 * options.seconds) continue;
      for (Way& way : *ways) {
        way.round(pictures, options.count);
        result["ways"] = rows_of(on_device, on_cpu);
        keep(result);
      }
    }
  std::printf("%-40s %9s %9s %11s %7s %6s\n", "", "min", "median", "pictures/s", "rounds", "faces");
  for (const nlohmann::json& row : result["ways"])
    std::printf("%-40s %9.1f %9.1f %11.1f %7d %6d\n", row["name"].get<std::string>().c_str(),
                row["min_ms"].get<double>(), row["median_ms"].get<double>(),
                1e3 * options.count / row["median_ms"].get<double>(), row["rounds"].get<int>(),
                row["faces"].get<int>());
  Way* const device = fastest(on_device);
  Way* const cpu = fastest(on_cpu);
  if (device) {
    const double times = median_of(*cpu) / median_of(*device);
    std::printf("the device's fastest way is %.1f times as fast as the CPU's\n", times);
    result["times_as_fast"] = times;
    result["agreement"] = agreement(on_device[0].engine(), on_cpu[0].engine(), pictures);
  } else {
    result["reason"] = reason;
  }
  keep(result);
  std::printf("\nmedian milliseconds of one picture, one after the other\n%-46s %8s %8s %8s %8s %8s\n", "",
              "decode", "detect", "align", "embed", "analyze");
  const auto stages_of = [&](const std::string& name, Engine& engine) {
    result["stages"].push_back(
        time_stages(name, engine.detector(), engine.embedder(), &engine, options, pictures));
  };
  Engine& first_of_cpu = on_cpu[0].engine();
  if (device) {
    stages_of("device", on_device[0].engine());
  } else {
    Embedder embedder(model, {.threads = 1, .precision = options.precision, .device = options.device});
    result["stages"].push_back(time_stages("detection on the CPU, embedding on the device",
                                           first_of_cpu.detector(), embedder, nullptr, options, pictures));
  }
  stages_of(on_cpu[0].name(), first_of_cpu);
  result["upload_ms"] = upload_ms(pictures[0], options.device.index);
  std::printf("of a device's detection, upload of the picture: %.3f\n", result["upload_ms"].get<double>());
  return result;
}

}  // namespace adaface::bench
