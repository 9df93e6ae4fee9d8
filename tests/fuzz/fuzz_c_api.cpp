// Calls of the C interface in any order, with arguments that a caller may get wrong: null pointers, structs
// of other sizes, values out of range, handles that are gone or of another network, memory that ends. What
// fails says why, with a status that the header allows, and leaves its outputs alone; all memory comes back.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "src/adaface.h"
#include "tests/fuzz/detector_weights.h"
#include "tests/fuzz/input.h"

namespace {

using adaface::fuzz::Input;

// A block on the heap, so that a byte beyond it is noticed.
class Block {
 public:
  explicit Block(std::size_t bytes) : memory_(std::malloc(bytes)) {
    if (!memory_) throw std::bad_alloc();
    std::memset(memory_, 0, bytes);
  }
  ~Block() { std::free(memory_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  template <typename T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  void* memory_;
};

// Options whose caller knows a smaller or a larger struct, some bytes of which are the input's.
template <typename Options>
struct Sized {
  std::size_t size;
  Block block;
  bool null;

  Sized(Input& input, void (*init)(Options*, std::size_t))
      : size(choose(input)),
        block(std::max(size, sizeof(std::size_t))),
        null(input.take<std::uint8_t>() > 240) {
    init(size == 0 ? nullptr : block.template as<Options>(), size);
    block.template as<Options>()->struct_size = size;
    for (int edits = input.take<std::uint8_t>() % 4; edits > 0 && size > sizeof(std::size_t); --edits) {
      const std::size_t at = sizeof(std::size_t) + input.take<std::uint8_t>() % (size - sizeof(std::size_t));
      block.template as<std::uint8_t>()[at] = input.take<std::uint8_t>();
    }
  }
  Options* get() { return null ? nullptr : block.template as<Options>(); }
  // As much as version 1.0 knew, so that it is not refused for its size.
  bool whole() const { return size >= offsetof(Options, device); }

 private:
  // Most often the size of today.
  static std::size_t choose(Input& input) {
    constexpr std::size_t kToday = sizeof(Options);
    constexpr std::size_t kSizes[] = {kToday, kToday, kToday,     kToday,     0,
                                      1,      8,      kToday - 1, kToday + 1, kToday + 64};
    return input.one_of(kSizes);
  }
};

// Fails after some allocations; counts what is out. Threads of a detector come here at once.
struct Memory {
  std::atomic<std::int64_t> left = -1, out = 0;
  static void* allocate(void* user, std::size_t bytes, std::size_t alignment) {
    auto& memory = *static_cast<Memory*>(user);
    if (memory.left >= 0 && memory.left-- <= 0) return nullptr;
    memory.out += static_cast<std::int64_t>(bytes);
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  }
  static void release(void* user, void* memory, std::size_t bytes) {
    static_cast<Memory*>(user)->out -= static_cast<std::int64_t>(bytes);
    std::free(memory);
  }
};

int stop_after(void* user, double done) {
  if (!(done >= 0 && done <= 1)) std::abort();
  return --*static_cast<int*>(user) < 0 ? 1 : 0;
}

void listen(void*, adaface_log_level, const char* message) {
  if (std::strlen(message) == 0) std::abort();
}

// Aborts unless the status is one of those given; a failure must have said why.
void expect(adaface_status status, std::initializer_list<adaface_status> allowed) {
  bool known = status == ADAFACE_OK || status == ADAFACE_INVALID_ARGUMENT || status == ADAFACE_OUT_OF_MEMORY;
  for (adaface_status each : allowed) known = known || status == each;
  if (!known) std::abort();
  if (status != ADAFACE_OK && adaface_last_error()[0] == '\0') std::abort();
}

// Not a thousand threads, nor as many as there are CPUs; false where that cannot be said.
template <typename Options>
bool limit_threads(Sized<Options>& options) {
  if (options.null) return false;
  if (!options.whole()) return true;  // refused
  std::int32_t& threads = options.get()->threads;
  if (threads == 0 || threads > 2) threads = 2;
  return true;
}

constexpr std::size_t kHandles = 2;

struct Session {
  Input input;
  const std::string weights_path;
  Memory memory;
  int progress_left = 0;
  adaface_image* images[kHandles] = {};
  adaface_weights* weights[kHandles] = {};
  adaface_detector* detectors[kHandles] = {};
  int detectors_left = 1;  // to pack the weights takes far longer than all else

  std::size_t handle() { return input.take<std::uint8_t>() % kHandles; }

  // Of a handle that is there already, the same again: a caller must not overwrite it.
  template <typename T, typename Make>
  void make(T* (&handles)[kHandles], Make&& make_handle, std::initializer_list<adaface_status> allowed) {
    T*& place = handles[handle()];
    if (place) return;
    T* made = nullptr;
    const adaface_status status = make_handle(&made);
    expect(status, allowed);
    if ((status == ADAFACE_OK) != (made != nullptr)) std::abort();
    place = made;
  }

  adaface_image_view view(std::vector<std::uint8_t>& pixels) {
    static constexpr std::int32_t kSides[] = {30, 40, 24, 112, 1, 0, -1, 65536, INT32_MAX, INT32_MIN};
    static constexpr std::ptrdiff_t kMore[] = {0, 0, 0, 1, 16, -1, PTRDIFF_MIN, PTRDIFF_MAX / 2};
    adaface_image_view view{};
    view.width = input.one_of(kSides);
    view.height = input.one_of(kSides);
    const std::ptrdiff_t packed = 3 * static_cast<std::ptrdiff_t>(view.width), more = input.one_of(kMore);
    view.stride = more > 16 ? more : more < -1 ? more : packed + more;
    view.order = static_cast<std::int32_t>(input.take<std::uint8_t>()) % 5 - 1;
    const bool valid = view.width >= 1 && view.height >= 1 && view.width <= 112 && view.height <= 112 &&
                       view.stride >= packed;
    if (valid && more > 16) view.stride = packed + 16;
    pixels.resize(valid ? static_cast<std::size_t>((view.height - 1) * view.stride + packed) : 1);
    for (std::size_t i = 0; i < pixels.size(); ++i)
      pixels[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
    view.data = input.take<std::uint8_t>() > 250 ? nullptr : pixels.data();
    return view;
  }

  void decode();
  void detect();
  void align();
  void compare();
  void process();
  void step();
  void free_all();
};

void Session::decode() {
  Sized<adaface_decode_options> options(input, adaface_decode_options_init);
  const auto kind = input.take<std::uint8_t>();
  const std::span<const std::uint8_t> bytes = input.part(input.take<std::uint16_t>());
  make(images,
       [&](adaface_image** image) {
         return adaface_image_decode(kind > 250 ? nullptr : bytes.data(), bytes.size(),
                                     kind % 2 == 0 ? nullptr : "a name", options.get(),
                                     kind == 250 ? nullptr : image);
       },
       {ADAFACE_CORRUPT, ADAFACE_UNSUPPORTED, ADAFACE_LIMIT});
  adaface_image_view view{};
  const adaface_image* image = images[handle()];
  const adaface_status status = adaface_image_get(image, &view);
  expect(status, {});
  if ((status == ADAFACE_OK) != (image != nullptr) || (image && view.width < 1)) std::abort();
}

void Session::detect() {
  if (detectors_left > 0) {
    Sized<adaface_detector_options> options(input, adaface_detector_options_init);
    if (!limit_threads(options)) return;
    if (options.whole()) options.get()->pyramid_factor = std::min(options.get()->pyramid_factor, 0.9);
    make(detectors,
         [&](adaface_detector** detector) {
           const adaface_status status = adaface_detector_create(weights[handle()], options.get(), detector);
           if (status == ADAFACE_OK) --detectors_left;
           return status;
         },
         {ADAFACE_UNSUPPORTED});
  }
  std::vector<std::uint8_t> pixels;
  const adaface_image_view image = view(pixels);
  adaface_detector* detector = detectors[handle()];
  const std::size_t capacity = input.take<std::uint8_t>() % 4;
  progress_left = input.take<std::uint8_t>();
  expect(adaface_detector_set_progress(detector, progress_left < 32 ? stop_after : nullptr, &progress_left),
         {});
  const Block faces(std::max<std::size_t>(1, capacity * sizeof(adaface_face)));
  std::size_t count = 12345;
  const adaface_status status = adaface_detect(detector, input.take<std::uint8_t>() > 250 ? nullptr : &image,
                                               faces.as<adaface_face>(), capacity, &count);
  expect(status, {ADAFACE_CANCELLED});
  if (status == ADAFACE_CANCELLED && progress_left >= 0) std::abort();
  if (status != ADAFACE_OK && count != 12345) std::abort();
  if (status == ADAFACE_OK && !detector) std::abort();
}

void Session::align() {
  std::vector<std::uint8_t> pixels;
  const adaface_image_view image = view(pixels);
  float landmarks[5][2];
  for (auto& point : landmarks)
    for (float& value : point) value = input.coordinate();
  const auto mode = static_cast<adaface_mode>(input.take<std::uint8_t>() % 2);
  const Block crop(ADAFACE_CROP_BYTES);
  double m[2][3];
  expect(adaface_alignment_transform(landmarks, mode, m), {});
  expect(adaface_alignment_transform(nullptr, mode, m), {});
  expect(adaface_align(&image, landmarks, mode,
                       input.take<std::uint8_t>() > 250 ? nullptr : crop.as<std::uint8_t>()),
         {});
}

void Session::compare() {
  const std::size_t rows = input.take<std::uint8_t>() % 3, columns = input.take<std::uint8_t>() % 3;
  const Block a(std::max<std::size_t>(1, rows * sizeof(adaface_embedding))),
      b(std::max<std::size_t>(1, columns * sizeof(adaface_embedding))),
      matrix(std::max<std::size_t>(1, rows * columns * sizeof(double)));
  for (std::size_t i = 0; i < rows; ++i)
    for (float& value : a.as<adaface_embedding>()[i].unit) value = input.coordinate();
  expect(adaface_compare(a.as<adaface_embedding>(), rows, b.as<adaface_embedding>(), columns,
                         matrix.as<double>()),
         {});
  expect(adaface_compare(nullptr, rows, b.as<adaface_embedding>(), columns, matrix.as<double>()), {});
  // Networks that these weights are not.
  adaface_embedder* embedder = nullptr;
  Sized<adaface_embedder_options> options(input, adaface_embedder_options_init);
  if (limit_threads(options))
    expect(adaface_embedder_create(weights[handle()], options.get(), &embedder), {ADAFACE_UNSUPPORTED});
  adaface_engine* engine = nullptr;
  Sized<adaface_engine_options> engine_options(input, adaface_engine_options_init);
  if (limit_threads(engine_options)) {
    if (engine_options.whole()) engine_options.get()->detection = nullptr;
    expect(adaface_engine_create(nullptr, weights[handle()], engine_options.get(), &engine),
           {ADAFACE_UNSUPPORTED});
  }
  if (embedder || engine) std::abort();
  expect(adaface_embedder_prepare(nullptr), {});
  expect(adaface_embed(nullptr, nullptr, columns, nullptr), {});
  std::size_t count = 0;
  expect(adaface_analyze(nullptr, nullptr, nullptr, nullptr, 0, &count), {});
}

void Session::process() {
  char text[64];
  const std::size_t size = input.take<std::uint8_t>() % (sizeof text + 1);
  if (adaface_build_info(size == 0 ? nullptr : text, size) > 0 && size > 0 && std::strlen(text) >= size)
    std::abort();
  expect(adaface_set_log(static_cast<adaface_log_level>(input.take<std::uint8_t>() % 4),
                         input.take<std::uint8_t>() % 2 == 0 ? listen : nullptr, nullptr),
         {});
  adaface_allocator allocator{sizeof allocator, Memory::allocate, Memory::release, &memory};
  const auto kind = input.take<std::uint8_t>();
  if (kind < 8) allocator.allocate = nullptr;
  if (kind >= 8 && kind < 16) allocator.release = nullptr;
  if (kind >= 16 && kind < 24) allocator.struct_size = kind - 16;
  expect(adaface_set_allocator(kind > 200 ? nullptr : &allocator), {});
  memory.left = input.take<std::uint8_t>() < 128 ? -1 : input.take<std::uint8_t>();
  Sized<adaface_weights_info> info(input, [](adaface_weights_info*, std::size_t) {});
  expect(adaface_weights_get_info(weights[handle()], info.get()), {});
  expect(adaface_weights_verify(weights[handle()]), {});
  // What the next steps take as well.
  const std::span<const std::uint8_t> rest = input.rest();
  const std::string device(rest.begin(),
                           rest.begin() + std::min<std::ptrdiff_t>(kind % 12, std::ssize(rest)));
  std::int32_t device_kind = -1, index = -1;
  const adaface_status parsed = adaface_parse_device(device.c_str(), &device_kind, &index);
  expect(parsed, {});
  if ((parsed == ADAFACE_OK) != (device_kind >= 0 && index >= 0 && index <= 1023)) std::abort();
  const std::size_t info_size = std::size_t{2} * kind;
  const Block device_info(std::max(info_size, sizeof(std::size_t)));
  device_info.as<adaface_cuda_device_info>()->struct_size = info_size;
  expect(adaface_cuda_device_get_info(kind % 2, device_info.as<adaface_cuda_device_info>()), {});
}

void Session::step() {
  const auto what = input.take<std::uint8_t>();
  switch (what % 10) {
    case 0: return decode();
    case 1:
    case 2: return detect();
    case 3: return align();
    case 4: return compare();
    case 5: return process();
    case 6:
      return make(weights,
                  [&](adaface_weights** loaded) {
                    return adaface_weights_load(what > 250   ? nullptr
                                                : what > 240 ? "/nowhere/x.afw"
                                                             : weights_path.c_str(),
                                                loaded);
                  },
                  {ADAFACE_NOT_FOUND});
    case 7: return adaface_image_free(std::exchange(images[handle()], nullptr));
    case 8: return adaface_weights_free(std::exchange(weights[handle()], nullptr));
    default: return adaface_detector_free(std::exchange(detectors[handle()], nullptr));
  }
}

void Session::free_all() {
  for (adaface_weights*& each : weights) adaface_weights_free(std::exchange(each, nullptr));
  for (adaface_image*& each : images) adaface_image_free(std::exchange(each, nullptr));
  for (adaface_detector*& each : detectors) adaface_detector_free(std::exchange(each, nullptr));
  if (memory.out != 0) std::abort();
  if (adaface_set_allocator(nullptr) != ADAFACE_OK) std::abort();
  adaface_set_log(ADAFACE_LOG_NONE, nullptr, nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const adaface::fuzz::ScratchFile file("c-api");
  static const bool written = (adaface::fuzz::write_detector_weights(file.path()), true);
  static_cast<void>(written);
  Session session{Input(data, size), file.path().string(), {}, 0, {}, {}, {}, 1};
  constexpr int kMaxSteps = 32;
  try {
    for (int i = 0; i < kMaxSteps && !session.input.rest().empty(); ++i) session.step();
  } catch (...) {  // memory that this target itself has run out of
    session.free_all();
    throw;
  }
  session.free_all();
  return 0;
}
