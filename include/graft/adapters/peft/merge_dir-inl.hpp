#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/adapters/peft/detail/base_fingerprint.hpp"
#include "graft/adapters/peft/merge_dir.hpp"
#include "graft/io/peft_names.hpp"
#include "graft/tensor/dtype.hpp"
#include "graft/tensor/state.hpp"

namespace graft {
namespace detail {

/// Where each tensor of an adapter goes in a base.
class DirMerger {
 public:
  DirMerger(const ModelDir& base, const StoredAdapter& adapter)
      : base_(base), adapter_(adapter), layers_(adapter.layers()) {
    find_prefix();
    std::vector<std::string> faults;
    for (StoredLayer& layer : layers_) {
      set_order(layer);
      place(layer, layer.path + ".weight", faults);
      if (layer.bias.defined()) place(layer, layer.path + ".bias", faults);
    }
    for (const auto& [name, tensor] : adapter.others()) {
      const TensorInfo* info = base.find(in_base(name));
      if (!info) {
        added_.emplace_back(name, tensor);
        continue;
      }
      // Only a head may have another shape: one for another number of labels takes the place of the base's.
      if (torch::IntArrayRef(info->shape) != tensor.sizes() && !is_head(name)) {
        faults.push_back(message(quoted(name), " is ", tensor.sizes(), " in the adapter and ",
                                 torch::IntArrayRef(info->shape), " in the base"));
      }
      replaced_.emplace(info->name, tensor);
    }
    part_output(faults);
    if (!faults.empty()) {
      std::string text = message(adapter.path().string(), ": this adapter does not fit the base ", base.path().string(),
                                 "; nothing was written:");
      for (const std::string& fault : faults) text += "\n  " + fault;
      throw FormatError(text);
    }
  }

  MergeDirReport write(const std::filesystem::path& destination, const MergeDirOptions& options) {
    MergeDirReport report;
    report.warnings = warnings_;
    report.warnings.insert(report.warnings.end(), adapter_.warnings().begin(), adapter_.warnings().end());
    if (const std::string fault = other_base(); !fault.empty()) report.warnings.push_back(fault);
    std::vector<TensorInfo> infos;
    for (const TensorInfo& info : base_.tensors()) {
      TensorInfo out = info;
      const auto whole = replaced_.find(info.name);
      if (whole != replaced_.end()) out.shape = whole->second.sizes().vec();
      out.name = out_name(info.name);
      if (whole != replaced_.end()) report.replaced.push_back(out.name);
      if (merged_.count(info.name)) report.merged.push_back(out.name);
      infos.push_back(std::move(out));
    }
    for (const auto& [name, tensor] : added_) {
      infos.push_back({.name = name, .type = element_type(tensor.scalar_type()), .shape = tensor.sizes().vec()});
      report.added.push_back(name);
    }
    torch::Tensor kept;  // alive until the next call, as write_model_dir() asks
    const auto bytes_of = [&](std::size_t i) -> std::span<const std::byte> {
      kept = i < base_.tensors().size() ? content(base_.tensors()[i]) : added_[i - base_.tensors().size()].second;
      return detail::bytes_of(kept);
    };
    write_model_dir(
        destination, config(), infos, bytes_of,
        {.shard_bytes = options.shard_bytes, .files = tokenizer_files(base_.path()), .replace = options.replace});
    return report;
  }

 private:
  /// The leading part that names have on one side only: that under which most of the adapter's layers are found.
  void find_prefix() {
    std::map<std::string, std::size_t> longer_here, longer_there;
    std::size_t equal = 0;
    std::map<std::string, std::string> shortened;  // the base's names without their first part
    for (const TensorInfo& info : base_.tensors()) {
      const std::size_t dot = info.name.find('.');
      if (dot != std::string::npos) shortened.emplace(info.name.substr(dot + 1), info.name.substr(0, dot + 1));
    }
    for (const StoredLayer& layer : adapter_.layers()) {
      const std::string weight = layer.path + ".weight";
      const std::size_t dot = weight.find('.');
      if (base_.find(weight)) {
        ++equal;
      } else if (base_.find(weight.substr(dot + 1))) {
        ++longer_here[weight.substr(0, dot + 1)];
      } else if (const auto found = shortened.find(weight); found != shortened.end()) {
        ++longer_there[found->second];
      }
    }
    for (const auto& [prefix, count] : longer_here) {
      if (count > equal) equal = count, adapters_prefix_ = prefix;
    }
    for (const auto& [prefix, count] : longer_there) {
      if (count > equal) equal = count, bases_prefix_ = prefix, adapters_prefix_.clear();
    }
  }

  /// Whether the base has the layer's weight as [in, out]: by its shape, or, if that is square, by what the layer is.
  /// The config's flag says what somebody thought.
  void set_order(StoredLayer& layer) {
    const TensorInfo* info = base_.find(in_base(layer.path + ".weight"));
    if (layer.kind != StoredLayer::Kind::linear || !info || info->shape.size() != 2) return;
    const auto is_one_of = [](std::string_view name, const auto& names) {
      return std::find(std::begin(names), std::end(names), name) != std::end(names);
    };
    const Json& config = base_.config();
    const bool square = info->shape[0] == info->shape[1];
    const bool in_out =
        square ? config.contains("model_type") && config["model_type"].is_string() &&
                     is_one_of(config["model_type"].get_ref<const std::string&>(), peft_names::conv1d_models) &&
                     is_one_of(layer.path.substr(layer.path.rfind('.') + 1), peft_names::conv1d_layers)
               : info->shape[0] == layer.columns() && info->shape[1] == layer.rows();
    if (in_out != layer.fan_in_fan_out && warnings_.empty()) {
      warnings_.push_back(message(adapter_.path().string(), ": \"fan_in_fan_out\" is ", !in_out ? "true" : "false",
                                  ", but ", quoted(layer.path), " stores its weight ",
                                  in_out ? "[in, out]" : "[out, in]", " in this base; merged as it is stored"));
    }
    layer.fan_in_fan_out = in_out;
  }

  /// Where the output layer shares the embedding's weight and the adapter changes one of them alone, the files get
  /// both.
  void part_output(std::vector<std::string>& faults) {
    const auto is_output = [](const std::string& name) {
      return matches_suffix(name, "lm_head.weight") || matches_suffix(name, "predictions.decoder.weight");
    };
    const auto given = [&](const auto& tensors) {
      return std::any_of(tensors.begin(), tensors.end(), [&](const auto& one) { return is_output(one.first); });
    };
    const TensorInfo* embedding = nullptr;
    for (const TensorInfo& info : base_.tensors()) {
      if (info.shape.size() == 2 && !is_output(info.name) && shares_with_output(info)) embedding = &info;
    }
    const auto changed = embedding ? merged_.find(embedding->name) : merged_.end();
    const bool changes_embedding =
        embedding && (replaced_.count(embedding->name) ||
                      (changed != merged_.end() && changed->second->kind == StoredLayer::Kind::embedding));
    const bool own_output = given(replaced_) || given(added_);
    if (!embedding || !(changes_embedding || own_output)) return;
    if (!writes_lm_head()) {
      faults.push_back(message("the base's output layer shares the weight of ", quoted(embedding->name),
                               ", and this adapter changes one of them alone; use the adapter unmerged"));
      return;
    }
    untied_ = true;
    const bool stored = std::any_of(base_.tensors().begin(), base_.tensors().end(),
                                    [&](const TensorInfo& info) { return is_output(info.name); });
    if (own_output || stored) return;
    torch::Tensor weight = torch::empty(embedding->shape, *find_scalar_type(embedding->type));
    base_.read(*embedding, detail::bytes_of(weight));
    added_.emplace_back("lm_head.weight", weight);
  }

  bool writes_lm_head() const {
    const Json& names = base_.config()["architectures"];
    return std::all_of(names.begin(), names.end(), [](const Json& name) {
      return name.get<std::string>().ends_with("ForCausalLM") || name.get<std::string>().ends_with("LMHeadModel");
    });
  }

  /// Whether `embedding` is also the weight of a language model's output layer.
  bool shares_with_output(const TensorInfo& embedding) const {
    const Json& config = base_.config();
    const auto field = [&](const char* name) { return config.contains(name) ? config[name] : Json(); };
    if (field("vocab_size") != embedding.shape[0] || !field("architectures").is_array()) return false;
    const bool writes =
        std::any_of(config["architectures"].begin(), config["architectures"].end(), [](const Json& name) {
          if (!name.is_string()) return false;
          const auto text = name.get<std::string>();
          return std::any_of(std::begin(with_output), std::end(with_output),
                             [&](std::string_view ending) { return text.ends_with(ending); });
        });
    if (!writes) return false;
    if (field("tie_word_embeddings").is_boolean()) return config["tie_word_embeddings"].get<bool>();
    return std::none_of(base_.tensors().begin(), base_.tensors().end(), [](const TensorInfo& info) {
      return matches_suffix(info.name, "lm_head.weight") || matches_suffix(info.name, "predictions.decoder.weight");
    });
  }
  static constexpr std::string_view with_output[] = {"ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForPreTraining",
                                                     "ForConditionalGeneration"};

  std::string in_base(const std::string& name) const {
    if (!adapters_prefix_.empty() && name.starts_with(adapters_prefix_)) return name.substr(adapters_prefix_.size());
    if (!bases_prefix_.empty() && base_.find(bases_prefix_ + name)) return bases_prefix_ + name;
    return name;
  }

  std::string out_name(const std::string& name) const {
    const bool encoder =
        std::none_of(heads().begin(), heads().end(), [&](const std::string& head) { return within(name, head); });
    return !adapters_prefix_.empty() && !added_.empty() && encoder ? adapters_prefix_ + name : name;
  }

  const std::vector<std::string>& heads() const { return adapter_.config().modules_to_save; }

  bool is_head(const std::string& name) const {
    const std::string module = name.substr(0, name.rfind('.'));
    return std::any_of(heads().begin(), heads().end(), [&](const std::string& head) { return module.ends_with(head); });
  }

  void place(const StoredLayer& layer, const std::string& name, std::vector<std::string>& faults) {
    const TensorInfo* info = base_.find(in_base(name));
    if (!info) {
      faults.push_back(message("the base has no ", quoted(name)));
      return;
    }
    const auto type = find_scalar_type(info->type);
    if (!type || (*type != torch::kFloat64 && *type != torch::kFloat32 && *type != torch::kFloat16 &&
                  *type != torch::kBFloat16)) {
      faults.push_back(message(quoted(info->name), " of the base is ", element_type_name(info->type),
                               "; merge into a base of float64, float32, float16 or bfloat16"));
      return;
    }
    if (name.ends_with(".weight")) {
      try {
        layer.check_fits(info->shape);
      } catch (const FormatError& error) {
        faults.push_back(error.what());
      }
    }
    merged_[info->name] = &layer;
  }

  /// What BaseFingerprint finds amiss.
  std::string other_base() const {
    if (!adapter_.metadata().count(base_key)) return "";
    BaseFingerprint base;
    for (const auto& [name, layer] : merged_) {
      if (!name.ends_with(".weight")) continue;
      const TensorInfo& info = *base_.find(name);
      torch::Tensor weight = torch::empty(info.shape, *find_scalar_type(info.type));
      base_.read(info, detail::bytes_of(weight));
      base.add(layer->path, layer->fan_in_fan_out ? weight.t() : weight);
    }
    return base.fault(adapter_.metadata(), adapter_.path().string());
  }

  torch::Tensor content(const TensorInfo& info) const {
    const auto type = find_scalar_type(info.type);
    torch::Tensor own;
    if (const auto whole = replaced_.find(info.name); whole != replaced_.end()) {
      own = whole->second.to(*type).contiguous();
    } else {
      own = torch::empty({static_cast<std::int64_t>(info.bytes())}, torch::kUInt8);
      base_.read(info, detail::bytes_of(own));
    }
    const auto found = merged_.find(info.name);
    if (found == merged_.end()) return own;
    if (own.scalar_type() != *type) own = own.view(*type).view(info.shape);
    return info.name.ends_with(".bias") ? plus_bias(own, *found->second) : found->second->merged(own);
  }

  static torch::Tensor plus_bias(const torch::Tensor& bias, const StoredLayer& layer) {
    const torch::ScalarType type = sum_type(bias);
    return (bias.to(type) + layer.bias.to(type) * layer.scale).to(bias.scalar_type());
  }

  /// The base's config.json, with the class and the labels that a head of the adapter's makes of it.
  Json config() const {
    Json config = base_.config();
    if (untied_) config["tie_word_embeddings"] = false;
    for (const auto& [name, tensor] : replaced_) {  // after tokens were added
      const TensorInfo& info = *base_.find(name);
      if (tensor.dim() == 2 && config.contains("vocab_size") && config["vocab_size"] == info.shape[0] &&
          tensor.size(0) != info.shape[0] &&
          (name.find("embed") != std::string::npos || matches_suffix(name, "wte.weight"))) {
        config["vocab_size"] = tensor.size(0);
      }
    }
    const auto& task = adapter_.config().task_type;
    static const std::map<std::string, std::string> classes = {{"SEQ_CLS", "ForSequenceClassification"},
                                                               {"TOKEN_CLS", "ForTokenClassification"},
                                                               {"QUESTION_ANS", "ForQuestionAnswering"}};
    if (task && classes.count(*task) && config.contains("architectures") && config["architectures"].is_array() &&
        config["architectures"].size() == 1 && config["architectures"][0].is_string()) {
      std::string name = config["architectures"][0];
      const std::size_t ending = std::min(name.find("For"), name.rfind("Model"));
      if (ending != std::string::npos) config["architectures"][0] = name.substr(0, ending) + classes.at(*task);
    }
    const Json& mapping = adapter_.config().auto_mapping;
    if (!task && mapping.is_object() && mapping.contains("base_model_class") &&
        mapping["base_model_class"].is_string()) {
      config["architectures"] = Json::array({mapping["base_model_class"]});
    }
    if (task && *task != "SEQ_CLS" && *task != "TOKEN_CLS") return config;
    for (const auto& [name, tensor] : adapter_.others()) {
      if (tensor.dim() != 2 || !(matches_suffix(name, "classifier.weight") || matches_suffix(name, "score.weight") ||
                                 matches_suffix(name, "classifier.out_proj.weight"))) {
        continue;
      }
      const auto labels = static_cast<std::size_t>(tensor.size(0));
      std::vector<std::string> names;
      if (const auto found = adapter_.metadata().find("labels"); found != adapter_.metadata().end()) {
        const std::string where = adapter_.path().string();
        const Json listed = {{"labels", parse_json(found->second, where)}};
        names = JsonFields(listed, where).texts("labels");
      }
      if (names.size() != labels) {
        if (config.contains("id2label") ? config["id2label"].size() == labels : labels == 2) continue;
        names.clear();
        for (std::size_t i = 0; i < labels; ++i) names.push_back(message("LABEL_", i));
      }
      config["id2label"] = config["label2id"] = Json::object();
      for (std::size_t i = 0; i < labels; ++i) {
        config["id2label"][std::to_string(i)] = names[i];
        config["label2id"][names[i]] = i;
      }
    }
    return config;
  }

  const ModelDir& base_;
  const StoredAdapter& adapter_;
  std::vector<StoredLayer> layers_;  // the adapter's, for this base
  std::vector<std::string> warnings_;
  bool untied_ = false;
  std::string adapters_prefix_, bases_prefix_;
  std::map<std::string, const StoredLayer*> merged_;  // by the base's names
  std::map<std::string, torch::Tensor> replaced_;     // by the base's names
  std::vector<std::pair<std::string, torch::Tensor>> added_;
};

}  // namespace detail

GRAFT_INLINE MergeDirReport merge_dir(const std::filesystem::path& base, const std::filesystem::path& adapter,
                                      const std::filesystem::path& destination, const MergeDirOptions& options) {
  const ModelDir model(base);
  const StoredAdapter stored(adapter);
  return detail::DirMerger(model, stored).write(destination, options);
}

}  // namespace graft
