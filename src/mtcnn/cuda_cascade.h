// The cascade on a CUDA device: from an image to faces, and from their landmarks to crops that stay there. In
// a build without CUDA there is only the function that makes one, which throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "src/adaface.hpp"
#include "src/mtcnn/cascade.h"
#include "src/nn/progress.h"

namespace adaface::nn::cuda {
class Stream;
}

namespace adaface::mtcnn {

// A session: one thread at a time. Boxes between the nets, their suppression and the probabilities that are
// compared with thresholds are the host's, by the code of the CPU's cascade: what is kept depends on ties and
// on sums in double in the published order, and there is little of it, some thousand proposals of 32 bytes.
// So a picture waits for the device three times, after each net.
class CudaCascade {
 public:
  virtual ~CudaCascade() = default;

  // As Cascade::detect, of a checked view. The image stays on the device until the next call, or an error.
  // Throws out_of_memory, naming the picture, when the device has too little memory for it; internal. The
  // session can be used again after either.
  virtual std::vector<Face> detect(const ImageView& image, Trace* trace) = 0;

  // Enqueues the crops of the image that detect has looked at: to crops{transforms.size(), kCropSize,
  // kCropSize, 3} of device memory, packed RGB, the same bytes as align_face's. `transforms` map image to
  // crop and are read before this returns. They are there for what follows on stream().
  virtual void align(std::span<const Transform> transforms, std::uint8_t* crops) = 0;

  virtual nn::cuda::Stream& stream() = 0;

  nn::Progress progress;
};

// How much of its work it does at once. Results do not depend on it.
struct CudaCascadeLimits {
  // Proposals that P-Net may make before its list has to grow, which costs that picture a second run of it;
  // at least 1.
  std::uint64_t proposals = 1u << 14;
  // Of a picture's rows that are uploaded at a time; of the levels of a pyramid that are held at once; of the
  // candidates that a net sees at once. A single row, level or candidate may take more.
  std::size_t strip_bytes = std::size_t{32} << 20, wave_bytes = std::size_t{1} << 30,
              batch_bytes = std::size_t{256} << 20;
};

// On options.device. Throws as Detector does.
std::unique_ptr<CudaCascade> cuda_cascade(Weights::State& weights, const DetectorOptions& options,
                                          const CudaCascadeLimits& limits = {});

}  // namespace adaface::mtcnn
