#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include <torch/types.h>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/head_copies.hpp"
#include "graft/adapters/kinds/lora.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/peft/detail/base_fingerprint.hpp"
#include "graft/adapters/peft/kind.hpp"
#include "graft/io/gguf.hpp"
#include "graft/io/gguf_writer.hpp"
#include "graft/models/detail/gguf_names.hpp"
#include "graft/models/gguf_adapter.hpp"

namespace graft {
namespace detail {

/// One layer of an adapter on its way into a file: the update is alpha / r B A, r the rows of A.
struct GgufAdapterLayer {
  std::string stem;  // "blk.3.attn_q"
  torch::Tensor A, B;
  double alpha = 0;
};

/// Rows of B [out, r] of a layer whose outputs llama's files hold in another order: neighbours are a pair there, in
/// Hugging Face's rows i and i + d / 2 of each head. As they are for any other layer.
GRAFT_INLINE torch::Tensor turned_rows(const torch::Tensor& B, std::string_view stem, const CausalConfig& config,
                                       bool into_file) {
  if (!config.family().gguf_neighbours) return B;
  const bool q = stem.ends_with(".attn_q"), k = stem.ends_with(".attn_k");
  if (!q && !k) return B;
  const std::int64_t heads = q ? config.num_attention_heads : config.num_key_value_heads, half = config.head_dim / 2;
  const torch::Tensor pairs = into_file ? B.view({heads, 2, half, -1}) : B.view({heads, half, 2, -1});
  return pairs.transpose(1, 2).reshape(B.sizes());
}

/// What of the adapter a GGUF file has no room for, by layer; empty if all fits.
GRAFT_INLINE std::string gguf_fault(const Adaptable& layer, const LayerAdapter& adapter, const std::string& stem) {
  if (adapter.kind() != &LowRankAdapter::in_files())
    return message("is of ", adapter.kind() ? adapter.kind()->title() : "a kind that has no form in files");
  if (static_cast<const LowRankAdapter&>(adapter).lora_B_bias.defined()) return "has a bias on B";
  if (!layer.layer_type().is_linear() || stem.empty()) return "is no linear layer of GGUF models";
  return {};
}

GRAFT_INLINE void refuse_for_gguf(const std::string& name, const std::vector<std::string>& faults) {
  if (faults.empty()) return;
  std::string text = message("adapter ", quoted(name),
                             " cannot be a GGUF file, which holds LoRA of linear layers alone; "
                             "merge it into the model instead:");
  for (const std::string& fault : faults) text += "\n  " + fault;
  throw OptionError(text);
}

/// The layers that have the adapter. Throws OptionError for all that would be lost.
GRAFT_INLINE std::vector<GgufAdapterLayer> gguf_adapter_layers(CausalLMImpl& model, const std::string& name,
                                                               BaseFingerprint& base) {
  require_adapter(model, name);
  std::vector<GgufAdapterLayer> layers;
  std::vector<std::string> faults;
  for (const auto& [path, layer] : adaptable_layers(model)) {
    const auto held = layer->adapter(name);
    if (!held) continue;
    const std::string stem = gguf_stem_of(path, model.config().family());
    if (const std::string fault = gguf_fault(*layer, *held, stem); !fault.empty()) {
      faults.push_back(message("layer ", quoted(path), " ", fault));
      continue;
    }
    const auto& adapter = static_cast<const LowRankAdapter&>(*held);
    torch::Tensor A = adapter.lora_A.detach(), B = adapter.lora_B.detach();
    if (adapter.start_A.defined()) {  // s (B A - start_B start_A)
      A = torch::cat({A, adapter.start_A}, 0);
      B = torch::cat({B, -adapter.start_B}, 1);
    }
    base.add(path, layer->base_weight());
    layers.push_back(
        {stem, A, turned_rows(B, stem, model.config(), true), adapter.scale() * static_cast<double>(A.size(0))});
  }
  if (HeadCopies::of(model, name)) faults.push_back("it has modules in full (modules_to_save)");
  const auto factors = factor_tensors(model);
  for (const auto& parameter : model.named_parameters())
    if (parameter->requires_grad() && !factors.count(parameter->unsafeGetTensorImpl()))
      faults.push_back(message("parameter ", quoted(parameter.key()), " of the base is trained"));
  refuse_for_gguf(name, faults);
  return layers;
}

/// The alpha that most layers have and a file can say: 0 would mean something else there.
GRAFT_INLINE float gguf_alpha(const std::vector<GgufAdapterLayer>& layers) {
  std::map<float, std::size_t> counts;
  for (const GgufAdapterLayer& layer : layers)
    if (const auto alpha = static_cast<float>(layer.alpha); alpha > 0) ++counts[alpha];
  const auto most = std::ranges::max_element(counts, {}, [](const auto& count) { return count.second; });
  return most == counts.end() ? 1.0f : most->first;
}

GRAFT_INLINE torch::Tensor gguf_weight(const torch::Tensor& weight, torch::ScalarType type, const std::string& name) {
  const torch::Tensor stored = weight.to(torch::kCPU, type).contiguous();
  if (torch::isfinite(stored).all().item<bool>()) return stored;
  throw StateError(message("tensor ", quoted(name), " has values that are not finite in ",
                           type == torch::kFloat16 ? "F16; choose F32" : "F32; the training has failed"));
}

GRAFT_INLINE std::map<std::string, GgufMetadataValue> gguf_adapter_metadata(const CausalConfig& config, float alpha,
                                                                            const BaseFingerprint& base,
                                                                            const GgufAdapterOptions& options) {
  std::map<std::string, GgufMetadataValue> metadata{{"general.type", std::string("adapter")},
                                                    {"general.architecture", std::string(config.family().gguf)},
                                                    {"adapter.type", std::string("lora")},
                                                    {"adapter.lora.alpha", alpha},
                                                    {base_key, base.text()},
                                                    {rounded_base_key, base.rounded_text()}};
  const auto say = [&](const char* key, const std::string& text) {
    if (!text.empty()) metadata.emplace(key, text);
  };
  say("general.name", options.title);
  say("adapter.lora.task_name", options.task);
  say("adapter.lora.prompt_prefix", options.prompt_prefix);
  for (const auto& [key, text] : options.metadata)
    if (!metadata.emplace(key, text).second)
      throw OptionError(message("key ", quoted(key), " of a GGUF adapter has its own value; name another"));
  return metadata;
}

inline constexpr std::string_view gguf_a = ".lora_a", gguf_b = ".lora_b";

/// The factors in a file by the layer's path, and what is wrong with them.
class GgufAdapterReader {
 public:
  GgufAdapterReader(const GgufFile& file, CausalLMImpl& model) : file_(file), model_(model) {
    const GgufMetadata& data = file.metadata();
    const std::string_view family = model.config().family().gguf;
    if (data.text("general.type", "model") != "adapter") data.fail("general.type", "\"adapter\"; this file is a model");
    if (data.text("general.architecture") != family)
      data.fail("general.architecture", message(quoted(std::string(family)), ", the model's"));
    if (data.text("adapter.type") != "lora") data.fail("adapter.type", "\"lora\"; graft reads no other kind");
    if (data.has("adapter.alora.invocation_tokens"))
      data.fail("adapter.alora.invocation_tokens", "missing: graft has no adapters that begin at a token");
    alpha_ = data.number("adapter.lora.alpha", 0, 1e9);
    for (const GgufTensor& tensor : file.tensors()) sort_in(tensor);
  }

  double alpha() const { return alpha_; }

  /// By the layers' paths. Throws FormatError that lists every fault.
  std::map<std::string, std::shared_ptr<LayerAdapter>> adapters() {
    std::map<std::string, Adaptable*> layers;
    for (const auto& [path, layer] : adaptable_layers(model_)) layers.emplace(path, layer);
    std::map<std::string, std::shared_ptr<LayerAdapter>> all;
    for (const auto& [path, pair] : pairs_) {
      const auto layer = layers.find(path);
      if (layer == layers.end()) {
        fault("the model has no layer ", quoted(path));
      } else {
        all[path] = adapter(path, pair, *layer->second);
      }
    }
    if (pairs_.empty()) fault("it holds no layer's adapter");
    if (faults_.empty()) return all;
    std::string text = message(file_.path().string(), ": this adapter does not fit the model:");
    for (const std::string& one : faults_) text += "\n  " + one;
    throw FormatError(text);
  }

 private:
  struct Pair {
    const GgufTensor* A = nullptr;
    const GgufTensor* B = nullptr;
    std::string stem;
  };

  /// nullptr, and a fault, where what the file has does not fit the layer.
  std::shared_ptr<LayerAdapter> adapter(const std::string& path, const Pair& pair, const Adaptable& layer) {
    const std::string where = "layer " + quoted(path);
    if (!pair.A || !pair.B) return fault(where, " has no ", pair.A ? gguf_b : gguf_a);
    if (!layer.layer_type().is_linear()) return fault(where, " is no linear layer");
    const std::int64_t rank = pair.A->shape.empty() ? 0 : pair.A->shape.front();
    LoraOptions options{.rank = rank, .alpha = alpha_ > 0 ? alpha_ : static_cast<double>(rank)};
    const std::vector<std::string> refused = LowRankAdapter::faults(layer, options, where);
    faults_.insert(faults_.end(), refused.begin(), refused.end());
    if (!refused.empty()) return nullptr;
    const LowRankShape shape = layer.factor_shape(rank);
    if (pair.A->shape != shape.A || pair.B->shape != shape.B)
      return fault(where, " has A ", torch::IntArrayRef(pair.A->shape), " and B ", torch::IntArrayRef(pair.B->shape),
                   ", but takes ", torch::IntArrayRef(shape.A), " and ", torch::IntArrayRef(shape.B));
    const auto like = layer.factor_options();
    const torch::Tensor B = turned_rows(read(*pair.B), pair.stem, model_.config(), false);
    return std::make_shared<LowRankAdapter>(options, read(*pair.A).to(like), B.to(like));
  }

  template <class... Parts>
  std::nullptr_t fault(const Parts&... parts) {
    faults_.push_back(message(parts...));
    return nullptr;
  }

  void sort_in(const GgufTensor& tensor) {
    constexpr std::string_view weight = ".weight";
    std::string_view name = tensor.name;
    const bool a = name.ends_with(gguf_a), b = name.ends_with(gguf_b);
    if (a || b) name.remove_suffix(gguf_a.size());
    const std::string ours = name_of_gguf(name, model_.config().family());
    if ((!a && !b) || !name.ends_with(weight) || ours == name) {
      faults_.push_back(message("tensor ", quoted(tensor.name), " is of no layer of the model"));
      return;
    }
    Pair& pair = pairs_[ours.substr(0, ours.size() - weight.size())];
    pair.stem = name.substr(0, name.size() - weight.size());
    (a ? pair.A : pair.B) = &tensor;
  }

  torch::Tensor read(const GgufTensor& tensor) const {
    torch::Tensor values = torch::empty(tensor.shape, torch::kFloat32);
    file_.read_float32(tensor, {values.mutable_data_ptr<float>(), static_cast<std::size_t>(values.numel())});
    return values;
  }

  const GgufFile& file_;
  CausalLMImpl& model_;
  double alpha_ = 0;
  std::map<std::string, Pair> pairs_;
  std::vector<std::string> faults_;
};

}  // namespace detail

GRAFT_INLINE void save_gguf_adapter(const std::filesystem::path& path, CausalLM model, const std::string& name,
                                    const GgufAdapterOptions& options) {
  if (options.type != GgufType::F32 && options.type != GgufType::F16)
    throw OptionError(message("a GGUF adapter of type ", gguf_type_name(options.type), "; choose F32 or F16"));
  const torch::NoGradGuard no_grad;
  detail::BaseFingerprint base;
  const std::vector<detail::GgufAdapterLayer> layers = detail::gguf_adapter_layers(*model, name, base);
  const float alpha = detail::gguf_alpha(layers);
  const torch::ScalarType type = options.type == GgufType::F16 ? torch::kFloat16 : torch::kFloat32;
  std::vector<torch::Tensor> kept;
  std::vector<GgufTensorBytes> tensors;
  const auto put = [&](const std::string& tensor, const torch::Tensor& weight) {
    kept.push_back(detail::gguf_weight(weight, type, tensor));
    tensors.push_back({tensor, options.type, kept.back().sizes().vec(), detail::bytes_of(kept.back())});
  };
  for (const detail::GgufAdapterLayer& layer : layers) {
    const double share = layer.alpha / static_cast<double>(alpha);
    put(layer.stem + ".weight" + std::string(detail::gguf_a), layer.A);
    put(layer.stem + ".weight" + std::string(detail::gguf_b), share == 1.0 ? layer.B : layer.B * share);
  }
  write_gguf(path, detail::gguf_adapter_metadata(model->config(), alpha, base, options), tensors);
}

GRAFT_INLINE LoadedGgufAdapter load_gguf_adapter(const std::filesystem::path& path, CausalLM model,
                                                 const std::string& name) {
  const GgufFile file(path);
  detail::GgufAdapterReader reader(file, *model);
  const std::map<std::string, std::shared_ptr<LayerAdapter>> read = reader.adapters();
  std::vector<std::string> paths, faults;
  for (const auto& [at, adapter] : read) paths.push_back(at);
  detail::Attachment attachment(*model, paths, {});
  LoadedGgufAdapter loaded;
  detail::BaseFingerprint base;
  std::vector<std::shared_ptr<LayerAdapter>> adapters;
  for (const auto& [at, layer] : attachment.layers()) {
    for (std::string& fault : layer->name_faults(name, "layer " + quoted(at))) faults.push_back(std::move(fault));
    base.add(at, layer->base_weight());
    adapters.push_back(read.at(at));
    loaded.layers.push_back(at);
  }
  attachment.check(std::move(faults));
  std::map<std::string, std::string> recorded;
  const GgufMetadata& data = file.metadata();
  for (const char* key : {detail::base_key, detail::rounded_base_key})
    if (data.has(key)) recorded.emplace(key, data.text(key));
  loaded.other_base = base.fault(recorded, path.string());
  loaded.alpha = reader.alpha();
  loaded.title = data.text("general.name", "");
  loaded.task = data.text("adapter.lora.task_name", "");
  loaded.prompt_prefix = data.text("adapter.lora.prompt_prefix", "");
  attachment.finish(name, adapters);
  return loaded;
}

}  // namespace graft
