#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "src/mtcnn/cascade.h"
#include "src/mtcnn/nets.h"

namespace adaface::mtcnn {
namespace {

constexpr int kOutputs = 6;                                // logits of no face and face, four offsets
constexpr double kLevelOverlap = 0.5;                      // suppression within a level
constexpr std::size_t kWavePixels = std::size_t{1} << 26;  // of the levels that are held at once

struct Level {
  double scale;
  int width, height;  // of the resized image
  int rows, columns;  // of cells
  std::size_t tile;   // index into kTileCells
  std::vector<std::uint8_t> pixels;
  std::vector<std::vector<Candidate>> bands;  // rows of tiles, from the top

  int tile_cells() const { return kTileCells[tile]; }
  int band_count() const { return (rows + tile_cells() - 1) / tile_cells(); }
};

// The tile size that convolves the fewest pixels.
std::size_t choose_tile(int rows, int columns) {
  auto cost = [&](int cells) {
    const double side = pnet_input_size(cells);
    return std::ceil(static_cast<double>(rows) / cells) * std::ceil(static_cast<double>(columns) / cells) *
           side * side;
  };
  const auto best = std::ranges::min_element(kTileCells, {}, cost);
  return static_cast<std::size_t>(best - kTileCells.begin());
}

// Outputs of one row of tiles: {rows of the band, level.columns, kOutputs}.
void run_band(Worker& worker, const Level& level, int first_row, int rows) {
  const int cells = level.tile_cells(), size = pnet_input_size(cells);
  nn::Session& pnet = *worker.pnet[level.tile];
  worker.band.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(level.columns) * kOutputs);
  const std::ptrdiff_t stride = 3 * static_cast<std::ptrdiff_t>(level.width);
  const int top = kCellStride * first_row, height = std::min(size, level.height - top);
  for (int column = 0; column < level.columns; column += cells) {
    const int left = kCellStride * column, width = std::min(size, level.width - left);
    fill_planes(level.pixels.data() + top * stride + 3 * left, stride, width, height, size, size,
                pnet.input());
    pnet.run(nullptr, height, width);
    const int columns = std::min(cells, level.columns - column);
    for (int row = 0; row < rows; ++row)
      std::copy_n(
          pnet.output() + static_cast<std::ptrdiff_t>(row) * cells * kOutputs, columns * kOutputs,
          worker.band.data() + (static_cast<std::ptrdiff_t>(row) * level.columns + column) * kOutputs);
  }
}

// The published softmax runs over the columns of a row: the face logits of one row compete with each other.
void row_scores(const float* outputs, int columns, std::vector<float>& scores) {
  float peak = -std::numeric_limits<float>::infinity();
  for (int c = 0; c < columns; ++c) peak = std::max(peak, outputs[c * kOutputs + 1]);
  double sum = 0;
  for (int c = 0; c < columns; ++c) sum += std::exp(static_cast<double>(outputs[c * kOutputs + 1]) - peak);
  for (int c = 0; c < columns; ++c)
    scores[static_cast<std::size_t>(c)] =
        static_cast<float>(std::exp(static_cast<double>(outputs[c * kOutputs + 1]) - peak) / sum);
}

std::vector<Candidate> band_candidates(Worker& worker, const Level& level, int band,
                                       const DetectorOptions& options) {
  const int first_row = band * level.tile_cells(),
            rows = std::min(level.tile_cells(), level.rows - first_row);
  run_band(worker, level, first_row, rows);
  std::vector<Candidate> candidates;
  std::vector<float> scores(static_cast<std::size_t>(level.columns));
  for (int row = 0; row < rows; ++row) {
    const float* outputs = worker.band.data() + static_cast<std::ptrdiff_t>(row) * level.columns * kOutputs;
    if (options.mode == Mode::reference) row_scores(outputs, level.columns, scores);
    for (int column = 0; column < level.columns; ++column) {
      const float* cell = outputs + column * kOutputs;
      const float score =
          options.mode == Mode::reference ? scores[static_cast<std::size_t>(column)] : face_probability(cell);
      if (!(score > options.score_thresholds[0])) continue;
      // nearbyint rounds halves to even in the default rounding mode
      const double x = kCellStride * column + 1.0, y = kCellStride * (first_row + row) + 1.0;
      Candidate candidate{std::nearbyint(x / level.scale),
                          std::nearbyint(y / level.scale),
                          std::nearbyint((x + kWindow) / level.scale),
                          std::nearbyint((y + kWindow) / level.scale),
                          score,
                          {},
                          {}};
      std::copy_n(cell + 2, 4, candidate.offsets.begin());
      candidates.push_back(candidate);
    }
  }
  return candidates;
}

void run_wave(Cascade& cascade, const ImageView& image, std::span<Level> wave) {
  cascade.pool.run(static_cast<int>(wave.size()), [&](int i, int worker) {
    Level& level = wave[static_cast<std::size_t>(i)];
    level.pixels.resize(3 * static_cast<std::size_t>(level.width) * static_cast<std::size_t>(level.height));
    cascade.worker(worker).resizer.resize(image, level.width, level.height, level.pixels.data());
  });
  struct Task {
    Level* level;
    int band;
  };
  std::vector<Task> tasks;
  for (Level& level : wave) {
    level.bands.resize(static_cast<std::size_t>(level.band_count()));
    for (int band = 0; band < level.band_count(); ++band) tasks.push_back({&level, band});
  }
  cascade.pool.run(static_cast<int>(tasks.size()), [&](int i, int worker) {
    const auto [level, band] = tasks[static_cast<std::size_t>(i)];
    level->bands[static_cast<std::size_t>(band)] =
        band_candidates(cascade.worker(worker), *level, band, cascade.options);
  });
  for (Level& level : wave) level.pixels = {};
}

}  // namespace

std::vector<double> pyramid_scales(int width, int height, const DetectorOptions& options) {
  const double first = kWindow / options.min_face;
  std::vector<double> scales;
  for (double side = std::min(width, height) * first; side > kWindow; side *= options.pyramid_factor)
    scales.push_back(first * std::pow(options.pyramid_factor, static_cast<double>(scales.size())));
  return scales;
}

std::vector<Candidate> propose(Cascade& cascade, const ImageView& image, Trace* trace) {
  std::vector<Level> levels;
  for (double scale : pyramid_scales(image.width, image.height, cascade.options)) {
    Level level{.scale = scale,
                .width = static_cast<int>(std::ceil(image.width * scale)),
                .height = static_cast<int>(std::ceil(image.height * scale)),
                .rows = 0,
                .columns = 0,
                .tile = 0,
                .pixels = {},
                .bands = {}};
    level.rows = pnet_cells(level.height);
    level.columns = pnet_cells(level.width);
    level.tile = choose_tile(level.rows, level.columns);
    levels.push_back(std::move(level));
  }
  for (std::size_t first = 0; first < levels.size();) {
    std::size_t last = first, pixels = 0;
    while (last < levels.size()) {
      pixels += static_cast<std::size_t>(levels[last].width) * static_cast<std::size_t>(levels[last].height);
      if (last > first && pixels > kWavePixels) break;
      ++last;
    }
    run_wave(cascade, image, std::span(levels).subspan(first, last - first));
    first = last;
  }

  std::vector<Candidate> proposals;
  for (const Level& level : levels) {
    std::vector<Candidate> candidates;
    for (const std::vector<Candidate>& band : level.bands)
      candidates.insert(candidates.end(), band.begin(), band.end());
    candidates = suppress(candidates, kLevelOverlap, Overlap::over_union);
    if (trace) trace->levels.emplace_back(level.scale, static_cast<int>(candidates.size()));
    proposals.insert(proposals.end(), candidates.begin(), candidates.end());
  }
  return proposals;
}

}  // namespace adaface::mtcnn
