#include "src/mtcnn/cuda_pyramid.h"

#include <algorithm>
#include <cmath>

#include "src/mtcnn/cascade.h"
#include "src/mtcnn/nets.h"

namespace adaface::mtcnn {

namespace device = kernels::cuda;

device::ResizeMemory take_resize(nn::cuda::MemoryLayout& layout, const device::ResizeRoom& room) {
  return {layout.take<device::ResizeSpan>(room.spans), layout.take<std::int32_t>(room.weights),
          layout.take<std::uint32_t>(room.between), layout.take<std::uint32_t>(room.result)};
}

PyramidWave::Memory PyramidWave::take(nn::cuda::MemoryLayout& layout) const {
  Memory memory{take_resize(layout, room), {}};
  if (by_rows) {
    const auto all = static_cast<std::size_t>(cells.cells);
    memory.planes = {layout.take<float>(all), layout.take<float>(4 * all)};
  }
  return memory;
}

std::size_t PyramidWave::bytes() const {
  nn::cuda::MemoryLayout layout;
  take(layout);
  return layout.bytes();
}

std::size_t CudaPyramid::wave_bytes() const {
  std::size_t most = 0;
  for (const PyramidWave& wave : waves) most = std::max(most, wave.bytes());
  return most;
}

CudaPyramid plan_pyramid(int width, int height, const DetectorOptions& options, std::size_t wave_bytes) {
  CudaPyramid pyramid;
  pyramid.scales = pyramid_scales(width, height, options);
  for (const double scale : pyramid.scales) {
    device::ResizeJob job{};
    job.width = width;
    job.height = height;
    job.out_width = static_cast<int>(std::ceil(width * scale));
    job.out_height = static_cast<int>(std::ceil(height * scale));
    device::PnetLevel level{};
    level.width = job.out_width;
    level.height = job.out_height;
    level.rows = pnet_cells(level.height);
    level.columns = pnet_cells(level.width);
    level.number = static_cast<int>(pyramid.levels.size());
    const auto extended = [&](PyramidWave wave) {
      lay_out(job, width, height, wave.room);
      lay_out(level, wave.cells);
      level.pixels = job.result;
      ++wave.count;
      return wave;
    };
    bool fits = false;
    if (!pyramid.waves.empty()) {
      const PyramidWave larger = extended(pyramid.waves.back());
      fits = larger.bytes() <= wave_bytes;
      if (fits) pyramid.waves.back() = larger;
    }
    if (!fits)
      pyramid.waves.push_back(extended({.first = level.number, .by_rows = options.mode == Mode::reference}));
    pyramid.jobs.push_back(job);
    pyramid.levels.push_back(level);
  }
  return pyramid;
}

}  // namespace adaface::mtcnn
