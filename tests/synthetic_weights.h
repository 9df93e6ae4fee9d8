// Weight files with made-up values, for tests.
#pragma once

#include "tools/synthetic/weight_file.h"

namespace adaface::testing {

using synthetic::Edit;
using synthetic::write_weights;

}  // namespace adaface::testing
