#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include <ATen/CPUGeneratorImpl.h>

#include "graft/adapters/peft/kind.hpp"
#include "graft/adapters/plan.hpp"
#include "graft/core/console.hpp"
#include "graft/io/adapter_dir.hpp"

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

/// LibTorch's layers draw their values as they are made; this gives the generator its state back.
class KeepGenerator {
 public:
  KeepGenerator() : generator_(at::detail::getDefaultCPUGenerator()) {
    const std::lock_guard lock(generator_.mutex());
    state_ = generator_.get_state();
  }
  ~KeepGenerator() {
    const std::lock_guard lock(generator_.mutex());
    generator_.set_state(state_);
  }
  KeepGenerator(const KeepGenerator&) = delete;
  KeepGenerator& operator=(const KeepGenerator&) = delete;

 private:
  at::Generator generator_;
  torch::Tensor state_;
};

/// A layer of that shape, without values: the adapters that are made for it have none either.
class ShapedLayer {
 public:
  explicit ShapedLayer(const LayerShape& shape) : shape_(shape) {
    using Kind = LayerShape::Kind;
    if (shape.kind == Kind::embedding) {
      hold<torch::nn::EmbeddingImpl>(torch::nn::EmbeddingOptions(1, 1));
    } else if (shape.kind == Kind::linear) {
      hold<torch::nn::LinearImpl>(torch::nn::LinearOptions(1, 1));
    } else if (shape.weight.size() == 3) {
      hold<torch::nn::Conv1dImpl>(torch::nn::Conv1dOptions(1, 1, 1));
    } else {
      hold<torch::nn::Conv2dImpl>(torch::nn::Conv2dOptions(1, 1, 1));
    }
  }
  Adaptable* adaptable() const { return adaptable_; }

 private:
  template <class Impl, class Options>
  void hold(const Options& options) {
    auto layer = std::make_shared<AdaptableImpl<Impl>>(options);
    layer->weight = torch::empty(shape_.weight, torch::kMeta);
    if constexpr (requires { layer->bias; }) {
      layer->bias = shape_.bias ? torch::empty({shape_.weight[0]}, torch::kMeta) : torch::Tensor();
    }
    adaptable_ = layer.get();
    module_ = layer;
  }

  const LayerShape& shape_;
  std::shared_ptr<torch::nn::Module> module_;
  Adaptable* adaptable_ = nullptr;
};

/// The adapters of a plan, and what a directory would hold of them.
struct PlannedAdapters {
  std::map<std::string, std::shared_ptr<LayerAdapter>> by_layer;
  NamedTensors stored;
};

/// Throws OptionError that lists all faults.
GRAFT_INLINE PlannedAdapters planned_adapters(const ModelShape& model, const PlannedAdapter& adapter,
                                              const std::vector<std::string>& targets) {
  const KeepGenerator keep;
  const torch::NoGradGuard no_grad;
  std::vector<std::unique_ptr<ShapedLayer>> shaped;
  Attachment::Layers layers;
  for (const LayerShape& layer : model) {
    if (std::find(targets.begin(), targets.end(), layer.name) == targets.end()) continue;
    if (!takes_adapter(layer)) continue;
    elements_of(layer);  // throws for sizes that are none
    shaped.push_back(std::make_unique<ShapedLayer>(layer));
    layers.emplace_back(layer.name, shaped.back()->adaptable());
  }
  std::vector<std::string> faults;
  const auto adapters = adapter.make(layers, faults);
  if (!faults.empty()) throw OptionError(joined(faults, "; "));
  PlannedAdapters planned;
  AdapterWriter writer;
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    planned.by_layer[layers[i].first] = adapters[i];
    writer.layers.push_back({layers[i].first, layers[i].second, adapters[i].get()});
  }
  if (!adapters.empty() && adapters.front()->kind()) adapters.front()->kind()->write(writer);
  planned.stored = std::move(writer.tensors);
  return planned;
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
  detail::PlannedAdapters adapters;
  if (options.adapter) {
    result.targets = match(options.targets, candidates);
    adapters = detail::planned_adapters(model, *options.adapter, result.targets.layers);
  }

  detail::FileSize file;
  const auto stored_name = [&](const std::string& name) { return options.adapter ? adapter_tensor_name(name) : name; };
  for (const auto& [name, tensor] : adapters.stored) {
    file.add(stored_name(name), tensor.sizes().vec(), options.factor_bytes);
  }
  std::int64_t factors = 0, starts = 0;  // what is trained of the adapters, and what is kept beside it
  for (const LayerShape& layer : model) {
    const std::int64_t elements = detail::elements_of(layer);
    const bool head = std::any_of(result.targets.heads.begin(), result.targets.heads.end(),
                                  [&](const std::string& name) { return detail::within(layer.name, name); });
    ParameterCount count;
    if (!options.adapter || head) {
      count.trained = count.stored = elements;
      file.add(stored_name(layer.name + "." + layer.parameter), layer.weight, options.weight_bytes);
      if (layer.bias) file.add(stored_name(layer.name + ".bias"), {layer.weight[0]}, options.weight_bytes);
    } else {
      count.frozen = elements;
    }
    const auto adapter = adapters.by_layer.find(layer.name);
    if (adapter != adapters.by_layer.end() && detail::takes_adapter(layer)) {
      std::int64_t own = 0, start = 0;
      for (const torch::Tensor& parameter : adapter->second->parameters()) own += parameter.numel();
      for (const torch::Tensor& buffer : adapter->second->buffers()) start += buffer.numel();
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
  result.file_bytes = file.bytes(options.adapter ? R"({"format":"pt","graft.base":"0123456789abcdef",)"
                                                   R"("graft.base.bfloat16":"0123456789abcdef"})"
                                                 : R"({"format":"pt"})");
  return result;
}

GRAFT_INLINE std::string Plan::summary() const {
  const ParameterCount& all = parameters.all;
  std::ostringstream out;
  out << "parameters  " << grouped_digits(all.total()) << ", trained " << grouped_digits(all.trained) << " ("
      << std::fixed << std::setprecision(4) << 100.0 * all.share() << " %)\n"
      << "weights     " << detail::human_bytes(weight_bytes) << '\n'
      << "gradients   " << detail::human_bytes(gradient_bytes) << '\n'
      << "optimizer   " << detail::human_bytes(optimizer_bytes) << '\n';
  if (activation_bytes > 0) {
    out << "activations " << detail::human_bytes(activation_bytes) << '\n'
        << "peak        " << detail::human_bytes(bytes()) << '\n';
  }
  out << "saved file  " << detail::human_bytes(file_bytes) << '\n';
  return out.str();
}

}  // namespace graft
