#include "tools/convert/convert.h"

#include <cmath>
#include <cstdio>
#include <vector>

#include "src/error.hpp"
#include "tools/convert/checkpoint.h"
#include "tools/convert/network.h"
#include "weights/afw_writer.h"

namespace adaface::checkpoint {
namespace {

class Progress {
 public:
  Progress(const ConvertOptions& options, std::uint64_t total) : report_(options.progress), total_(total) {}
  void add(std::uint64_t bytes) {
    done_ += bytes;
    if (report_) report_(done_, total_);
  }

 private:
  const std::function<void(std::uint64_t, std::uint64_t)>& report_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
};

void hash_file(const ByteSource& source, weights::Sha256Stream& hash, Progress& progress) {
  std::vector<std::byte> piece(std::size_t{1} << 20);
  for (std::uint64_t at = 0; at < source.size();) {
    const std::size_t count =
        static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), source.size() - at));
    source.read_at(at, {piece.data(), count});
    hash.update({piece.data(), count});
    at += count;
    progress.add(count);
  }
}

void check_values(const std::string& source, const NetworkTensor& tensor, std::uint64_t first,
                  std::span<const float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool finite = std::isfinite(values[i]);
    if (finite && !(tensor.row.is_variance && values[i] < 0)) continue;
    char found[64];
    std::snprintf(found, sizeof found, "%g at element %llu", static_cast<double>(values[i]),
                  static_cast<unsigned long long>(first + i));
    throw Error(ErrorCode::corrupt,
                source + " holds " + found +
                    (finite ? ", expected variances of at least 0" : ", expected finite values"));
  }
}

void write_tensors(Checkpoint& checkpoint, const std::vector<NetworkTensor>& tensors,
                   weights::AfwWriter& writer, Progress& progress) {
  for (const NetworkTensor& tensor : tensors) {
    const std::string source = checkpoint.name() + ": tensor \"" + shown(tensor.entry->name) + '"';
    std::uint64_t done = 0;
    checkpoint.read(*tensor.entry, [&](std::span<const float> values) {
      check_values(source, tensor, done, values);
      writer.append(values, source);
      done += values.size();
      progress.add(values.size() * sizeof(float));
    });
  }
}

std::uint64_t bytes_of(const std::vector<NetworkTensor>& tensors) {
  std::uint64_t bytes = 0;
  for (const NetworkTensor& tensor : tensors)
    bytes += weights::element_count(tensor.row.shape) * sizeof(float);
  return bytes;
}

// Running means and variances are measured, not trained.
std::uint64_t parameters_of(const std::vector<NetworkTensor>& tensors) {
  std::uint64_t count = 0;
  for (const NetworkTensor& tensor : tensors)
    if (!tensor.row.is_variance && !tensor.row.source.ends_with("running_mean"))
      count += weights::element_count(tensor.row.shape);
  return count;
}

}  // namespace

Conversion convert_embedder(const std::filesystem::path& checkpoint_path, const std::filesystem::path& output,
                            const ConvertOptions& options) {
  const FileSource source(checkpoint_path);
  const std::unique_ptr<Checkpoint> checkpoint = open_checkpoint(source);
  const Network network = find_network(*checkpoint);
  constexpr const char* kWrongOrder = "the wrong one gives plausible but worse embeddings";
  if (!options.color && !network.color)
    throw Error(
        ErrorCode::invalid_argument,
        source.name() + ": its tensor names " +
            (network.prefix.empty() ? "have no prefix" : "begin with \"" + shown(network.prefix) + '"') +
            ", so they do not tell the colour order; give --color bgr (as the released AdaFace .ckpt "
            "files) or --color rgb (as CVLFace): " +
            kWrongOrder);
  const weights::ColorOrder color = options.color ? *options.color : *network.color;

  Progress progress(options, source.size() + bytes_of(network.tensors));
  weights::AfwWriter writer(output, network.architecture, color, options.storage);
  write_tensors(*checkpoint, network.tensors, writer, progress);
  weights::Sha256Stream hash;
  hash_file(source, hash, progress);
  writer.commit(hash.finish());
  Conversion done;
  done.architecture = network.architecture;
  done.color = color;
  done.color_origin = options.color ? "--color" : network.layout;
  if (!network.published_prefix) done.prefix = network.prefix;
  if (network.color && color != *network.color)
    done.warning = source.name() + ": --color " + std::string(weights::to_string(color)) +
                   " contradicts the " + network.layout + " of its tensor names, which is " +
                   std::string(weights::to_string(*network.color)) + "; " + kWrongOrder;
  done.tensors = network.tensors.size();
  done.parameters = parameters_of(network.tensors);
  return done;
}

Conversion convert_mtcnn(const std::array<std::filesystem::path, 3>& files,
                         const std::filesystem::path& output, const ConvertOptions& options) {
  constexpr std::array<const char*, 3> kNets = {"pnet", "rnet", "onet"};
  std::vector<std::unique_ptr<FileSource>> sources;
  std::vector<std::unique_ptr<Checkpoint>> checkpoints;
  std::vector<std::vector<NetworkTensor>> parts;
  std::uint64_t total = 0;
  Conversion result;
  result.architecture = weights::Architecture::mtcnn;
  result.color = weights::ColorOrder::rgb;
  result.color_origin = "published MTCNN";
  bool is_other = false;  // a file of another part than its place says
  std::string found;
  for (std::size_t i = 0; i < files.size(); ++i) {
    sources.push_back(std::make_unique<FileSource>(files[i]));
    checkpoints.push_back(open_checkpoint(*sources.back()));
    const std::string part = mtcnn_part(*checkpoints.back());
    is_other = is_other || (!part.empty() && part != kNets[i]);
    found +=
        (i == 0 ? "" : ", ") + checkpoints.back()->name() + " is " + (part.empty() ? "none of them" : part);
  }
  if (is_other)
    throw Error(ErrorCode::invalid_argument, found + "; expected pnet, rnet and onet in this order");
  for (std::size_t i = 0; i < files.size(); ++i) {
    parts.push_back(find_mtcnn_part(*checkpoints[i], kNets[i]));
    total += sources[i]->size() + bytes_of(parts.back());
    result.tensors += parts.back().size();
    result.parameters += parameters_of(parts.back());
  }
  Progress progress(options, total);
  weights::AfwWriter writer(output, weights::Architecture::mtcnn, result.color, options.storage);
  weights::Sha256Stream hash;
  for (std::size_t i = 0; i < files.size(); ++i) {
    write_tensors(*checkpoints[i], parts[i], writer, progress);
    hash_file(*sources[i], hash, progress);
  }
  writer.commit(hash.finish());
  return result;
}

}  // namespace adaface::checkpoint
