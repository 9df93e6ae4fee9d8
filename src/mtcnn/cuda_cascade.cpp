#include "src/mtcnn/cuda_cascade.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>

#include "kernels/cuda/candidate_net.h"
#include "kernels/cuda/picture.h"
#include "kernels/cuda/pnet.h"
#include "kernels/cuda/resize.h"
#include "kernels/cuda/warp_affine.h"
#include "src/align/warp.h"
#include "src/mtcnn/cuda_nets.h"
#include "src/mtcnn/cuda_pyramid.h"
#include "src/nn/cuda_device.h"
#include "src/nn/cuda_layout.h"
#include "src/runtime/log.h"

namespace adaface::mtcnn {
namespace {

namespace device = kernels::cuda;
using nn::cuda::check;
using nn::cuda::DeviceMemory;
using nn::cuda::DeviceScope;
using nn::cuda::MemoryLayout;
using nn::cuda::PinnedMemory;
using nn::cuda::reserve;
using nn::cuda::Stream;

// Of a strip of rows, what is copied to where the device fetches it while it fetches the piece before.
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
constexpr std::size_t kMostCandidates = 4096;
// Proposals that are fetched along with their number.
constexpr std::uint64_t kFetched = 2048;
// Before the proposals in their memory: how many there are.
constexpr std::size_t kListHeader = 256;

std::string name_of(const ImageView& image) {
  return "a picture of " + std::to_string(image.width) + "x" + std::to_string(image.height);
}

class CascadeOnDevice final : public CudaCascade {
 public:
  // With the device current.
  CascadeOnDevice(Weights::State& weights, const DetectorOptions& options, const CudaCascadeLimits& limits)
      : options_(options),
        limits_(limits),
        device_(options.device.index),
        nets_(cuda_nets(weights, device_)),
        capacity_(limits.proposals) {
    check(device::prepare_pnet(), "preparing P-Net");
    check(device::prepare_candidate_nets(), "preparing R-Net and O-Net");
  }

  ~CascadeOnDevice() override {
    try {  // what is under way reads memory that goes now
      stream_.synchronize("the end of a detector");
    } catch (...) {
    }
  }

  std::vector<Face> detect(const ImageView& image, Trace* trace) override;
  void align(std::span<const Transform> transforms, std::uint8_t* crops) override;
  Stream& stream() override { return stream_; }

 private:
  void plan(const ImageView& image);
  void reserve_list(std::uint64_t capacity, const std::string& name);
  void upload(const ImageView& image);
  void enqueue(const PyramidWave& wave);
  std::vector<device::Proposal> proposals(const ImageView& image);
  std::vector<Candidate> propose(const ImageView& image, Trace* trace);
  void score(const ImageView& image, device::CandidateNet net, const device::CandidateWeights& weights,
             float threshold, std::vector<Candidate>& candidates);
  std::size_t score_some(const ImageView& image, device::CandidateNet net,
                         const device::CandidateWeights& weights, std::span<Candidate> candidates);

  const DetectorOptions options_;
  const CudaCascadeLimits limits_;
  const int device_;
  const std::shared_ptr<const CudaNets> nets_;
  std::uint64_t capacity_;

  // Of pictures of the size that was planned last.
  int width_ = 0, height_ = 0, strip_rows_ = 0;
  CudaPyramid pyramid_;
  const device::ResizeJob* jobs_ = nullptr;  // on the device
  const device::PnetLevel* levels_ = nullptr;

  PinnedMemory rows_, up_, down_;
  DeviceMemory picture_memory_, tables_, list_, work_;
  device::Picture picture_{};
  Stream stream_;
};

// The pyramid and the memory for it, all before anything of the picture is enqueued.
void CascadeOnDevice::plan(const ImageView& image) {
  const std::string name = name_of(image);
  picture_ = {nullptr, image.width, image.height};
  if (image.width != width_ || image.height != height_) {
    width_ = height_ = 0;  // no plan, should there be no memory for one
    pyramid_ = plan_pyramid(image.width, image.height, options_, limits_.wave_bytes);
    const auto take_tables = [&](MemoryLayout& layout) {
      return std::pair(layout.take<device::ResizeJob>(pyramid_.jobs.size()),
                       layout.take<device::PnetLevel>(pyramid_.levels.size()));
    };
    MemoryLayout sizes;
    take_tables(sizes);
    reserve(tables_, sizes.bytes(), name);
    reserve(up_, sizes.bytes(), name);
    if (sizes.bytes() > 0) {
      MemoryLayout here(up_.data()), there(tables_.data());
      const auto [jobs, levels] = take_tables(here);
      std::ranges::copy(pyramid_.jobs, jobs);
      std::ranges::copy(pyramid_.levels, levels);
      std::tie(jobs_, levels_) = take_tables(there);
      stream_.upload(tables_.data(), up_.data(), sizes.bytes());
    }
    width_ = image.width;
    height_ = image.height;
  }
  const std::size_t pitch = device::packed_pitch(image.width);
  strip_rows_ = static_cast<int>(
      std::clamp<std::size_t>(limits_.strip_bytes / pitch, 1, static_cast<std::size_t>(image.height)));
  const std::size_t strip = static_cast<std::size_t>(strip_rows_) * pitch;
  reserve(rows_, strip, name);
  reserve(picture_memory_, picture_.bytes(), name);
  reserve(work_, std::max(strip, pyramid_.wave_bytes()), name);
  reserve_list(capacity_, name);
  reserve(down_, kListHeader + kFetched * sizeof(device::Proposal), "proposals of " + name);
  picture_.pixels = picture_memory_.as<const std::uint32_t>();
}

void CascadeOnDevice::reserve_list(std::uint64_t capacity, const std::string& name) {
  const std::size_t bytes = kListHeader + capacity * sizeof(device::Proposal);
  if (list_.bytes() >= bytes) return;
  reserve(list_, bytes, "proposals of " + name);
  // More is fetched than is found.
  stream_.clear(list_.data(), list_.bytes());
}

void CascadeOnDevice::upload(const ImageView& image) {
  progress.stage(0, kPacked);
  const std::size_t pitch = device::packed_pitch(image.width),
                    row = 3 * static_cast<std::size_t>(image.width);
  const int strip = strip_rows_, piece = static_cast<int>(std::max(kPieceBytes / pitch, std::size_t{1}));
  for (int top = 0; top < image.height; top += strip) {
    progress.report(static_cast<double>(top) / image.height);
    if (top > 0) stream_.synchronize("upload of a picture");
    const int end = std::min(top + strip, image.height);
    for (int first = top; first < end; first += piece) {
      const int last = std::min(first + piece, end);
      const std::size_t at = static_cast<std::size_t>(first - top) * pitch;
      for (int y = first; y < last; ++y)
        std::memcpy(rows_.data() + at + static_cast<std::size_t>(y - first) * pitch,
                    image.data + y * image.stride, row);
      stream_.upload(work_.data() + at, rows_.data() + at, static_cast<std::size_t>(last - first) * pitch);
    }
    check(device::unpack_rows(work_.as<const std::uint8_t>(), image.width, end - top,
                              image.order == ChannelOrder::bgr,
                              picture_memory_.as<std::uint32_t>() + top * picture_.pitch(), stream_.get()),
          "unpacking a picture");
  }
}

void CascadeOnDevice::enqueue(const PyramidWave& wave) {
  MemoryLayout layout(work_.data());
  const PyramidWave::Memory memory = wave.take(layout);
  check(device::resize(picture_, jobs_ + wave.first, wave.count, wave.room, memory.resize, stream_.get()),
        "resizing levels");
  const device::ProposalList list{list_.as<std::uint64_t>(),
                                  reinterpret_cast<device::Proposal*>(list_.data() + kListHeader), capacity_};
  const device::PnetLevel* levels = levels_ + wave.first;
  if (wave.by_rows)
    check(device::propose_by_rows(nets_->pnet, levels, wave.count, wave.cells, memory.resize.results,
                                  options_.score_thresholds[0], memory.planes, list, stream_.get()),
          "P-Net");
  else
    check(device::propose(nets_->pnet, levels, wave.count, wave.cells, memory.resize.results,
                          least_difference(options_), list, stream_.get()),
          "P-Net");
}

// In the order of levels, rows and columns.
std::vector<device::Proposal> CascadeOnDevice::proposals(const ImageView& image) {
  std::uint64_t count = 0;
  while (true) {
    stream_.clear(list_.data(), kListHeader);
    for (std::size_t i = 0; i < pyramid_.waves.size(); ++i) {
      progress.report(static_cast<double>(i) / static_cast<double>(pyramid_.waves.size()));
      enqueue(pyramid_.waves[i]);
    }
    const std::size_t fetched = std::min(capacity_, kFetched);
    stream_.download(down_.data(), list_.data(), kListHeader + fetched * sizeof(device::Proposal));
    stream_.synchronize("P-Net");
    count = *down_.as<const std::uint64_t>();
    if (count <= capacity_) break;
    reserve_list(count, name_of(image));
    capacity_ = count;
  }
  if (count > kFetched) {
    const std::size_t bytes = kListHeader + count * sizeof(device::Proposal);
    reserve(down_, bytes, "proposals of " + name_of(image));
    stream_.download(down_.data(), list_.data(), bytes);
    stream_.synchronize("fetching proposals");
  }
  const auto* const fetched = reinterpret_cast<const device::Proposal*>(down_.data() + kListHeader);
  std::vector<device::Proposal> found(fetched, fetched + count);
  std::ranges::sort(found, {}, &device::Proposal::key);
  return found;
}

std::vector<Candidate> CascadeOnDevice::propose(const ImageView& image, Trace* trace) {
  progress.stage(kPacked, kProposed);
  const std::vector<device::Proposal> found =
      pyramid_.waves.empty() ? std::vector<device::Proposal>() : proposals(image);
  std::vector<Candidate> all;
  auto next = found.begin();
  for (std::size_t level = 0; level < pyramid_.scales.size(); ++level) {
    std::vector<Candidate> candidates;
    for (; next != found.end() && next->key >> 48 == level; ++next) {
      const float score = options_.mode == Mode::reference ? next->values[0] : face_probability(next->values);
      if (!(score > options_.score_thresholds[0])) continue;
      candidates.push_back(make_candidate(pyramid_.scales[level],
                                          static_cast<int>(next->key >> 24 & 0xFFFFFF),
                                          static_cast<int>(next->key & 0xFFFFFF), score));
      std::copy_n(next->offsets, 4, candidates.back().offsets.begin());
    }
    candidates = suppress(candidates, kLevelOverlap, Overlap::over_union);
    if (trace) trace->levels.emplace_back(pyramid_.scales[level], static_cast<int>(candidates.size()));
    all.insert(all.end(), candidates.begin(), candidates.end());
  }
  return all;
}

// As many of them as there is room for at once, at least one; returns how many.
std::size_t CascadeOnDevice::score_some(const ImageView& image, device::CandidateNet net,
                                        const device::CandidateWeights& weights,
                                        std::span<Candidate> candidates) {
  const device::CandidateShape shape = device::shape_of(net);
  std::vector<Crop> crops;
  std::vector<device::ResizeJob> jobs;
  device::ResizeRoom room;
  struct Parts {
    device::ResizeJob* jobs;
    device::ResizeMemory resize;
    std::byte* scratch;
    float* outputs;
  };
  const auto lay = [&](MemoryLayout& layout, const device::ResizeRoom& whole, std::size_t count) {
    return Parts{layout.take<device::ResizeJob>(count), take_resize(layout, whole),
                 layout.take<std::byte>(device::candidate_scratch_bytes(net, static_cast<int>(count))),
                 layout.take<float>(count * static_cast<std::size_t>(shape.outputs))};
  };
  std::size_t bytes = 0;
  for (const Candidate& candidate : candidates) {
    Crop crop;
    to_crop(candidate, image.width, image.height, crop);
    device::ResizeJob job{};
    job.left = static_cast<int>(crop.left);
    job.top = static_cast<int>(crop.top);
    job.width = static_cast<int>(crop.width);
    job.height = static_cast<int>(crop.height);
    job.out_width = job.out_height = shape.side;
    device::ResizeRoom larger = room;
    lay_out(job, image.width, image.height, larger);
    MemoryLayout sizes;
    lay(sizes, larger, jobs.size() + 1);
    if (!jobs.empty() && (jobs.size() == kMostCandidates || sizes.bytes() > limits_.batch_bytes)) break;
    bytes = sizes.bytes();
    room = larger;
    crops.push_back(crop);
    jobs.push_back(job);
  }
  const std::size_t count = jobs.size(), job_bytes = count * sizeof(device::ResizeJob),
                    output_bytes = count * static_cast<std::size_t>(shape.outputs) * sizeof(float);
  const std::string what = std::to_string(count) + " candidates of " + name_of(image);
  reserve(work_, bytes, what);
  reserve(up_, job_bytes, what);
  reserve(down_, output_bytes, what);
  MemoryLayout layout(work_.data());
  const Parts parts = lay(layout, room, count);
  std::ranges::copy(jobs, up_.as<device::ResizeJob>());
  stream_.upload(parts.jobs, up_.data(), job_bytes);
  check(device::resize(picture_, parts.jobs, static_cast<int>(count), room, parts.resize, stream_.get()),
        "resizing candidates");
  const std::string name = net == device::CandidateNet::rnet ? "R-Net" : "O-Net";
  check(device::run_candidates(net, weights, static_cast<int>(count), parts.resize.results, parts.scratch,
                               parts.outputs, stream_.get()),
        name);
  stream_.download(down_.data(), parts.outputs, output_bytes);
  stream_.synchronize(name);
  for (std::size_t i = 0; i < count; ++i)
    decide(candidates[i], crops[i], down_.as<const float>() + i * static_cast<std::size_t>(shape.outputs),
           static_cast<std::size_t>(shape.outputs));
  return count;
}

void CascadeOnDevice::score(const ImageView& image, device::CandidateNet net,
                            const device::CandidateWeights& weights, float threshold,
                            std::vector<Candidate>& candidates) {
  std::erase_if(candidates, [&](const Candidate& c) {
    Crop crop;
    return !to_crop(c, image.width, image.height, crop);
  });
  for (std::size_t done = 0; done < candidates.size();) {
    progress.report(static_cast<double>(done) / static_cast<double>(candidates.size()));
    done += score_some(image, net, weights, std::span(candidates).subspan(done));
  }
  std::erase_if(candidates, [&](const Candidate& c) { return !(c.score > threshold); });
}

std::vector<Face> CascadeOnDevice::detect(const ImageView& image, Trace* trace) {
  const DeviceScope scope(device_);
  // Nothing of a call that ended early may read what this one writes.
  stream_.synchronize("the call before");
  plan(image);
  upload(image);
  std::vector<Candidate> candidates = next_boxes(propose(image, trace), options_.overlap_thresholds[0]);

  progress.stage(kProposed, kRefined);
  if (trace) trace->rnet_inputs = static_cast<int>(candidates.size());
  score(image, device::CandidateNet::rnet, nets_->rnet, options_.score_thresholds[1], candidates);
  candidates = next_boxes(candidates, options_.overlap_thresholds[1]);

  progress.stage(kRefined, 1);
  if (trace) trace->onet_inputs = static_cast<int>(candidates.size());
  score(image, device::CandidateNet::onet, nets_->onet, options_.score_thresholds[2], candidates);
  std::vector<Face> faces = to_faces(std::move(candidates), options_.overlap_thresholds[2]);
  log::print(LogLevel::debug, image.width, "x", image.height, ": ", pyramid_.levels.size(), " levels, ",
             faces.size(), " faces");
  progress.report(1);
  return faces;
}

void CascadeOnDevice::align(std::span<const Transform> transforms, std::uint8_t* crops) {
  const DeviceScope scope(device_);
  constexpr std::size_t kCropBytes = std::size_t{kCropSize} * kCropSize * 3;
  for (std::size_t first = 0; first < transforms.size(); first += device::kMostWarps) {
    const std::size_t count = std::min<std::size_t>(transforms.size() - first, device::kMostWarps);
    device::Warps warps{};
    for (std::size_t i = 0; i < count; ++i)
      std::ranges::copy(invert(transforms[first + i]), warps.inverse[i]);
    check(device::warp_affine(picture_, warps, static_cast<int>(count), kCropSize, crops + first * kCropBytes,
                              stream_.get()),
          "alignment");
  }
}

}  // namespace

std::unique_ptr<CudaCascade> cuda_cascade(Weights::State& weights, const DetectorOptions& options,
                                          const CudaCascadeLimits& limits) {
  const DeviceScope scope(options.device.index);
  return std::make_unique<CascadeOnDevice>(weights, options, limits);
}

}  // namespace adaface::mtcnn
