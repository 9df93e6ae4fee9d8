#include "src/nn/open_mp.h"

#include <dlfcn.h>

namespace adaface::nn {
namespace {

struct OpenMp {
  void (*set_num_threads)(int);
  int (*get_max_threads)();
};

// Looked up at run time: the library must use the OpenMP runtime that oneDNN loaded, whichever that is.
const OpenMp& open_mp() {
  static const OpenMp functions = {
      reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "omp_set_num_threads")),
      reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "omp_get_max_threads")),
  };
  return functions;
}

}  // namespace

void enter_worker_thread() {
  if (open_mp().set_num_threads) open_mp().set_num_threads(1);
}

SingleThreadedScope::SingleThreadedScope()
    : previous_(open_mp().get_max_threads ? open_mp().get_max_threads() : 1) {
  enter_worker_thread();
}

SingleThreadedScope::~SingleThreadedScope() {
  if (open_mp().set_num_threads) open_mp().set_num_threads(previous_);
}

}  // namespace adaface::nn
