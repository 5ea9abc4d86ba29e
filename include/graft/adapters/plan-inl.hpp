#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "graft/adapters/plan.hpp"
#include "graft/core/console.hpp"

namespace graft {
namespace detail {

/// Names, shapes and element size of what is written, to measure a safetensors file that is not there.
class FileSize {
 public:
  void add(const std::string& name, const std::vector<std::int64_t>& shape, std::int64_t element_bytes) {
    std::int64_t elements = 1;
    for (const std::int64_t size : shape) elements = checked_mul(elements, size, name);
    tensors_.push_back({name, shape, checked_mul(elements, element_bytes, name), element_bytes});
  }

  /// `metadata` is the file's, as JSON.
  std::int64_t bytes(std::string_view metadata) {
    // The reference writer's order: larger elements first, then by name. Offsets have more digits the later they come.
    std::sort(tensors_.begin(), tensors_.end(), [](const Entry& a, const Entry& b) {
      return a.element_bytes != b.element_bytes ? a.element_bytes > b.element_bytes : a.name < b.name;
    });
    std::int64_t data = 0;
    std::size_t header = std::string_view(R"({"__metadata__":})").size() + metadata.size();
    for (const Entry& entry : tensors_) {
      std::string shape;
      for (const std::int64_t size : entry.shape) {
        if (!shape.empty()) shape += ',';
        shape += std::to_string(size);
      }
      header += message(",\"", entry.name, R"(":{"dtype":"F32","shape":[)", shape, R"(],"data_offsets":[)", data, ",",
                        data + entry.bytes, "]}")
                    .size();
      data = checked_add(data, entry.bytes, "the saved file");
    }
    header = (header + 7) / 8 * 8;
    return checked_add(data, static_cast<std::int64_t>(8 + header), "the saved file");
  }

 private:
  struct Entry {
    std::string name;
    std::vector<std::int64_t> shape;
    std::int64_t bytes;
    std::int64_t element_bytes;
  };
  std::vector<Entry> tensors_;
};

GRAFT_INLINE std::int64_t elements_of(const LayerShape& layer) {
  std::int64_t elements = 1;
  for (const std::int64_t size : layer.weight) {
    if (size < 1)
      throw OptionError(message("layer ", quoted(layer.name), " has a size of ", size, "; sizes start at 1"));
    elements = checked_mul(elements, size, layer.name);
  }
  return elements + (layer.bias ? layer.weight.front() : 0);
}

GRAFT_INLINE bool takes_adapter(const LayerShape& layer) { return layer.kind != LayerShape::Kind::other; }

/// What A reads and what B writes: A has rank x in elements, B out x rank.
GRAFT_INLINE std::pair<std::int64_t, std::int64_t> in_and_out(const LayerShape& layer) {
  std::int64_t rest = 1;
  for (std::size_t i = 1; i < layer.weight.size(); ++i) rest *= layer.weight[i];
  return layer.kind == LayerShape::Kind::embedding ? std::pair(layer.weight[0], rest)
                                                   : std::pair(rest, layer.weight[0]);
}

/// 1670.6 MiB and the like.
GRAFT_INLINE std::string human_bytes(std::int64_t bytes) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024.0 && unit < 4) {
    value /= 1024.0;
    ++unit;
  }
  std::ostringstream out;
  out << std::fixed << std::setprecision(unit == 0 ? 0 : 1) << value << ' ' << units[unit];
  return out.str();
}

}  // namespace detail

GRAFT_INLINE ModelShape shape_of(torch::nn::Module& module) {
  using Kind = LayerShape::Kind;
  const auto factors = detail::factor_tensors(module);
  std::set<const c10::TensorImpl*> seen;
  ModelShape model;
  for (const auto& child : module.named_modules("", /*include_self=*/false)) {
    const auto* layer = child.value().get();
    auto own = child.value()->named_parameters(/*recurse=*/false);
    const auto fresh = [&](const torch::Tensor& tensor) {
      return factors.count(tensor.unsafeGetTensorImpl()) == 0 && seen.insert(tensor.unsafeGetTensorImpl()).second;
    };
    const torch::Tensor* weight = own.find("weight");
    if (weight && fresh(*weight)) {
      const bool linear = dynamic_cast<const torch::nn::LinearImpl*>(layer) != nullptr;
      const bool table = dynamic_cast<const torch::nn::EmbeddingImpl*>(layer) != nullptr;
      const bool convolution = dynamic_cast<const torch::nn::Conv1dImpl*>(layer) != nullptr ||
                               dynamic_cast<const torch::nn::Conv2dImpl*>(layer) != nullptr;
      const torch::Tensor* bias = own.find("bias");
      model.push_back({child.key(),
                       linear        ? Kind::linear
                       : table       ? Kind::embedding
                       : convolution ? Kind::convolution
                                     : Kind::other,
                       weight->sizes().vec(), bias && fresh(*bias)});
    }
    for (const auto& parameter : own) {
      if (parameter.key() == "weight" || !fresh(parameter.value())) continue;
      model.push_back({child.key(), Kind::other, parameter.value().sizes().vec(), false, parameter.key()});
    }
  }
  return model;
}

GRAFT_INLINE ModelShape gpt_shape(const GptSizes& sizes) {
  using Kind = LayerShape::Kind;
  const std::int64_t d = sizes.width;
  ModelShape model{{"wte", Kind::embedding, {sizes.vocabulary, d}, false},
                   {"wpe", Kind::embedding, {sizes.positions, d}, false}};
  for (std::int64_t i = 0; i < sizes.layers; ++i) {
    const std::string layer = message("h.", i, ".");
    model.push_back({layer + "ln_1", Kind::other, {d}});
    for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      model.push_back({layer + "attn." + name, Kind::linear, {d, d}});
    }
    model.push_back({layer + "ln_2", Kind::other, {d}});
    model.push_back({layer + "mlp.up", Kind::linear, {sizes.feed_forward, d}});
    model.push_back({layer + "mlp.down", Kind::linear, {d, sizes.feed_forward}});
  }
  model.push_back({"ln_f", Kind::other, {d}});
  return model;
}

GRAFT_INLINE Plan plan(const ModelShape& model, const PlanOptions& options) {
  Plan result;
  std::vector<TargetCandidate> candidates;
  for (const LayerShape& layer : model) {
    candidates.push_back({layer.name, detail::takes_adapter(layer), layer.kind == LayerShape::Kind::linear});
  }
  std::map<std::string, const LayerShape*> adapted;
  if (options.lora) {
    result.targets = match(options.targets, candidates);
    const std::int64_t rank = options.lora->rank;
    std::string faults;
    for (const std::string& name : result.targets.layers) {
      const auto layer = std::find_if(model.begin(), model.end(), [&](const auto& l) { return l.name == name; });
      const auto [in, out] = detail::in_and_out(*layer);
      if (rank < 1 || rank > std::min(in, out)) {
        faults += message(faults.empty() ? "" : "; ", "rank is ", rank, " for layer ", quoted(name), " ",
                          torch::IntArrayRef(layer->weight), "; choose 1 to ", std::min(in, out));
      }
      if (options.lora->bias && layer->kind == LayerShape::Kind::embedding) {
        faults += message(faults.empty() ? "" : "; ", "B of ", quoted(name), ", an embedding, takes no bias");
      }
      adapted.emplace(name, &*layer);
    }
    if (!faults.empty()) throw OptionError(faults);
  }

  detail::FileSize file;
  const std::string prefix = options.lora ? "base_model.model." : "";
  std::int64_t factors = 0, starts = 0;
  for (const LayerShape& layer : model) {
    const std::int64_t elements = detail::elements_of(layer);
    const bool head = std::any_of(result.targets.heads.begin(), result.targets.heads.end(),
                                  [&](const std::string& name) { return detail::within(layer.name, name); });
    ParameterCount count;
    if (!options.lora || head) {
      count.trained = count.stored = elements;
      file.add(prefix + layer.name + "." + layer.parameter, layer.weight, options.weight_bytes);
      if (layer.bias) file.add(prefix + layer.name + ".bias", {layer.weight[0]}, options.weight_bytes);
    } else {
      count.frozen = elements;
    }
    if (adapted.count(layer.name)) {
      const std::int64_t rank = options.lora->rank;
      const bool table = layer.kind == LayerShape::Kind::embedding;
      const auto [in, out] = detail::in_and_out(layer);
      const std::int64_t stored_rank = starts_at_weight(options.lora->start) ? 2 * rank : rank;
      std::vector<std::int64_t> A{stored_rank, in};
      std::vector<std::int64_t> B{out, stored_rank};
      std::vector<std::int64_t> magnitude{out};
      if (layer.kind == LayerShape::Kind::convolution) {
        A = layer.weight;
        A[0] = stored_rank;
        B.resize(layer.weight.size(), 1);
        magnitude.assign(layer.weight.size(), 1);
        magnitude[1] = out;
      }
      file.add(prefix + layer.name + (table ? ".lora_embedding_A" : ".lora_A.weight"), A, options.factor_bytes);
      file.add(prefix + layer.name + (table ? ".lora_embedding_B" : ".lora_B.weight"), B, options.factor_bytes);
      std::int64_t own = rank * (in + out);
      if (options.lora->bias) {
        file.add(prefix + layer.name + ".lora_B.bias", {out}, options.factor_bytes);
        own += out;
      }
      if (options.dora) {
        file.add(prefix + layer.name + ".lora_magnitude_vector", magnitude, options.factor_bytes);
        own += out;
      }
      const std::int64_t start = (stored_rank - rank) * (in + out);  // kept beside what is trained, and stored with it
      count.trained += own;
      count.stored += own + start;
      factors += own;
      starts += start;
    }
    result.parameters.layers.emplace_back(layer.name, count);
    result.parameters.all.trained = checked_add(result.parameters.all.trained, count.trained, "trained parameters");
    result.parameters.all.frozen = checked_add(result.parameters.all.frozen, count.frozen, "frozen parameters");
    result.parameters.all.stored += count.stored;
  }
  const ParameterCount& all = result.parameters.all;
  result.weight_bytes = checked_mul(all.total() - factors, options.weight_bytes, "bytes of weights") +
                        (factors + starts) * options.factor_bytes;
  result.gradient_bytes = checked_mul(all.trained, options.gradient_bytes, "bytes of gradients");
  result.optimizer_bytes = checked_mul(all.trained, options.optimizer_bytes, "bytes of optimizer state");
  result.file_bytes =
      file.bytes(options.lora ? R"({"format":"pt","graft.base":"0123456789abcdef"})" : R"({"format":"pt"})");
  return result;
}

GRAFT_INLINE std::string Plan::summary() const {
  const ParameterCount& all = parameters.all;
  std::ostringstream out;
  out << "parameters  " << grouped_digits(all.total()) << ", trained " << grouped_digits(all.trained) << " ("
      << std::fixed << std::setprecision(4) << 100.0 * all.share() << " %)\n"
      << "weights     " << detail::human_bytes(weight_bytes) << '\n'
      << "gradients   " << detail::human_bytes(gradient_bytes) << '\n'
      << "optimizer   " << detail::human_bytes(optimizer_bytes) << '\n'
      << "saved file  " << detail::human_bytes(file_bytes) << '\n';
  return out.str();
}

}  // namespace graft
