// The CUDA backend on a device: kinds of layers with every tile, whole networks, photographs from end to end,
// and what the device and the vendor's libraries reach at best. Exits with 77 where there is no device.
#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "bench/cuda/layers.h"
#include "bench/cuda/networks.h"
#include "bench/cuda/pictures.h"
#include "bench/cuda/yardsticks.h"
#include "src/adaface.hpp"
#include "tools/command_line.h"
#include "tools/synthetic/untrained.h"

namespace {

using namespace adaface;

constexpr int kNoDevice = 77;
constexpr int kMatrixSide = 8192;

struct Arguments {
  bool limits = false, layers = false, networks = false, serve = false, every_tile = false, cudnn = true;
  std::vector<std::filesystem::path> pictures;
  std::string net = "ir_101", model, detector, precision = "f16", device = "cuda", matching, json, crops;
  std::vector<int> batches = {1, 64, 256}, threads = {1, 2, 4, 8};
  int samples = 0, count = 64, rounds = 5;
  double matrix_peak = 0, seconds = 1e9;
};

Precision precision_of(const std::string& name) {
  return name == "f16" ? Precision::f16 : name == "bf16" ? Precision::bf16 : Precision::f32;
}

kernels::cuda::Storage storage_of(const std::string& precision) {
  using kernels::cuda::Storage;
  return precision == "f16" ? Storage::f16 : precision == "bf16" ? Storage::bf16 : Storage::f32;
}

Weights model_of(const Arguments& arguments) {
  return arguments.model.empty() ? synthetic::untrained(synthetic::architecture_of(arguments.net))
                                 : Weights::load(arguments.model);
}

bench::DeviceLimits measure_limits(const Arguments& arguments, const Device& device, nlohmann::json& report) {
  const nn::cuda::DeviceScope scope(device.index);
  nn::cuda::Stream stream;
  bench::DeviceLimits limits{.matrix_teraflops = arguments.matrix_peak};
  limits.copy_gigabytes = bench::copy_bandwidth(stream, 20);
  std::printf("copy on the device: %.0f GB/s, read and written\n", limits.copy_gigabytes);
  report["copy_gigabytes"] = limits.copy_gigabytes;
  if (arguments.matrix_peak > 0) return limits;
  try {
    std::string reason;
    const auto cublas = bench::Cublas::load(&reason);
    if (!cublas) throw Error(ErrorCode::unsupported, reason);
    for (const std::string precision : {"f16", "bf16", "f32"}) {
      if (!arguments.limits && precision != arguments.precision) continue;
      const double teraflops = cublas->matrix_teraflops(stream, storage_of(precision), kMatrixSide, 20);
      std::printf("cuBLAS %s, %d^3: %.0f TFLOP/s\n", precision == "f32" ? "TF32" : precision.c_str(),
                  kMatrixSide, teraflops);
      report["matrix_teraflops"][precision] = teraflops;
      if (precision == arguments.precision) limits.matrix_teraflops = teraflops;
    }
  } catch (const Error& error) {  // the engine can be measured without
    std::printf("matrix peak: not measured: %s\n", error.what());
  }
  return limits;
}

void time_layers(const Arguments& arguments, const Device& device, const bench::DeviceFacts& facts,
                 const bench::DeviceLimits& limits, nlohmann::json& report,
                 const std::function<void()>& write) {
  const nn::cuda::DeviceScope scope(device.index);
  const Weights weights = model_of(arguments);
  const auto plan = bench::cuda_plan(weights, device, precision_of(arguments.precision));
  std::string reason = "--no-cudnn";
  std::unique_ptr<bench::Cudnn> cudnn;
  try {
    if (arguments.cudnn) cudnn = bench::Cudnn::load(&reason);
  } catch (const Error& error) {
    reason = error.what();
  }
  if (!cudnn) std::printf("cuDNN: not measured: %s\n", reason.c_str());
  report["layers"] = nlohmann::json::array();
  for (const int batch : arguments.batches)
    bench::time_layers(dynamic_cast<const nn::cuda::Plan&>(*plan), facts, limits, cudnn.get(),
                       {.batch = batch,
                        .samples = arguments.samples ? arguments.samples : 9,
                        .matching = arguments.matching,
                        .every_tile = arguments.every_tile},
                       [&](const nlohmann::json& rows) {
                         for (const auto& row : rows) report["layers"].push_back(row);
                         write();
                       });
}

std::vector<std::uint8_t> crops_of(const Arguments& arguments, int count) {
  if (arguments.crops.empty()) return bench::random_crops(count);
  const std::vector<std::byte> bytes = read_file(arguments.crops);
  const std::size_t expected = static_cast<std::size_t>(count) * kCropSize * kCropSize * 3;
  if (bytes.size() != expected)
    throw Error(ErrorCode::invalid_argument, arguments.crops + ": has " + std::to_string(bytes.size()) +
                                                 " bytes, expected " + std::to_string(expected));
  const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
  return {first, first + bytes.size()};
}

void run(Arguments arguments, const Device& device) {
  if (arguments.serve) {
    const int batch = arguments.batches.front();
    bench::NetworkSubject subject(model_of(arguments), device, precision_of(arguments.precision), batch,
                                  crops_of(arguments, batch));
    return bench::serve(subject);
  }
  const bench::DeviceFacts facts = bench::device_facts(device.index);
  std::printf("%s, compute capability %d.%d, %d multiprocessors, %.0f MiB of L2, driver %d, runtime %d; %s\n",
              facts.name.c_str(), facts.compute_major, facts.compute_minor, facts.multiprocessors,
              static_cast<double>(facts.l2_bytes) / (1 << 20), facts.driver, facts.runtime,
              arguments.precision.c_str());
  nlohmann::json report = {
      {"device", facts.name},
      {"compute_capability", std::to_string(facts.compute_major) + "." + std::to_string(facts.compute_minor)},
      {"multiprocessors", facts.multiprocessors},
      {"l2_bytes", facts.l2_bytes},
      {"precision", arguments.precision}};
  const bool is_asked =
      arguments.limits || arguments.layers || arguments.networks || !arguments.pictures.empty();
  if (!is_asked) arguments.limits = arguments.layers = arguments.networks = true;
  const auto write = [&] {
    if (arguments.json.empty()) return;
    // Ended meanwhile, this program leaves what it wrote before.
    const std::string text = report.dump(1) + "\n";
    write_file(arguments.json, std::as_bytes(std::span(text)));
  };
  bench::DeviceLimits limits{};
  if (arguments.limits || arguments.layers || arguments.networks)
    limits = measure_limits(arguments, device, report);
  write();
  // What is done stays, whatever becomes of the rest.
  if (arguments.networks) {
    report["networks"] = nlohmann::json::array();
    bench::time_networks(model_of(arguments), device, precision_of(arguments.precision), arguments.batches,
                         arguments.samples ? arguments.samples : 200, limits.matrix_teraflops,
                         [&](const nlohmann::json& row) {
                           report["networks"].push_back(row);
                           write();
                         });
  }
  if (!arguments.pictures.empty()) {
    if (arguments.detector.empty()) throw Error(ErrorCode::invalid_argument, "--pictures without --detector");
    report["pictures"] = bench::time_pictures(model_of(arguments), Weights::load(arguments.detector),
                                              {.files = arguments.pictures,
                                               .count = arguments.count,
                                               .rounds = arguments.rounds,
                                               .seconds = arguments.seconds,
                                               .threads = arguments.threads,
                                               .device = device,
                                               .precision = precision_of(arguments.precision)},
                                              [&](const nlohmann::json& known) {
                                                report["pictures"] = known;
                                                write();
                                              });
    write();
  }
  if (arguments.layers) time_layers(arguments, device, facts, limits, report, write);
  report["finished"] = true;  // a report without it is that of a run that was ended
  write();
}

void add_options(CLI::App& app, Arguments& a) {
  app.add_flag("--limits", a.limits, "What the device reaches: cuBLAS's matrix products, a copy");
  app.add_flag("--networks", a.networks, "The whole network, for each batch");
  app.add_flag("--layers", a.layers,
               "Each kind of convolution with every tile, for each batch; cuDNN's beside it");
  app.add_option("--pictures", a.pictures, "The engine from photographs to embeddings, beside the CPU's")
      ->check(CLI::ExistingFile)
      ->type_name("IMAGE...");
  app.add_flag("--serve", a.serve,
               "Time the first --batch when told so on standard input; for cuda_pytorch.py");
  app.add_option("--net", a.net, "Network with made-up weights (default ir_101)")->type_name("NET");
  app.add_option("--model", a.model, "Network from a file instead")
      ->check(CLI::ExistingFile)
      ->type_name("FILE.afw");
  app.add_option("--detector", a.detector, "MTCNN, for --pictures")
      ->check(CLI::ExistingFile)
      ->type_name("FILE.afw");
  app.add_option("--precision", a.precision, "f16 (default), bf16, or f32, which is TF32")
      ->check(CLI::IsMember({"f16", "bf16", "f32"}))
      ->type_name("P");
  app.add_option("--device", a.device, "cuda (default) or cuda:N")->type_name("DEVICE");
  // 112 x 112 x 64 activations of more would not fit 31 bits.
  app.add_option("--batch", a.batches, "Crops at once, separated by commas (default 1,64,256)")
      ->delimiter(',')
      ->check(CLI::Range(1, 2048))
      ->type_name("N");
  app.add_option("--samples", a.samples, "Of each measurement (default 200 for networks, 9 for layers)")
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  app.add_option("--matching", a.matching, "Only layers whose name has this in it")->type_name("TEXT");
  app.add_flag("--every-tile", a.every_tile, "Print each tile's time, not only the chosen and the fastest");
  app.add_flag("--cudnn,!--no-cudnn", a.cudnn, "Whether to time cuDNN's convolutions");
  app.add_option("--matrix-peak", a.matrix_peak, "TFLOP/s, where it was measured elsewhere")->type_name("N");
  app.add_option("--count", a.count, "Photographs in a round (default 64)")
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  app.add_option("--rounds", a.rounds, "Of photographs (default 5)")
      ->check(CLI::Range(1, 1000))
      ->type_name("N");
  app.add_option("--seconds", a.seconds, "For --pictures: no round begins that would last longer")
      ->check(CLI::PositiveNumber)
      ->type_name("S");
  app.add_option("--host-threads", a.threads, "Engines on the device, each with a thread (default 1,2,4,8)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  app.add_option("--crops", a.crops, "For --serve: the batch, 112x112x3 bytes each, in the network's order")
      ->check(CLI::ExistingFile)
      ->type_name("FILE");
  app.add_option("--json", a.json, "Writes everything measured to this file")->type_name("FILE");
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what is measured is there, whatever ends the program
  Arguments arguments;
  CLI::App app("Times the CUDA backend. Without an option that says what: --limits --networks --layers.",
               "bench_cuda");
  app.footer("Example:\n  bench_cuda --layers --batch 1,256 --precision f16 --json layers.json\n");
  add_options(app, arguments);
  app.failure_message(usage_failure);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::string reason;
  if (nn::cuda_device_list(&reason).empty()) {
    std::printf("no CUDA device: %s\n", reason.c_str());
    return kNoDevice;
  }
  try {
    const Device device = parse_device(arguments.device);
    check_device(device);
    if (device.kind != DeviceKind::cuda)
      throw Error(ErrorCode::invalid_argument, "--device " + arguments.device + ": expected cuda or cuda:N");
    run(arguments, device);
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return error.code() == ErrorCode::invalid_argument ? 2 : 1;
  } catch (const std::exception& error) {  // memory or threads that the system refuses
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
  return 0;
}
