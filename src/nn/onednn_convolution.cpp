// The only file that includes dnnl.hpp, and the one that knows the difference between oneDNN 2.6 and 3.x.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <dnnl.hpp>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/levels.h"
#include "src/error.hpp"
#include "src/nn/arena.h"
#include "src/nn/blocks.h"
#include "src/nn/convolution.h"
#include "src/nn/onednn.h"
#include "src/nn/open_mp.h"
#include "src/nn/thread_pool.h"

namespace adaface::nn {
namespace {

using dnnl::memory;

// A part's weights pass through one unpacked buffer on their way in; this bounds it.
constexpr std::size_t kMostPartBytes = std::size_t{4} << 20;

// oneDNN 2.6 crashes when there is no memory for a kernel's code or for what describes it. More than any one
// of our uses of it takes is asked for and given back first, so that a process at its limit gets
// std::bad_alloc; what other threads take meanwhile is not ruled out.
void require_memory() {
  constexpr std::size_t kBytes = std::size_t{4} << 20;
  void* probe = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED) throw std::bad_alloc();
  ::munmap(probe, kBytes);
}
// Over planes a part is a matrix product, which sums some rows in another order than others, as their number
// has it: parts of a fixed size, so that results do not depend on the threads.
constexpr int kPlanesOfAPart = 32;

const dnnl::engine& engine() {
  static const dnnl::engine cpu{dnnl::engine::kind::cpu, 0};
  return cpu;
}

// Output channels [first_block, first_block + blocks) of a convolution: a primitive of its own.
struct Part {
  int first_block, blocks;
  dnnl::primitive primitive;
  memory::desc src, dst, scratchpad, weights, bias;
  std::size_t weights_offset, bias_offset;  // in the packed bytes
};

dnnl::convolution_forward::primitive_desc describe(const Layer& layer, bool winograd, const memory::desc& src,
                                                   const memory::desc& weights, const memory::desc& bias,
                                                   const memory::desc& dst) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (layer.residual >= 0) {
    dnnl::post_ops post_ops;
    post_ops.append_sum(1.0f);
    attributes.set_post_ops(post_ops);
  }
  const memory::dims strides = {layer.stride, layer.stride}, padding = {layer.padding, layer.padding};
  constexpr auto kind = dnnl::prop_kind::forward_inference;
  const auto algorithm =
      winograd ? dnnl::algorithm::convolution_winograd : dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), kind, algorithm, src, weights, bias, dst, strides, padding, padding, attributes};
#else
  return {{kind, algorithm, src, weights, bias, dst, strides, padding, padding}, attributes, engine()};
#endif
}

class OnednnConvolution final : public Convolution {
 public:
  OnednnConvolution(const ConvolutionProblem& problem, bool winograd);

  std::string implementation() const override { return name_; }
  double executed_multiply_adds() const override { return multiply_adds_; }
  std::size_t packed_bytes() const override { return packed_bytes_; }
  int pack_tasks() const override { return static_cast<int>(parts_.size()); }
  std::size_t plain_floats() const override;
  void pack(int task, const ConvolutionWeights& weights, float* plain, std::byte* packed) const override;
  std::size_t scratch_bytes(int) const override {
    return prepared_bytes_ + part_scratch_bytes_ * parts_.size();
  }
  std::unique_ptr<Bound> bind(std::byte* packed, const float* src, float* dst,
                              std::byte* scratch) const override;

 private:
  class BoundOnednn;

  std::size_t block_weights() const {  // of one block of output channels
    return index(block_) * index(in_padded_) * index(kernel_ * kernel_);
  }
  std::size_t reserve(std::size_t bytes) {
    return std::exchange(packed_bytes_, packed_bytes_ + align_up(bytes));
  }

  Extent in_, out_;
  int block_, kernel_, in_padded_, in_blocks_;
  bool bf16_;
  std::string name_;
  double multiply_adds_ = 0;
  std::vector<Part> parts_;
  std::size_t packed_bytes_ = 0, part_scratch_bytes_ = 0;
  std::size_t prepared_bytes_ = 0;  // the input after the batch norm before it, or as bfloat16
  std::vector<float> bias_, slope_, scale_, shift_;  // padded to whole blocks
};

OnednnConvolution::OnednnConvolution(const ConvolutionProblem& problem, bool winograd)
    : in_(problem.in),
      out_(problem.out),
      block_(problem.block),
      kernel_(problem.layer.kernel),
      in_padded_(problem.planar ? in_.channels : divide_up(in_.channels, block_) * block_),
      in_blocks_(divide_up(in_.channels, block_)),
      // The first convolution reads planes of pixels and is a thousandth of the work.
      bf16_(problem.precision == Precision::bf16 && !problem.planar) {
  const Layer& layer = problem.layer;
  const int blocks = divide_up(out_.channels, block_);
  slope_ = padded(layer.weights.slope, blocks * block_);
  scale_ = padded(layer.scale, in_padded_);
  shift_ = padded(layer.shift, in_padded_);
  if (bf16_ || !scale_.empty())
    prepared_bytes_ = align_up(index(in_padded_) * index(in_.height) * index(in_.width) *
                               (bf16_ ? sizeof(std::uint16_t) : sizeof(float)));

  const int by_size = std::max(1, static_cast<int>(kMostPartBytes / (block_weights() * sizeof(float))));
  const int by_threads = block_ == 1 ? kPlanesOfAPart : divide_up(blocks, problem.threads);
  const int part_blocks = std::min({by_threads, by_size, blocks});
  const auto blocked = block_ == 16  ? memory::format_tag::nChw16c
                       : block_ == 8 ? memory::format_tag::nChw8c
                                     : memory::format_tag::nchw;
  const auto f32 = memory::data_type::f32, type = bf16_ ? memory::data_type::bf16 : f32;
  const memory::desc src({1, in_padded_, in_.height, in_.width}, type,
                         problem.planar ? memory::format_tag::nchw : blocked);
  for (int first = 0; first < blocks; first += part_blocks) {
    require_memory();
    const int count = std::min(part_blocks, blocks - first), channels = count * block_;
    const memory::desc any({channels, in_padded_, kernel_, kernel_}, type, memory::format_tag::any);
    const memory::desc bias({channels}, f32, memory::format_tag::x);
    const memory::desc dst({1, channels, out_.height, out_.width}, f32, blocked);
    const auto desc = describe(layer, winograd, src, any, bias, dst);
    Part part{.first_block = first,
              .blocks = count,
              .primitive = dnnl::convolution_forward(desc),
              .src = src,
              .dst = dst,
              .scratchpad = desc.scratchpad_desc(),
              .weights = desc.weights_desc(),
              .bias = bias,
              .weights_offset = reserve(desc.weights_desc().get_size()),
              .bias_offset = reserve(bias.get_size())};
    part_scratch_bytes_ = std::max(part_scratch_bytes_, align_up(part.scratchpad.get_size()));
    name_ = desc.impl_info_str();
    parts_.push_back(std::move(part));
  }
  multiply_adds_ = static_cast<double>(block_weights()) * blocks * out_.height * out_.width;
}

std::size_t OnednnConvolution::plain_floats() const {
  int most = 0;
  for (const Part& part : parts_) most = std::max(most, part.blocks);
  return index(most) * block_weights();
}

void OnednnConvolution::pack(int task, const ConvolutionWeights& weights, float* plain,
                             std::byte* packed) const {
  const Part& part = parts_[index(task)];
  const memory::dims shape = {part.blocks * block_, in_padded_, kernel_, kernel_};
  const int first = part.first_block * block_, taps = kernel_ * kernel_;
  const int rows = std::min(part.blocks * block_, out_.channels - first);
  const std::size_t row = index(in_.channels * taps), padded_row = index(in_padded_ * taps);
  weights.fill(first, rows, plain);
  // Spread the rows out to their padded length, the last first: each moves to a higher address.
  for (int o = rows - 1; o >= 0 && padded_row != row; --o) {
    float* to = plain + index(o) * padded_row;
    std::memmove(to, plain + index(o) * row, row * sizeof(float));
    std::fill(to + row, to + padded_row, 0.0f);
  }
  std::fill(plain + index(rows) * padded_row, plain + index(part.blocks * block_) * padded_row, 0.0f);
  require_memory();
  dnnl::stream stream(engine());
  memory src({shape, memory::data_type::f32, memory::format_tag::oihw}, engine(), plain);
  memory dst(part.weights, engine(), packed + part.weights_offset);
  dnnl::reorder(src, dst).execute(stream, src, dst);
  stream.wait();
  std::memcpy(packed + part.bias_offset, weights.bias.data() + first, index(rows) * sizeof(float));
}

class OnednnConvolution::BoundOnednn final : public Bound {
 public:
  BoundOnednn(const OnednnConvolution& convolution, const std::byte* packed, const float* src, float* dst,
              std::byte* scratch)
      : c_(convolution), src_(src), dst_(dst), prepared_(scratch) {
    require_memory();
    for (std::size_t i = 0; i < c_.parts_.size(); ++i) {
      const Part& part = c_.parts_[i];
      Arguments& arguments = arguments_.emplace_back();
      arguments.stream = dnnl::stream(engine());
      const auto add = [&](int key, const memory::desc& desc, const void* data) {
        arguments.memories.emplace_back(desc, engine(), const_cast<void*>(data));
        arguments.list.push_back({key, arguments.memories.back().get()});
      };
      add(DNNL_ARG_SRC, part.src, c_.prepared_bytes_ > 0 ? static_cast<const void*>(prepared_) : src);
      add(DNNL_ARG_WEIGHTS, part.weights, packed + part.weights_offset);
      add(DNNL_ARG_BIAS, part.bias, packed + part.bias_offset);
      add(DNNL_ARG_DST, part.dst, dst + index(part.first_block) * out_block());
      if (part.scratchpad.get_size() > 0)
        add(DNNL_ARG_SCRATCHPAD, part.scratchpad, scratch + c_.prepared_bytes_ + i * c_.part_scratch_bytes_);
    }
  }

  void run(ThreadPool* pool, bool bare) override {
    if (c_.prepared_bytes_ > 0 && !bare)
      run_tasks(pool, c_.in_blocks_, [this](int block, int) { prepare(block); });
    // The caller's thread takes parts as well. On some CPUs oneDNN computes matrix products here, which add
    // in an order that depends on OpenMP's threads.
    const SingleThreadedScope scope;
    run_tasks(pool, static_cast<int>(c_.parts_.size()), [&](int part, int) { run_part(index(part), bare); });
  }

 private:
  struct Arguments {
    dnnl::stream stream;  // parts run at the same time
    std::vector<memory> memories;
    std::vector<dnnl_exec_arg_t> list;
  };

  std::size_t out_block() const { return index(c_.out_.height * c_.out_.width) * index(c_.block_); }

  // Batch norm and rounding to bfloat16, whichever there is.
  void prepare(int block) const {
    const int pixels = c_.in_.height * c_.in_.width;
    const std::size_t at = index(block) * index(pixels) * index(c_.block_);
    const float* scale = c_.scale_.empty() ? nullptr : c_.scale_.data() + block * c_.block_;
    const float* shift = c_.scale_.empty() ? nullptr : c_.shift_.data() + block * c_.block_;
    const kernels::Kernels& k = kernels::select();
    if (c_.bf16_)
      k.to_bf16(src_ + at, scale, shift, reinterpret_cast<std::uint16_t*>(prepared_) + at, 1, pixels,
                c_.block_);
    else
      k.scale_shift(src_ + at, scale, shift, reinterpret_cast<float*>(prepared_) + at, 1, pixels, c_.block_);
  }

  void run_part(std::size_t i, bool bare) {
    const Part& part = c_.parts_[i];
    Arguments& arguments = arguments_[i];
    onednn_errors("convolution", [&] {
      dnnl::error::wrap_c_api(
          dnnl_primitive_execute(part.primitive.get(), arguments.stream.get(),
                                 static_cast<int>(arguments.list.size()), arguments.list.data()),
          "could not execute a convolution");
      arguments.stream.wait();
    });
    if (c_.slope_.empty() || bare) return;
    // While this part's result is still in cache.
    kernels::select().prelu(dst_ + index(part.first_block) * out_block(),
                            c_.slope_.data() + part.first_block * c_.block_, part.blocks,
                            c_.out_.height * c_.out_.width, c_.block_);
  }

  const OnednnConvolution& c_;
  const float* src_;
  float* dst_;
  std::byte* prepared_;
  std::vector<Arguments> arguments_;
};

std::unique_ptr<Convolution::Bound> OnednnConvolution::bind(std::byte* packed, const float* src, float* dst,
                                                            std::byte* scratch) const {
  return std::make_unique<BoundOnednn>(*this, packed, src, dst, scratch);
}

}  // namespace

std::unique_ptr<Convolution> make_onednn_convolution(const ConvolutionProblem& problem, bool winograd) {
  if (winograd) {
    try {
      return std::make_unique<OnednnConvolution>(problem, true);
    } catch (const dnnl::error& error) {
      if (error.status != dnnl_unimplemented) throw;
    }
  }
  return std::make_unique<OnednnConvolution>(problem, false);
}

void rethrow_onednn(const std::string& what) {
  try {
    throw;
  } catch (const dnnl::error& error) {
    const ErrorCode code =
        error.status == dnnl_out_of_memory ? ErrorCode::out_of_memory : ErrorCode::internal;
    throw Error(code, what + ": oneDNN: " + error.what());
  }
}

namespace {
// The values of cpu_isa name other instruction sets on other architectures.
bool is_plain() {
  return std::string_view(kernels::instruction_sets()) == "reference";
}

bool has(dnnl::cpu_isa isa) {
  const auto have = static_cast<unsigned>(dnnl::get_effective_cpu_isa()), want = static_cast<unsigned>(isa);
  return (have & want) == want;
}
}  // namespace

int onednn_channel_block() {
  if (is_plain()) return 1;
  return has(dnnl::cpu_isa::avx512_core) ? 16 : 8;
}

std::string onednn_versions() {
  const auto text = [](int major, int minor, int patch) {
    return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
  };
  const dnnl_version_t* loaded = dnnl_version();
  const std::string built = text(DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH),
                    runs = text(loaded->major, loaded->minor, loaded->patch);
  return built == runs ? runs : built + ", loaded " + runs;
}

std::string onednn_instruction_set() {
  if (kernels::levels().size() == 1) return "default";
  using dnnl::cpu_isa;
  constexpr std::pair<cpu_isa, const char*> kNames[] = {{cpu_isa::avx512_core_amx, "AVX512_CORE_AMX"},
                                                        {cpu_isa::avx512_core_bf16, "AVX512_CORE_BF16"},
                                                        {cpu_isa::avx512_core_vnni, "AVX512_CORE_VNNI"},
                                                        {cpu_isa::avx512_core, "AVX512_CORE"},
                                                        {cpu_isa::avx2_vnni, "AVX2_VNNI"},
                                                        {cpu_isa::avx2, "AVX2"},
                                                        {cpu_isa::avx, "AVX"},
                                                        {cpu_isa::sse41, "SSE41"}};
  for (const auto& [isa, name] : kNames)
    if (has(isa)) return name;
  return "default";
}

bool onednn_has_bf16() {
  return !is_plain() && has(dnnl::cpu_isa::avx512_core_bf16);
}

}  // namespace adaface::nn
