// CUDA devices: in a build without CUDA there are none.
#pragma once

#include <string>
#include <vector>

#include "src/adaface.hpp"

namespace adaface::nn {

// Those that this process can use, in the order of their indices. Where there is none, `reason`, if it is not
// null, says why: "built without CUDA", "no CUDA driver", ... Throws std::bad_alloc alone.
std::vector<DeviceInfo> cuda_device_list(std::string* reason);

}  // namespace adaface::nn
