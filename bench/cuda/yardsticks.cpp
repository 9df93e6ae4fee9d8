#include "bench/cuda/yardsticks.h"

#include <dlfcn.h>

#include <utility>

#include "src/error.hpp"

#ifdef ADAFACE_CUBLAS
#include <cublas_v2.h>
#endif
#ifdef ADAFACE_CUDNN
#include <cudnn.h>
#endif

namespace adaface::bench {
namespace {

using kernels::cuda::Storage;
using nn::cuda::DeviceMemory;
using nn::cuda::Stream;

#if defined(ADAFACE_CUBLAS) || defined(ADAFACE_CUDNN)
// Null, with dlerror's words in `reason`.
void* load_library(const std::string& name, std::string* reason) {
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library && reason) *reason = dlerror();
  return library;
}

// A function of a library, which has it: headers and library have the same major version.
template <typename Function>
void find_function(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  if (!function)
    throw Error(ErrorCode::unsupported, std::string(name) + ": not in the library that was loaded");
}
#endif

}  // namespace

// ---- cuBLAS -------------------------------------------------------------------------------------

#ifdef ADAFACE_CUBLAS
struct Cublas::Library {
  decltype(cublasCreate_v2)* create;
  decltype(cublasDestroy_v2)* destroy;
  decltype(cublasSetStream_v2)* set_stream;
  decltype(cublasSetWorkspace_v2)* set_workspace;
  // cublasGemmEx, of which C++ has two.
  cublasStatus_t (*multiply)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                             const void*, cudaDataType, int, const void*, cudaDataType, int, const void*,
                             void*, cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
  cublasHandle_t handle = nullptr;
  DeviceMemory workspace;

  ~Library() {
    if (handle) destroy(handle);
  }
};

namespace {

void check(cublasStatus_t status, const char* operation) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(ErrorCode::internal, std::string(operation) + ": status " + std::to_string(status));
}

// As its documentation advises for this capability and newer ones.
constexpr std::size_t kBlasWorkspace = std::size_t{32} << 20;

}  // namespace

std::unique_ptr<Cublas> Cublas::load(std::string* reason) {
  void* const loaded = load_library("libcublas.so." + std::to_string(CUBLAS_VER_MAJOR), reason);
  if (!loaded) return nullptr;
  auto library = std::make_unique<Library>();
  find_function(loaded, "cublasCreate_v2", library->create);
  find_function(loaded, "cublasDestroy_v2", library->destroy);
  find_function(loaded, "cublasSetStream_v2", library->set_stream);
  find_function(loaded, "cublasSetWorkspace_v2", library->set_workspace);
  find_function(loaded, "cublasGemmEx", library->multiply);
  check(library->create(&library->handle), "cublasCreate");
  library->workspace = DeviceMemory(kBlasWorkspace, "cuBLAS");
  return std::unique_ptr<Cublas>(new Cublas(std::move(library)));
}

double Cublas::matrix_teraflops(Stream& stream, Storage storage, int n, int samples) {
  const auto elements = static_cast<std::size_t>(n) * static_cast<std::size_t>(n);
  const std::size_t bytes = elements * static_cast<std::size_t>(kernels::cuda::bytes_of(storage));
  const DeviceMemory a = random_numbers(stream, storage, bytes, "a matrix"),
                     b = random_numbers(stream, storage, bytes, "a matrix"), c(bytes, "a matrix");
  const cudaDataType type = storage == Storage::f16    ? CUDA_R_16F
                            : storage == Storage::bf16 ? CUDA_R_16BF
                                                       : CUDA_R_32F;
  const cublasComputeType_t compute =
      storage == Storage::f32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  check(library_->set_stream(library_->handle, stream.get()), "cublasSetStream");
  check(library_->set_workspace(library_->handle, library_->workspace.data(), kBlasWorkspace),
        "cublasSetWorkspace");
  const float one = 1, none = 0;
  const auto multiply = [&] {
    check(library_->multiply(library_->handle, CUBLAS_OP_T, CUBLAS_OP_N, n, n, n, &one, a.data(), type, n,
                             b.data(), type, n, &none, c.data(), type, n, compute, CUBLAS_GEMM_DEFAULT),
          "cublasGemmEx");
  };
  time_on(stream, 3, multiply);
  const double ms = times_of(time_on(stream, samples, multiply)).median_ms;
  return 2e-9 * static_cast<double>(elements) * n / ms;
}
#else
struct Cublas::Library {};
std::unique_ptr<Cublas> Cublas::load(std::string* reason) {
  if (reason) *reason = "built without cuBLAS's headers";
  return nullptr;
}
double Cublas::matrix_teraflops(Stream&, Storage, int, int) {
  return 0;
}
#endif

Cublas::Cublas(std::unique_ptr<Library> library) : library_(std::move(library)) {}
Cublas::~Cublas() = default;

// ---- cuDNN --------------------------------------------------------------------------------------

#ifdef ADAFACE_CUDNN
struct Cudnn::Library {
  decltype(cudnnCreate)* create;
  decltype(cudnnDestroy)* destroy;
  decltype(cudnnSetStream)* set_stream;
  decltype(cudnnCreateTensorDescriptor)* create_tensor;
  decltype(cudnnDestroyTensorDescriptor)* destroy_tensor;
  decltype(cudnnSetTensor4dDescriptor)* set_tensor;
  decltype(cudnnCreateFilterDescriptor)* create_filter;
  decltype(cudnnDestroyFilterDescriptor)* destroy_filter;
  decltype(cudnnSetFilter4dDescriptor)* set_filter;
  decltype(cudnnCreateConvolutionDescriptor)* create_convolution;
  decltype(cudnnDestroyConvolutionDescriptor)* destroy_convolution;
  decltype(cudnnSetConvolution2dDescriptor)* set_convolution;
  decltype(cudnnSetConvolutionMathType)* set_math;
  decltype(cudnnFindConvolutionForwardAlgorithmEx)* find;
  decltype(cudnnConvolutionForward)* forward;
  cudnnHandle_t handle = nullptr;
  DeviceMemory workspace;

  ~Library() {
    if (handle) destroy(handle);
  }
};

namespace {

constexpr std::size_t kDnnWorkspace = std::size_t{1} << 30;

void check(cudnnStatus_t status, const char* operation) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw Error(ErrorCode::internal, std::string(operation) + ": status " + std::to_string(status));
}

class CudnnConvolution final : public Cudnn::Convolution {
 public:
  CudnnConvolution(std::shared_ptr<Cudnn::Library> library, const kernels::cuda::Convolution& c, int images)
      : library_(std::move(library)) {
    const cudnnDataType_t type = c.storage == Storage::f16    ? CUDNN_DATA_HALF
                                 : c.storage == Storage::bf16 ? CUDNN_DATA_BFLOAT16
                                                              : CUDNN_DATA_FLOAT;
    check(library_->create_tensor(&src_), "cudnnCreateTensorDescriptor");
    check(library_->create_tensor(&dst_), "cudnnCreateTensorDescriptor");
    check(library_->create_filter(&weights_), "cudnnCreateFilterDescriptor");
    check(library_->create_convolution(&convolution_), "cudnnCreateConvolutionDescriptor");
    check(library_->set_tensor(src_, CUDNN_TENSOR_NHWC, type, images, c.channels, c.height, c.width),
          "cudnnSetTensor4dDescriptor");
    check(library_->set_tensor(dst_, CUDNN_TENSOR_NHWC, type, images, c.out_channels, c.out_height,
                               c.out_width),
          "cudnnSetTensor4dDescriptor");
    check(library_->set_filter(weights_, type, CUDNN_TENSOR_NHWC, c.out_channels, c.channels, c.kernel,
                               c.kernel),
          "cudnnSetFilter4dDescriptor");
    check(library_->set_convolution(convolution_, c.padding, c.padding, c.stride, c.stride, 1, 1,
                                    CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT),
          "cudnnSetConvolution2dDescriptor");
    // In float32 this lets it round to TF32.
    check(library_->set_math(convolution_, CUDNN_TENSOR_OP_MATH), "cudnnSetConvolutionMathType");
  }
  ~CudnnConvolution() override {
    library_->destroy_tensor(src_);
    library_->destroy_tensor(dst_);
    library_->destroy_filter(weights_);
    library_->destroy_convolution(convolution_);
  }

  bool choose(Stream& stream, const void* src, const void* weights, void* dst) {
    check(library_->set_stream(library_->handle, stream.get()), "cudnnSetStream");
    cudnnConvolutionFwdAlgoPerf_t found[CUDNN_CONVOLUTION_FWD_ALGO_COUNT];
    int count = 0;
    if (library_->find(library_->handle, src_, src, weights_, weights, convolution_, dst_, dst,
                       CUDNN_CONVOLUTION_FWD_ALGO_COUNT, &count, found, library_->workspace.data(),
                       kDnnWorkspace) != CUDNN_STATUS_SUCCESS)
      return false;
    // The fastest first.
    for (int i = 0; i < count; ++i)
      if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].memory <= kDnnWorkspace) {
        algorithm_ = found[i].algo;
        check(library_->set_math(convolution_, found[i].mathType), "cudnnSetConvolutionMathType");
        return true;
      }
    return false;
  }

  void enqueue(Stream& stream, const void* src, const void* weights, void* dst) override {
    const float one = 1, none = 0;
    check(library_->set_stream(library_->handle, stream.get()), "cudnnSetStream");
    check(library_->forward(library_->handle, &one, src_, src, weights_, weights, convolution_, algorithm_,
                            library_->workspace.data(), kDnnWorkspace, &none, dst_, dst),
          "cudnnConvolutionForward");
  }

  std::string algorithm() const override {
    switch (algorithm_) {
      case CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM: return "implicit GEMM";
      case CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM: return "implicit precomputed GEMM";
      case CUDNN_CONVOLUTION_FWD_ALGO_GEMM: return "GEMM";
      case CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD: return "Winograd";
      case CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD_NONFUSED: return "Winograd, not fused";
      default: return "algorithm " + std::to_string(algorithm_);
    }
  }

 private:
  const std::shared_ptr<Cudnn::Library> library_;
  cudnnTensorDescriptor_t src_ = nullptr, dst_ = nullptr;
  cudnnFilterDescriptor_t weights_ = nullptr;
  cudnnConvolutionDescriptor_t convolution_ = nullptr;
  cudnnConvolutionFwdAlgo_t algorithm_ = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
};

}  // namespace

std::unique_ptr<Cudnn> Cudnn::load(std::string* reason) {
  void* const loaded = load_library("libcudnn.so." + std::to_string(CUDNN_MAJOR), reason);
  if (!loaded) return nullptr;
  auto library = std::make_shared<Library>();
  find_function(loaded, "cudnnCreate", library->create);
  find_function(loaded, "cudnnDestroy", library->destroy);
  find_function(loaded, "cudnnSetStream", library->set_stream);
  find_function(loaded, "cudnnCreateTensorDescriptor", library->create_tensor);
  find_function(loaded, "cudnnDestroyTensorDescriptor", library->destroy_tensor);
  find_function(loaded, "cudnnSetTensor4dDescriptor", library->set_tensor);
  find_function(loaded, "cudnnCreateFilterDescriptor", library->create_filter);
  find_function(loaded, "cudnnDestroyFilterDescriptor", library->destroy_filter);
  find_function(loaded, "cudnnSetFilter4dDescriptor", library->set_filter);
  find_function(loaded, "cudnnCreateConvolutionDescriptor", library->create_convolution);
  find_function(loaded, "cudnnDestroyConvolutionDescriptor", library->destroy_convolution);
  find_function(loaded, "cudnnSetConvolution2dDescriptor", library->set_convolution);
  find_function(loaded, "cudnnSetConvolutionMathType", library->set_math);
  find_function(loaded, "cudnnFindConvolutionForwardAlgorithmEx", library->find);
  find_function(loaded, "cudnnConvolutionForward", library->forward);
  check(library->create(&library->handle), "cudnnCreate");
  library->workspace = DeviceMemory(kDnnWorkspace, "cuDNN");
  return std::unique_ptr<Cudnn>(new Cudnn(std::move(library)));
}

std::unique_ptr<Cudnn::Convolution> Cudnn::find(Stream& stream, const kernels::cuda::Convolution& sizes,
                                                int images, const void* src, const void* weights, void* dst) {
  auto convolution = std::make_unique<CudnnConvolution>(library_, sizes, images);
  if (!convolution->choose(stream, src, weights, dst)) return nullptr;
  return convolution;
}
#else
struct Cudnn::Library {};
std::unique_ptr<Cudnn> Cudnn::load(std::string* reason) {
  if (reason) *reason = "built without cuDNN's headers";
  return nullptr;
}
std::unique_ptr<Cudnn::Convolution> Cudnn::find(Stream&, const kernels::cuda::Convolution&, int, const void*,
                                                const void*, void*) {
  return nullptr;
}
#endif

Cudnn::Cudnn(std::shared_ptr<Library> library) : library_(std::move(library)) {}
Cudnn::~Cudnn() = default;

}  // namespace adaface::bench
