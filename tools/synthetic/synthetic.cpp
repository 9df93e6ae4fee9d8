#include "tools/synthetic/synthetic.h"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tools/synthetic/values.h"
#include "tools/synthetic/zip_writer.h"

namespace adaface::synthetic {
namespace {

constexpr std::int64_t kBatchesTracked = 1000;
constexpr std::uint32_t kHeadClasses = 16;

struct Tensor {
  std::string name;  // in the state dict
  std::vector<std::uint32_t> shape;
  bool int64 = false;
  // Fills elements first, first + 1, ...; of int64 tensors, the one value is kBatchesTracked.
  std::function<void(std::uint64_t first, std::span<float> dst)> fill;

  std::uint64_t count() const {
    std::uint64_t product = 1;
    for (const std::uint32_t size : shape) product *= size;
    return product;
  }
};

// The table's tensors, a num_batches_tracked after every variance, and the head of the training run.
std::vector<Tensor> checkpoint_tensors(weights::Architecture architecture, std::uint64_t seed) {
  std::vector<Tensor> tensors;
  for (const weights::TensorRow& row : weights::tensor_table(architecture)) {
    tensors.push_back(
        {"model." + row.source, row.shape, false, [seed, row](std::uint64_t first, std::span<float> dst) {
           fill_values(seed, row.source, row.shape, first, dst);
         }});
    constexpr std::string_view kVariance = "running_var";
    if (!row.is_variance) continue;
    const std::string module = row.source.substr(0, row.source.size() - kVariance.size());
    tensors.push_back({"model." + module + "num_batches_tracked", {}, true, {}});
  }
  tensors.push_back(
      {"head.kernel", {512, kHeadClasses}, false, [seed](std::uint64_t first, std::span<float> dst) {
         fill_uniform(seed, "head.kernel", first, dst);
       }});
  for (const char* buffer : {"head.t", "head.batch_mean", "head.batch_std"})
    tensors.push_back(
        {buffer, {1}, false, [](std::uint64_t, std::span<float> dst) { std::ranges::fill(dst, 20.0f); }});
  return tensors;
}

// Protocol 2, with the opcodes that torch.save's pickles are made of.
class PickleWriter {
 public:
  PickleWriter() : out_("\x80\x02") {}
  void op(char opcode) { out_ += opcode; }
  void text(std::string_view value) {
    op('X');
    number(value.size(), 4);
    out_ += value;
  }
  void integer(std::uint64_t value) {
    if (value < 0x80000000u) {
      op('J');
      number(value, 4);
    } else {  // nine bytes: the sign bit stays clear
      out_ += "\x8a\x09";
      number(value, 8);
      out_ += '\0';
    }
  }
  void global(std::string_view module, std::string_view name) {
    op('c');
    out_.append(module).append("\n").append(name).append("\n");
  }
  template <class Numbers>
  void tuple(const Numbers& numbers) {
    op('(');
    for (const std::uint64_t value : numbers) integer(value);
    op('t');
  }
  void empty_ordered_dict() {
    global("collections", "OrderedDict");
    op(')');
    op('R');
  }
  void tensor(const Tensor& tensor, std::size_t storage) {
    global("torch._utils", "_rebuild_tensor_v2");
    op('(');
    op('(');
    text("storage");
    global("torch", tensor.int64 ? "LongStorage" : "FloatStorage");
    text(std::to_string(storage));
    text("cpu");
    integer(tensor.count());
    op('t');
    op('Q');
    integer(0);
    tuple(tensor.shape);
    std::vector<std::uint64_t> strides(tensor.shape.size());
    std::uint64_t step = 1;
    for (std::size_t axis = strides.size(); axis-- > 0; step *= tensor.shape[axis]) strides[axis] = step;
    tuple(strides);
    op('\x89');
    empty_ordered_dict();
    op('t');
    op('R');
  }
  const std::string& finish() {
    op('.');
    return out_;
  }

 private:
  void number(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out_ += static_cast<char>(value >> (8 * i) & 0xFF);
  }

  std::string out_;
};

std::string pickle_of(const std::vector<Tensor>& tensors) {
  PickleWriter pickle;
  pickle.op('}');
  pickle.op('(');
  pickle.text("epoch");
  pickle.integer(25);
  pickle.text("global_step");
  pickle.integer(1000);
  pickle.text("pytorch-lightning_version");
  pickle.text("1.8.6");
  pickle.text("state_dict");
  pickle.empty_ordered_dict();
  pickle.op('(');
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    pickle.text(tensors[i].name);
    pickle.tensor(tensors[i], i);
  }
  pickle.op('u');
  pickle.text("hparams_name");
  pickle.text("kwargs");
  pickle.op('u');
  return pickle.finish();
}

}  // namespace

void write_checkpoint(weights::Architecture architecture, std::uint64_t seed,
                      const std::filesystem::path& path) {
  const std::vector<Tensor> tensors = checkpoint_tensors(architecture, seed);
  io::AtomicFile file(path);
  ZipWriter zip(file);
  auto write_text = [&](const std::string& name, const std::string& text) {
    zip.begin(name, text.size());
    zip.append(std::as_bytes(std::span(text)));
  };
  write_text("archive/data.pkl", pickle_of(tensors));
  std::vector<float> piece(256 * 1024);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& tensor = tensors[i];
    const std::string name = "archive/data/" + std::to_string(i);
    if (tensor.int64) {
      zip.begin(name, sizeof kBatchesTracked);
      zip.append(std::as_bytes(std::span(&kBatchesTracked, 1)));
      continue;
    }
    zip.begin(name, tensor.count() * sizeof(float));
    for (std::uint64_t done = 0; done < tensor.count();) {
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), tensor.count() - done));
      tensor.fill(done, {piece.data(), count});
      zip.append(std::as_bytes(std::span(piece.data(), count)));
      done += count;
    }
  }
  write_text("archive/version", "3\n");
  zip.finish();
  file.commit();
}

}  // namespace adaface::synthetic
