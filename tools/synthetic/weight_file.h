// Weight files with made-up values, written straight from the tensor table. Users link afw_writer_dep.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "tools/synthetic/values.h"
#include "weights/afw_writer.h"

namespace adaface::synthetic {

using Edit = std::function<void(const weights::TensorRow&, std::vector<float>&)>;

// The untrained network of the goldens; `edit` may change each tensor's values first.
inline void write_weights(weights::Architecture architecture, const std::filesystem::path& path,
                          weights::DataType storage = weights::DataType::f32, const Edit& edit = {}) {
  weights::AfwWriter writer(path, architecture, weights::ColorOrder::bgr, storage);
  for (const weights::TensorRow& row : weights::tensor_table(architecture)) {
    std::vector<float> values(weights::element_count(row.shape));
    fill_values(/*seed=*/1, row.source, row.shape, 0, values);
    if (edit) edit(row, values);
    writer.append(values);
  }
  writer.commit({});
}

}  // namespace adaface::synthetic
