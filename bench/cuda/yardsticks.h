// What the vendor's libraries reach on a device, to put the engine's kernels beside: cuBLAS's matrix product,
// cuDNN's convolution. Neither is linked: they are loaded here, in the benchmark alone, where the machine has
// them.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "bench/cuda/timing.h"
#include "kernels/cuda/convolution.h"

namespace adaface::bench {

class Cublas {
 public:
  // Null where it cannot be loaded, or its headers were not there when this was built; `reason` says which.
  static std::unique_ptr<Cublas> load(std::string* reason);
  ~Cublas();

  // 1e12 operations a second, two for each multiply-add, of a product of n x n matrices of random numbers, at
  // the median: what is called the matrix peak here.
  double matrix_teraflops(nn::cuda::Stream& stream, kernels::cuda::Storage storage, int n, int samples);

  struct Library;

 private:
  explicit Cublas(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
};

class Cudnn {
 public:
  static std::unique_ptr<Cudnn> load(std::string* reason);
  ~Cudnn();

  // Its fastest algorithm for a convolution of these sizes, found by trying them; without bias, PReLU and
  // residual sum. Nothing where it has none.
  class Convolution {
   public:
    virtual ~Convolution() = default;
    virtual void enqueue(nn::cuda::Stream& stream, const void* src, const void* weights, void* dst) = 0;
    virtual std::string algorithm() const = 0;
  };
  std::unique_ptr<Convolution> find(nn::cuda::Stream& stream, const kernels::cuda::Convolution& sizes,
                                    int images, const void* src, const void* weights, void* dst);

  struct Library;

 private:
  explicit Cudnn(std::shared_ptr<Library> library);
  std::shared_ptr<Library> library_;
};

}  // namespace adaface::bench
