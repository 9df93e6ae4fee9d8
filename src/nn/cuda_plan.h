// What a plan for a CUDA device consists of: shared by its sessions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/convolution.h"
#include "kernels/cuda/squeeze_excite.h"
#include "src/nn/cuda_backend.h"
#include "src/nn/cuda_device.h"
#include "src/nn/network.h"
#include "src/nn/thread_pool.h"

namespace adaface::nn::cuda {

struct Step {
  std::string name;
  LayerKind kind;
  Extent in, out;
  int src_slot, dst_slot;
  int residual_slot = -1, residual_stride = 1;
  Extent residual{};
  bool last = false;  // its result is the network's output, in float32
  kernels::cuda::Convolution convolution{};
  std::size_t weights_offset = 0, bias_offset = 0, slope_offset = 0;  // in the plan's parameters
  // squeeze_excite
  std::size_t fc1_offset = 0, fc2_offset = 0;
  int squeezed = 0;

  // Without weights.
  kernels::cuda::Squeeze squeeze(int images) const {
    return {.images = images,
            .pixels = in.height * in.width,
            .channels = in.channels,
            .squeezed = squeezed,
            .fc1 = nullptr,
            .fc2 = nullptr};
  }
};

class Plan final : public CudaPlan, public std::enable_shared_from_this<Plan> {
 public:
  Plan(const Network& network, int device, Precision precision, ThreadPool* pool);

  std::unique_ptr<nn::Session> create_session(int threads) const override;
  std::unique_ptr<CudaSession> create_cuda_session(int images) const override;
  // The device's weights are as they will be used.
  void keep_weights(ThreadPool*, const Progress*) const override {}
  std::span<const LayerInfo> layers() const override { return infos_; }
  Extent input() const override { return input_; }
  Extent output() const override { return output_; }

  int device() const { return device_; }
  const DeviceLimits& limits() const { return limits_; }
  kernels::cuda::Storage storage() const { return storage_; }
  std::span<const Step> steps() const { return steps_; }
  const std::byte* parameters() const { return parameters_.data(); }
  int input_slot() const { return input_slot_; }
  int output_slot() const { return output_slot_; }
  // Of one image, each a multiple of 256.
  std::span<const std::size_t> slot_bytes() const { return slot_bytes_; }
  int input_channels() const { return 16 / kernels::cuda::bytes_of(storage_); }

 private:
  // Bytes of one image's activation.
  std::size_t bytes(const Network& network, Value value) const;
  void add_step(const Network& network, const Layer& layer, const std::vector<int>& slot_of);
  void add_convolution(const Network& network, const Layer& layer, Step& step, LayerInfo& info);
  void upload(const Network& network, ThreadPool* pool);

  const int device_;
  const kernels::cuda::Storage storage_;
  const DeviceLimits limits_;
  Extent input_, output_;
  int input_slot_ = -1, output_slot_ = -1;
  std::vector<std::size_t> slot_bytes_;
  std::vector<Step> steps_;
  std::vector<LayerInfo> infos_;
  std::size_t parameter_bytes_ = 0;
  DeviceMemory parameters_;
};

}  // namespace adaface::nn::cuda
