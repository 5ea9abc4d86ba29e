#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/parameters.hpp"
#include "graft/adapters/targets.hpp"
#include "graft/core/checked.hpp"
#include "graft/core/error.hpp"
#include "graft/core/mode.hpp"

namespace graft {

/// A layer of a model that need not exist: the shapes of what it would hold.
struct LayerShape {
  enum class Kind { linear, embedding, convolution, other };  ///< no adapter goes on `other`

  std::string name;  ///< path in the model
  Kind kind = Kind::linear;
  std::vector<std::int64_t> weight;  ///< linear [out, in]; embedding [rows, dim]; convolution [out, in, k...]
  bool bias = true;                  ///< as long as the weight's first size
  std::string parameter = "weight";  ///< what the parameter of that shape is called
};

/// The layers of a model, in its order.
using ModelShape = std::vector<LayerShape>;

/// BERT with a classifier of `labels` outputs (0: the bare encoder with its pooler). `config` has the fields of a BERT
/// config.json: vocab_size, hidden_size, num_hidden_layers, intermediate_size, max_position_embeddings,
/// type_vocab_size.
template <class Config>
ModelShape bert_shape(const Config& config, std::int64_t labels);

/// The shape of a module that is there, without its adapters. Made on the meta device, it takes no memory.
ModelShape shape_of(torch::nn::Module& module);

/// Sizes of a GPT-like decoder; the defaults are GPT-3's (Brown et al., arXiv:2005.14165, table 2.1).
struct GptSizes {
  std::int64_t layers = 96;
  std::int64_t width = 12288;
  std::int64_t feed_forward = 4 * 12288;
  std::int64_t vocabulary = 50257;
  std::int64_t positions = 2048;
};

/// A GPT-like decoder with separate query, key, value and output matrices ("h.0.attn.q_proj", "k_proj", "v_proj",
/// "o_proj", "h.0.mlp.up", "down"), and the word embeddings as its output layer too.
ModelShape gpt_shape(const GptSizes& sizes = {});

/// Options of a kind of adapter, whatever the kind: LoraOptions{.rank = 4}.
class PlannedAdapter {
 public:
  template <AdapterOptions Options>
  PlannedAdapter(const Options& options)
      : make_([options](const detail::Attachment::Layers& layers, std::vector<std::string>& faults) {
          std::vector<LayerOptions<Options>> chosen;
          for (const auto& [path, layer] : layers) chosen.push_back({path, layer, options});
          return detail::make_adapters(std::move(chosen), "default", faults);
        }) {}

  /// What attach() would put on the layers, or its faults.
  std::vector<std::shared_ptr<LayerAdapter>> make(const detail::Attachment::Layers& layers,
                                                  std::vector<std::string>& faults) const {
    return make_(layers, faults);
  }

 private:
  std::function<std::vector<std::shared_ptr<LayerAdapter>>(const detail::Attachment::Layers&,
                                                           std::vector<std::string>&)>
      make_;
};

/// How a model is to be trained. Without `adapter` it is trained in full.
struct PlanOptions {
  std::optional<PlannedAdapter> adapter = std::nullopt;
  Targets targets = {};
  std::int64_t weight_bytes = 4;     ///< an element of the frozen weights, and of the whole model when trained in full
  std::int64_t gradient_bytes = 4;   ///< an element of the gradients
  std::int64_t optimizer_bytes = 8;  ///< state for a trained element; AdamW holds two float32
  std::int64_t factor_bytes = 4;     ///< an element of the adapter
};

/// What a training run needs. Bytes are exact for what is named, but for activations and the program; an allocator may
/// round up.
struct Plan {
  ParameterReport parameters;
  TargetReport targets;  ///< empty when trained in full
  std::int64_t weight_bytes = 0;
  std::int64_t gradient_bytes = 0;
  std::int64_t optimizer_bytes = 0;
  std::int64_t activation_bytes = 0;  ///< at a step's peak, beyond what is above; 0 from shapes alone, see plan_step()
  std::int64_t program_bytes = 0;     ///< of the process before there is a model; likewise
  std::int64_t file_bytes = 0;        ///< of the saved weights, with the file's header

  std::int64_t bytes() const {
    return weight_bytes + gradient_bytes + optimizer_bytes + activation_bytes + program_bytes;
  }

  /// One line each: parameters, weights, gradients, optimizer, activations and peak where they are known, saved file.
  std::string summary() const;
};

/// The counts and bytes of a training run, from shapes: the adapters are made on the meta device, where no tensor has
/// values. LibTorch's generator is left as it was.
/// Throws OptionError as attach() would: targets that match nothing, a rank outside a layer's range.
Plan plan(const ModelShape& model, const PlanOptions& options = {});

template <class Config>
ModelShape bert_shape(const Config& config, std::int64_t labels) {
  using Kind = LayerShape::Kind;
  const std::int64_t d = config.hidden_size;
  const std::int64_t ff = config.intermediate_size;
  const std::string at = labels > 0 ? "bert." : "";
  ModelShape model{{at + "embeddings.word_embeddings", Kind::embedding, {config.vocab_size, d}, false},
                   {at + "embeddings.position_embeddings", Kind::embedding, {config.max_position_embeddings, d}, false},
                   {at + "embeddings.token_type_embeddings", Kind::embedding, {config.type_vocab_size, d}, false},
                   {at + "embeddings.LayerNorm", Kind::other, {d}}};
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string layer = message(at, "encoder.layer.", i, ".");
    for (const char* name : {"query", "key", "value"}) {
      model.push_back({layer + "attention.self." + name, Kind::linear, {d, d}});
    }
    model.push_back({layer + "attention.output.dense", Kind::linear, {d, d}});
    model.push_back({layer + "attention.output.LayerNorm", Kind::other, {d}});
    model.push_back({layer + "intermediate.dense", Kind::linear, {ff, d}});
    model.push_back({layer + "output.dense", Kind::linear, {d, ff}});
    model.push_back({layer + "output.LayerNorm", Kind::other, {d}});
  }
  model.push_back({at + "pooler.dense", Kind::linear, {d, d}});
  if (labels > 0) model.push_back({"classifier", Kind::linear, {labels, d}});
  return model;
}

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/adapters/plan-inl.hpp"
#endif
