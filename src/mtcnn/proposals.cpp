#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "src/mtcnn/cascade.h"
#include "src/mtcnn/nets.h"

namespace adaface::mtcnn {
namespace {

constexpr int kOutputs = kernels::kPnetOutputs;
constexpr std::size_t kWavePixels = std::size_t{1} << 26;  // of the levels that are held at once
// What is kept from one picture to the next: a level's pixels, a picture's strips.
constexpr std::size_t kKeptBytes = std::size_t{1} << 24;

// The published softmax runs over the columns of a row: the face logits of one row compete with each other.
// False where no score of the row can pass `threshold`.
bool row_scores(const float* face, int columns, float threshold, std::vector<float>& scores) {
  float peak = -std::numeric_limits<float>::infinity();
  for (int c = 0; c < columns; ++c) peak = std::max(peak, face[c]);
  double sum = 0;
  for (int c = 0; c < columns; ++c) {
    sum += std::exp(static_cast<double>(face[c]) - peak);
    // No term is above 1 and none is negative: every score will be less than half the threshold.
    if (sum * threshold > 2) return false;
  }
  for (int c = 0; c < columns; ++c)
    scores[static_cast<std::size_t>(c)] =
        static_cast<float>(std::exp(static_cast<double>(face[c]) - peak) / sum);
  return true;
}

// P-Net's outputs of rows [first_row, first_row + rows), {rows, kOutputs, pitch}.
void run_rows(Worker& worker, const Pnet& pnet, const Level& level, int first_row, int rows, float least,
              bool face_only, Buffer<float>& dst) {
  const kernels::Kernels& kernels = kernels::select();
  const int pitch = level.columns + kernels::kPnetSlack;
  worker.pnet.resize(kernels::kPnetScratch);
  dst.resize(static_cast<std::size_t>(rows) * kOutputs * static_cast<std::size_t>(pitch));
  // From the left: what a part writes beyond its columns the next one overwrites.
  for (int column = 0; column < level.columns; column += kernels::kPnetMaxColumns)
    kernels.pnet(pnet.weights(),
                 {.pixels = level.pixels.data(),
                  .row_stride = 3 * level.pitch,
                  .plane_stride = level.pitch,
                  .width = level.width,
                  .height = level.height,
                  .first_row = first_row,
                  .rows = rows,
                  .first_column = column,
                  .columns = std::min(kernels::kPnetMaxColumns, level.columns - column),
                  .least = least,
                  .face_only = face_only,
                  .dst = dst.data() + column,
                  .pitch = pitch},
                 worker.pnet.data());
}

Candidate make_candidate(const Level& level, int row, int column, float score, const float* outputs,
                         std::ptrdiff_t pitch) {
  Candidate candidate = mtcnn::make_candidate(level.scale, row, column, score);
  for (std::ptrdiff_t k = 0; k < 4; ++k)
    candidate.offsets[static_cast<std::size_t>(k)] = outputs[(k + 2) * pitch + column];
  return candidate;
}

std::vector<Candidate> band_candidates(Worker& worker, const Pnet& pnet, const Level& level, int first_row,
                                       int rows, const DetectorOptions& options) {
  const float threshold = options.score_thresholds[0], least = least_difference(options);
  const std::ptrdiff_t pitch = level.columns + kernels::kPnetSlack;
  std::vector<Candidate> candidates;
  if (options.mode == Mode::standard) {
    run_rows(worker, pnet, level, first_row, rows, least, false, worker.band);
    for (int row = 0; row < rows; ++row) {
      const float* outputs = worker.band.data() + row * kOutputs * pitch;
      for (int column = 0; column < level.columns; ++column) {
        const float logits[2] = {outputs[column], outputs[pitch + column]};
        if (!(logits[1] - logits[0] > least)) continue;
        const float score = face_probability(logits);
        if (score > threshold)
          candidates.push_back(make_candidate(level, first_row + row, column, score, outputs, pitch));
      }
    }
    return candidates;
  }
  // Few rows have a cell that passes: the rest of their outputs is computed then.
  run_rows(worker, pnet, level, first_row, rows, least, true, worker.band);
  std::vector<float> scores(static_cast<std::size_t>(level.columns));
  for (int row = 0; row < rows; ++row) {
    const float* face = worker.band.data() + (row * kOutputs + 1) * pitch;
    if (!row_scores(face, level.columns, threshold, scores)) continue;
    if (std::ranges::none_of(scores, [&](float score) { return score > threshold; })) continue;
    const int top = row / kernels::kWinogradTile * kernels::kWinogradTile;
    run_rows(worker, pnet, level, first_row + top, std::min(kernels::kWinogradTile, rows - top), least, false,
             worker.rows);
    for (int column = 0; column < level.columns; ++column) {
      const float score = scores[static_cast<std::size_t>(column)];
      if (score > threshold)
        candidates.push_back(make_candidate(level, first_row + row, column, score,
                                            worker.rows.data() + (row - top) * kOutputs * pitch, pitch));
    }
  }
  return candidates;
}

// A strip that is not kept is packed for all planes of all levels at once, which advance together.
void resize_levels(Cascade& cascade, std::span<Level> wave) {
  const PackedStrips& strips = cascade.strips;
  for (Level& level : wave)
    level.pixels.resize(3 * static_cast<std::size_t>(level.pitch) * static_cast<std::size_t>(level.height));
  const auto advance = [&](Level& level, int plane, int i, const std::uint8_t* strip) {
    level.resizer.advance(i, strip + strips.plane(plane), level.resize_bands[plane],
                          level.pixels.data() + plane * level.pitch, 3 * level.pitch);
  };
  const int count = static_cast<int>(wave.size());
  if (strips.kept()) {
    cascade.progress.run(cascade.pool, 3 * count, [&](int task, int worker) {
      Level& level = wave[static_cast<std::size_t>(task / 3)];
      level.resizer.start(level.resize_bands[task % 3]);
      for (int i = 0; i < strips.count(); ++i)
        advance(level, task % 3, i,
                strips.strip(i, cascade.workers[static_cast<std::size_t>(worker)].resize.strip));
    });
    return;
  }
  const int shares = std::min(cascade.pool.threads(), count);
  cascade.progress.run_long(cascade.pool, shares, [&](int share, int worker, const nn::Progress* progress) {
    for (int k = share; k < count; k += shares)
      for (ResizeBand& band : wave[static_cast<std::size_t>(k)].resize_bands)
        wave[static_cast<std::size_t>(k)].resizer.start(band);
    for (int i = 0; i < strips.count(); ++i) {
      if (progress) progress->report(static_cast<double>(i) / strips.count());
      const std::uint8_t* strip =
          strips.strip(i, cascade.workers[static_cast<std::size_t>(worker)].resize.strip);
      for (int k = share; k < count; k += shares)
        for (int plane = 0; plane < 3; ++plane) advance(wave[static_cast<std::size_t>(k)], plane, i, strip);
    }
  });
}

// The stretch of detection's progress from `begin` to `end`.
void run_wave(Cascade& cascade, std::span<Level> wave, double begin, double end) {
  const double resized = begin + (end - begin) / 4;
  cascade.progress.stage(begin, resized);
  resize_levels(cascade, wave);
  cascade.progress.stage(resized, end);
  struct Task {
    Level* level;
    int band;
  };
  std::vector<Task> tasks;
  for (Level& level : wave) {
    level.bands.resize(
        static_cast<std::size_t>((level.rows + kernels::kPnetMaxRows - 1) / kernels::kPnetMaxRows));
    for (int band = 0; band < static_cast<int>(level.bands.size()); ++band) tasks.push_back({&level, band});
  }
  cascade.progress.run(cascade.pool, static_cast<int>(tasks.size()), [&](int i, int worker) {
    const auto [level, band] = tasks[static_cast<std::size_t>(i)];
    const int first_row = band * kernels::kPnetMaxRows;
    level->bands[static_cast<std::size_t>(band)] =
        band_candidates(cascade.workers[static_cast<std::size_t>(worker)], cascade.nets->pnet, *level,
                        first_row, std::min(kernels::kPnetMaxRows, level->rows - first_row), cascade.options);
  });
  for (Level& level : wave)
    if (level.pixels.capacity() > kKeptBytes) level.pixels = {};
}

}  // namespace

std::vector<double> pyramid_scales(int width, int height, const DetectorOptions& options) {
  const double first = kWindow / options.min_face;
  std::vector<double> scales;
  for (double side = std::min(width, height) * first; side > kWindow; side *= options.pyramid_factor)
    scales.push_back(first * std::pow(options.pyramid_factor, static_cast<double>(scales.size())));
  return scales;
}

float least_difference(const DetectorOptions& options) {
  // The probability is then smaller than the threshold by some 1e-4 at least, and float32 errs by 1e-6 at
  // most.
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  if (options.mode == Mode::reference) return kNone;
  const double threshold = std::min<double>(options.score_thresholds[0], 0.99);
  return threshold > 0 ? static_cast<float>(std::log(threshold / (1 - threshold)) - 0.01) : kNone;
}

Candidate make_candidate(double scale, int row, int column, float score) {
  // nearbyint rounds halves to even in the default rounding mode
  const double x = kCellStride * column + 1.0, y = kCellStride * row + 1.0;
  return {std::nearbyint(x / scale),
          std::nearbyint(y / scale),
          std::nearbyint((x + kWindow) / scale),
          std::nearbyint((y + kWindow) / scale),
          score,
          {},
          {}};
}

std::vector<Candidate> propose(Cascade& cascade, const ImageView& image, Trace* trace) {
  const std::vector<double> scales = pyramid_scales(image.width, image.height, cascade.options);
  std::vector<Level>& levels = cascade.levels;
  levels.resize(scales.size());
  cascade.pool.run(static_cast<int>(scales.size()), [&](int i, int) {
    Level& level = levels[static_cast<std::size_t>(i)];
    level.scale = scales[static_cast<std::size_t>(i)];
    level.width = static_cast<int>(std::ceil(image.width * level.scale));
    level.height = static_cast<int>(std::ceil(image.height * level.scale));
    level.rows = pnet_cells(level.height);
    level.columns = pnet_cells(level.width);
    level.pitch = level.width + 2 * kernels::kPnetSlack;
    level.resizer.prepare(image, {0, 0, image.width, image.height}, level.width, level.height);
  });
  double begin = kPacked;
  for (std::size_t first = 0; first < levels.size();) {
    std::size_t last = first, pixels = 0;
    while (last < levels.size()) {
      pixels += static_cast<std::size_t>(levels[last].width) * static_cast<std::size_t>(levels[last].height);
      if (last > first && pixels > kWavePixels) break;
      ++last;
    }
    // Pixels shrink by the square of the factor from level to level.
    const double left = last == levels.size() ? 0
                                              : std::pow(cascade.options.pyramid_factor,
                                                         2.0 * static_cast<double>(last - first));
    const double end = begin + (kProposed - begin) * (1 - left);
    run_wave(cascade, std::span(levels).subspan(first, last - first), begin, end);
    first = last;
    begin = end;
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
