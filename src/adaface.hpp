// adaface: find faces in a photograph, align them, turn each into a 512-dimensional embedding, compare
// embeddings.
//
//   adaface::Engine engine({.model = "ir_101.afw", .detector = "mtcnn.afw"});
//   auto a = engine.analyze(adaface::read_image("a.jpg"));
//   auto b = engine.analyze(adaface::read_image("b.jpg"));
//   if (!a.empty() && !b.empty())
//     std::printf("%.4f\n", adaface::similarity(a[0].embedding, b[0].embedding));
//
// Errors.  Every function that can fail throws adaface::Error, whose message names the file, tensor or option
// and what was expected; std::bad_alloc may pass through. Nothing aborts, prints or leaves a half-written
// file; outputs are untouched on failure. A photograph without a face is an empty result, not an error.
//
// Threads.  Weights are immutable and may be shared. Detector, Embedder and Engine are sessions: each belongs
// to one thread at a time, and many may run at once over the same Weights. Free functions may be called from
// any thread. Results do not depend on the number of threads or, on a CPU, on how inputs are batched. A child
// of fork may make sessions and use its parent's, in which the calling thread does the work, unless another
// thread was inside that session, or was making one, at the moment of the fork.
//
// Devices.  A session computes on the CPU, or on the CUDA device that its options name. There the same call
// gives the same bits again, but a crop may differ from itself in another batch by rounding: sums are split
// in other ways. A device adds to what a session throws: unsupported, naming the device, where the library
// was built without CUDA, or the machine has no driver for it or no such device; out_of_memory; internal,
// with what was being done and CUDA's message. CUDA does not outlive a fork: a child uses no session of its
// parent's that is on a device, and makes none if its parent has asked for devices (cuda_devices,
// check_device or build_info) or made one.
//
// Coordinates.  Pixels; x grows to the right, y downwards, (0, 0) is the centre of the top left pixel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "error.hpp"
#include "export.h"
#include "runtime.hpp"

// The number of this C++ interface: raised when anything public changes its layout, its signature or its
// meaning, in gallery.hpp too. (The soname counts the C interface.) A program that was compiled with another
// number than its library is refused by the linker or at start, naming this symbol, where it would otherwise
// read structs wrongly.
extern "C" ADAFACE_API const char adaface_cpp_abi_2;

namespace adaface {

[[gnu::used]] ADAFACE_HIDDEN inline const char* const cpp_abi = &adaface_cpp_abi_2;

// standard: the published networks with the published code's defects mended (the default).
// reference: the published pipeline number for number, defects included: the P-Net softmax runs over image
// columns, the alignment may mirror strong profiles, EXIF orientation is ignored.
enum class Mode { standard, reference };

// ---- Images -------------------------------------------------------------------------------------

enum class ChannelOrder { rgb, bgr };

// 8-bit, three interleaved channels, rows `stride` bytes apart (>= 3 * width). Does not own its pixels.
struct ImageView {
  const std::uint8_t* data = nullptr;
  int width = 0;
  int height = 0;
  std::ptrdiff_t stride = 0;
  ChannelOrder order = ChannelOrder::rgb;
};

// Owns 8-bit RGB pixels, rows packed.
class ADAFACE_API Image {
 public:
  Image() = default;
  // Black. Throws invalid_argument unless 1 <= width, height <= 65535.
  Image(int width, int height);

  int width() const { return width_; }
  int height() const { return height_; }
  std::uint8_t* row(int y) { return pixels_.data() + static_cast<std::size_t>(y) * stride(); }
  const std::uint8_t* row(int y) const { return pixels_.data() + static_cast<std::size_t>(y) * stride(); }
  std::size_t stride() const { return static_cast<std::size_t>(width_) * 3; }
  operator ImageView() const {
    return {pixels_.data(), width_, height_, static_cast<std::ptrdiff_t>(stride()), ChannelOrder::rgb};
  }

 private:
  int width_ = 0;
  int height_ = 0;
  std::vector<std::uint8_t, BufferAllocator<std::uint8_t>> pixels_;
};

struct DecodeOptions {
  bool apply_orientation = true;  // turn the picture as its EXIF orientation says
  int max_side = 16384;           // wider or higher pictures throw limit before any pixel is decoded
  std::uint64_t max_file_bytes = 1u << 30;
};

// JPEG, PNG, BMP, GIF (first frame), TGA, PSD, PIC, PNM and HDR. Alpha is dropped, grey becomes three equal
// channels, 16 bits are scaled to 8. `name` stands in error messages. Throws corrupt, unsupported or limit;
// read_image also not_found and io.
ADAFACE_API Image decode_image(std::span<const std::byte> file, const DecodeOptions& options = {},
                               std::string_view name = "image");
ADAFACE_API Image read_image(const std::filesystem::path& path, const DecodeOptions& options = {});

// By extension: .png (lossless) or .jpg/.jpeg (quality 1 to 100). Complete or absent: written beside, synced,
// renamed.
ADAFACE_API void write_image(const std::filesystem::path& path, const ImageView& image,
                             int jpeg_quality = 92);
ADAFACE_API std::vector<std::byte> encode_png(const ImageView& image);
ADAFACE_API std::vector<std::byte> encode_jpeg(const ImageView& image, int quality = 92);

// 8-bit bilinear as Pillow computes it: antialiased where it shrinks. Throws invalid_argument for an empty
// view or a side outside 1 to 65535.
ADAFACE_API Image resize_image(const ImageView& image, int width, int height);

// A whole file. Throws not_found, io, limit when it is larger than max_bytes.
ADAFACE_API std::vector<std::byte> read_file(const std::filesystem::path& path,
                                             std::uint64_t max_bytes = 1u << 30);
// Any bytes, with write_image's guarantee.
ADAFACE_API void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);

// A path as the error messages show it: one line of valid UTF-8, with '?' for invalid bytes and characters
// that control a terminal.
ADAFACE_API std::string printable(const std::filesystem::path& path);

// ---- Weights ------------------------------------------------------------------------------------

struct TensorInfo {
  std::string name;
  std::string type;  // "f32", "f16", "bf16"
  std::vector<std::uint32_t> shape;
  std::uint64_t bytes;
};

struct WeightsInfo {
  std::string architecture;    // "mtcnn", "ir_18", "ir_34", "ir_50", "ir_101", "ir_se_50"
  std::string color;           // channel order that the network was trained on: "bgr" or "rgb"
  std::string storage;         // of the large tensors: "f32", "f16", "bf16"
  std::string source_sha256;   // of the checkpoint that was converted
  std::string weights_sha256;  // of the weights themselves: the identity of the model
  std::uint64_t file_bytes;
  std::uint64_t parameters;
  std::vector<TensorInfo> tensors;
};

// A mapped .afw file (weights/FORMAT.md) and what has been planned from it. Copies share one state;
// thread-safe. While any is alive, or a Detector, Embedder or Engine made from it, the file may be removed or
// replaced by rename, but must not be truncated or overwritten in place: its bytes are checked once, when
// they are planned, and a truncated map raises SIGBUS.
class ADAFACE_API Weights {
 public:
  // Checks structure and names at once, each tensor's checksum when it is planned or by verify().
  // Throws not_found, io, corrupt, unsupported.
  static Weights load(const std::filesystem::path& path);

  WeightsInfo info() const;
  // Reads every tensor and compares checksums; throws corrupt, naming the tensor.
  void verify() const;

  struct ADAFACE_HIDDEN State;
  const std::shared_ptr<State>& state() const { return state_; }

 private:
  explicit Weights(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

// The number of CPUs that this process may use: affinity and cgroup quota included. At least 1.
ADAFACE_API int available_cpus();

// ---- Devices ------------------------------------------------------------------------------------

enum class DeviceKind { cpu, cuda };

// Where a session computes.
struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;  // among CUDA devices, as the CUDA runtime numbers them; 0 to 1023. Not read for the CPU

  bool operator==(const Device&) const = default;
};

// "cpu", "cuda" (that of index 0) or "cuda:N", with N as it is written without leading zeros. Throws
// invalid_argument, naming the text.
ADAFACE_API Device parse_device(std::string_view text);
// "cpu", "cuda:0".
ADAFACE_API std::string to_string(const Device& device);

struct DeviceInfo {
  Device device;
  std::string name;  // as its driver has it
  std::uint64_t memory_bytes = 0;
  int compute_major = 0, compute_minor = 0;  // CUDA's compute capability
};

// The CUDA devices that a session can compute on, in the order of their indices. Empty where the library was
// built without CUDA, and where there is no driver or no device.
ADAFACE_API std::vector<DeviceInfo> cuda_devices();

// What a session on it would throw before anything else: invalid_argument for an index out of range;
// unsupported, with the reason, where this build or machine has no such device. The CPU always passes.
ADAFACE_API void check_device(const Device& device);

// ---- Long calls ---------------------------------------------------------------------------------

// Told how much of a call is done, from 0 to 1 and never less than before; false asks it to stop, which it
// does within a layer or a part of a pyramid level (milliseconds), throwing cancelled: the session can be
// used again. Called on the thread that made the call, between pieces of work: often, so it should be quick.
// It may throw, and the call throws the same; it must not use the session.
using ProgressFunction = std::function<bool(double done)>;

// ---- Detection: MTCNN (Zhang et al. 2016, "Joint Face Detection and Alignment") -----------------

struct Point {
  float x, y;
};

// Inclusive pixels: width = x2 - x1 + 1. Neither rounded nor clipped: a box may reach outside the image.
struct Box {
  float x1, y1, x2, y2;
};

struct Face {
  Box box;
  float score;  // probability, in (score threshold, 1]
  // Left eye, right eye, nose, left and right corner of the mouth, as seen in the image.
  std::array<Point, 5> landmarks;
};

struct DetectorOptions {
  Mode mode = Mode::standard;
  double min_face = 20;                                     // smallest face side in pixels, 12 to 65535
  double pyramid_factor = 0.85;                             // in (0, 0.99]
  std::array<float, 3> score_thresholds{0.6f, 0.7f, 0.9f};  // P-, R-, O-Net, each in [0, 1)
  // Intersection over union (over the smaller area for O-Net) above which the lower score is dropped; in (0,
  // 1].
  std::array<double, 3> overlap_thresholds{0.7, 0.7, 0.7};
  int threads = 0;  // inside one image; 0 to 1024, 0: available_cpus()
  Device device{};
};

struct OnDevice;  // internal

class ADAFACE_API Detector {
 public:
  // Throws invalid_argument when the weights are not MTCNN's or an option is out of range; corrupt;
  // unsupported for a device that is not there.
  explicit Detector(const Weights& weights, const DetectorOptions& options = {});
  ~Detector();
  Detector(Detector&&) noexcept;
  Detector& operator=(Detector&&) noexcept;

  // Faces in descending score. An image smaller than min_face has none.
  std::vector<Face> detect(const ImageView& image);

  // For all later calls; an empty function: none.
  void on_progress(ProgressFunction function);

 private:
  friend struct OnDevice;
  struct ADAFACE_HIDDEN Session;
  std::unique_ptr<Session> session_;
};

enum class FaceSelection { all, largest, best };

// all: unchanged; largest: the one with the greatest box area; best: the one with the highest score.
// Ties keep the earlier face. An empty list stays empty.
ADAFACE_API std::vector<Face> select_faces(std::vector<Face> faces, FaceSelection selection);

// ---- Alignment ----------------------------------------------------------------------------------

inline constexpr int kCropSize = 112;

// Maps image to crop: x' = m[0][0] x + m[0][1] y + m[0][2], y' = m[1][0] x + m[1][1] y + m[1][2].
struct Transform {
  std::array<std::array<double, 3>, 2> m;
};

// The similarity that carries five landmarks to the AdaFace template, by least squares from template to
// image. Throws invalid_argument when the points are not finite or coincide.
ADAFACE_API Transform alignment_transform(const std::array<Point, 5>& landmarks, Mode mode = Mode::standard);

// The 112x112 RGB crop: bilinear, black outside the image.
ADAFACE_API Image align_face(const ImageView& image, const std::array<Point, 5>& landmarks,
                             Mode mode = Mode::standard);

// ---- Embedding: AdaFace (Kim et al. 2022) -------------------------------------------------------

inline constexpr int kEmbeddingSize = 512;

struct Embedding {
  std::array<float, kEmbeddingSize>
      unit;    // finite, L2 norm 1 (zero where norm is 0, which no real face gives)
  float norm;  // before normalisation: grows with image quality (Kim et al. 2022, section 3.2)
};

// Cosine of the angle between two embeddings of the same model, in [-1, 1]; summed in double.
ADAFACE_API double similarity(const Embedding& a, const Embedding& b);

// Of the multiplications; sums are float32 in every case. On a CPU bf16 keeps 8 bits of each factor: a third
// less time, and a cosine to the float32 embedding of 0.9998 or more, so embeddings of both may stand in one
// gallery; f16 is unsupported. On a CUDA device tensor cores multiply: f32 is TF32, which keeps 11 bits of
// each factor and the range of float32; f16 (11 bits) and bf16 (8) also store weights and activations in 16
// bits.
enum class Precision { f32, bf16, f16 };

// fast: weights are transformed for the fastest kernels and kept so, in about three times the memory of a
// float32 file (one and a half with bf16). A single embedding pays for none of that: the first transforms
// what it needs as it goes, for half as much time again, and those up to the ninth keep some of it each,
// which costs them what the system takes to give the memory. Call prepare() to have it at once. A process
// that may not use that much memory should plan small. small: little more memory than the weights' file; they
// are transformed anew each time, for a third more time. With bf16 a copy of half the float32 weights
// instead, at twice the time of the fast plan. On a CUDA device it has no meaning and changes nothing.
enum class PlanKind { fast, small };

struct EmbedderOptions {
  int threads = 0;  // 0 to 1024, 0: available_cpus()
  Precision precision = Precision::f32;
  PlanKind plan = PlanKind::fast;
  Device device{};
};

class ADAFACE_API Embedder {
 public:
  // Throws invalid_argument when the weights are not an IR network's; corrupt; unsupported when the CPU does
  // not multiply in this precision, and for a device that is not there.
  explicit Embedder(const Weights& weights, const EmbedderOptions& options = {});
  ~Embedder();
  Embedder(Embedder&&) noexcept;
  Embedder& operator=(Embedder&&) noexcept;

  // Transforms all weights of a fast plan at once, on all threads: later embeddings take their steady time
  // and touch no new memory. For services, and for measurements. Results are the same bits without it.
  void prepare();

  // Aligned crops of 112x112, in either channel order. One crop: threads work inside its layers; several:
  // crops are spread over the threads. Throws invalid_argument when a crop has another size, corrupt when the
  // weights overflow.
  Embedding embed(const ImageView& crop);
  std::vector<Embedding> embed(std::span<const ImageView> crops);

  // For all later calls, prepare() included; an empty function: none.
  void on_progress(ProgressFunction function);

 private:
  friend struct OnDevice;
  struct ADAFACE_HIDDEN Session;
  std::unique_ptr<Session> session_;
};

// ---- Timing layer by layer ----------------------------------------------------------------------

// What a machine reaches at best on some number of threads, measured.
struct MachineLimits {
  double peak_gflops = 0;  // multiply-adds in registers alone, in the precision in use; each counted as two
  double l1_gb_s = 0, l2_gb_s = 0, l3_gb_s = 0, memory_gb_s = 0;  // reading, 1e9 bytes a second
  std::size_t l1_bytes = 0, l2_bytes = 0, l3_bytes = 0;           // of those threads' caches together
};

// One layer of a planned network, and its time.
struct LayerProfile {
  std::string name;            // "stage3.unit07.conv1"
  std::string kind;            // "convolution", "batch_norm", "subsample", "squeeze_excite", "linear"
  std::string shape;           // "256x14x14 -> 256x14x14 k3 s1"
  std::string implementation;  // as the backend names it
  // Of the useful work (a direct convolution's), and as the implementation carries them out: more where
  // channels are padded, fewer with Winograd's algorithm. Of the whole batch, as all that follows.
  double multiply_adds = 0, executed_multiply_adds = 0;
  double activation_bytes = 0, weight_bytes = 0;  // each read or written once
  // Between its neighbours; the first and third quartile besides.
  double run_ms_min = 0, run_ms_q1 = 0, run_ms_median = 0, run_ms_q3 = 0;
  // Repeated alone, its data in cache. A convolution of oneDNN's: the primitive alone (bias and residual sum
  // included), without the batch norm before it and the PReLU after it that `run` counts.
  double alone_ms_min = 0, alone_ms_median = 0;
  // The machine's limits, between neighbours: no layer takes less than the greater of the two. Executed
  // multiply-adds at the peak; bytes at the rate of `level`, the level of memory that takes longest.
  double compute_ms = 0, bandwidth_ms = 0;
  std::string level;  // "L1", "L2", "L3" or "memory"

  double limit_ms() const { return compute_ms > bandwidth_ms ? compute_ms : bandwidth_ms; }
  std::string bound_by() const { return compute_ms > bandwidth_ms ? "compute" : level; }
};

struct NetworkProfile {
  std::vector<LayerProfile> layers;
  MachineLimits limits;
  // Whole runs, undisturbed.
  double total_ms_min = 0, total_ms_q1 = 0, total_ms_median = 0, total_ms_q3 = 0;
  double layers_ms_min = 0, layers_ms_median = 0;  // the sum over one pass of layers, each timed
  double between_ms_median = 0;  // a whole run less the pass of layers after it: what falls between them
  double convolutions_ms_min = 0,
         convolutions_ms_median = 0;  // all convolutions alone, one round after the other
  int batch = 1;
  Precision precision = Precision::f32;
  int threads = 1;
  int repetitions = 0;
};

struct ProfileOptions {
  // An embedding network's name, or empty: what the weights hold. Of a detector's: "pnet", "rnet" or "onet".
  std::string network{};
  int side = 0;   // of P-Net's square input, even, 12 to 1024 pixels; 0: what the detector uses most
  int batch = 1;  // images, run one after the other; >= 1
  Precision precision = Precision::f32;  // of an embedding network, as EmbedderOptions have it
  PlanKind plan = PlanKind::fast;
  int threads = 0;       // inside the layers; 0 to 1024, 0: available_cpus()
  int repetitions = 10;  // >= 1
  Device device{};       // cpu; any other is unsupported
};

// Times whole runs, every layer between its neighbours, every layer alone, and the machine's limits in turn,
// round after round. Takes seconds, and up to a gigabyte while it lasts. Throws invalid_argument for
// options out of range and for a network that the weights do not hold; corrupt; unsupported for a device, and
// for a precision that the CPU does not multiply in.
ADAFACE_API NetworkProfile profile_layers(const Weights& weights, const ProfileOptions& options = {});

// ---- All of it ----------------------------------------------------------------------------------

struct EmbeddedFace {
  Face face;
  Embedding embedding;
};

struct EngineOptions {
  std::filesystem::path model{};     // an IR network's .afw
  std::filesystem::path detector{};  // MTCNN's .afw
  DetectorOptions detection{};       // its mode also rules alignment
  FaceSelection faces = FaceSelection::all;
  int threads = 0;                       // replaces detection.threads; 0: available_cpus()
  Precision precision = Precision::f32;  // of the embedding
  PlanKind plan = PlanKind::fast;        // likewise
  Device device{};                       // of both; replaces detection.device
};

// Of the faces found in a picture, in descending score, those that are to be embedded. It may throw, and the
// call throws the same; it must not use the session.
using FaceChoice = std::function<std::vector<Face>(std::vector<Face> found)>;

class ADAFACE_API Engine {
 public:
  explicit Engine(const EngineOptions& options);
  // Over weights that are loaded already: the paths in `options` are not read.
  Engine(const Weights& model, const Weights& detector, const EngineOptions& options = {});
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  // Detects, selects, aligns, embeds. Faces in descending score.
  std::vector<EmbeddedFace> analyze(const ImageView& image);
  // With a choice of the caller's in place of options.faces, and in its order; an empty function: all.
  std::vector<EmbeddedFace> analyze(const ImageView& image, const FaceChoice& choose);

  // Replaces what detector() and embedder() report to: detection is the first half of a call to analyze.
  void on_progress(ProgressFunction function);

  Detector& detector();
  Embedder& embedder();

 private:
  struct ADAFACE_HIDDEN Session;
  std::unique_ptr<Session> session_;
};

}  // namespace adaface
