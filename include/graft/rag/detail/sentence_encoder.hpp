#pragma once

#include <string>
#include <utility>
#include <variant>

#include "graft/io/model_dir.hpp"
#include "graft/models/bert.hpp"
#include "graft/models/load.hpp"
#include "graft/models/mpnet.hpp"

namespace graft::detail {

/// The encoder of a sentence-transformers directory, of whichever family. Its sizes are known before its weights.
class SentenceEncoder {
 public:
  SentenceEncoder() = default;

  /// Reads config.json. Throws FormatError as the family's from_json() does.
  explicit SentenceEncoder(const ModelDir& directory) {
    if (directory.config_fields().text("model_type") == "mpnet") {
      config_ = load_config<MpnetModel>(directory);
      model_ = MpnetModel(nullptr);
    } else {
      config_ = load_config<BertModel>(directory);
    }
  }

  std::int64_t vocab_size() const { return field(&BertConfig::vocab_size, &MpnetConfig::vocab_size); }
  std::int64_t hidden_size() const { return field(&BertConfig::hidden_size, &MpnetConfig::hidden_size); }
  std::int64_t max_tokens() const {
    return std::visit([](const auto& config) { return config.max_tokens(); }, config_);
  }
  std::string family() const {
    return std::visit([](const auto& config) { return std::string(config.base_name()); }, config_);
  }

  /// What beside weights changes the hidden states.
  std::string settings() const {
    const auto* bert = std::get_if<BertConfig>(&config_);
    const std::int64_t padding = bert == nullptr ? MpnetConfig::padding : bert->pad_token_id.value_or(-1);
    return std::visit(
        [&](const auto& config) {
          return message(config.base_name(), " ", config.num_attention_heads, " ", config.hidden_act, " ",
                         config.layer_norm_eps, " ", padding);
        },
        config_);
  }

  /// Reads the weights, which are not to be trained. Throws as load_pretrained() does.
  void load(const ModelDir& directory, const PretrainedOptions& options) {
    std::visit(
        [&]<class Model>(Model& model) {
          using Config = typename Model::ContainedType::Config;
          model = load_pretrained<Model>(directory, std::get<Config>(config_), options).model;
          for (torch::Tensor& parameter : model->parameters()) parameter.set_requires_grad(false);
        },
        model_);
  }

  /// [T, D]
  torch::Tensor hidden(const PackedBatch& batch) const {
    return std::visit([&](auto model) { return model->hidden(batch); }, model_);
  }

 private:
  std::int64_t field(std::int64_t BertConfig::*bert, std::int64_t MpnetConfig::*mpnet) const {
    const auto* config = std::get_if<BertConfig>(&config_);
    return config != nullptr ? config->*bert : std::get<MpnetConfig>(config_).*mpnet;
  }

  std::variant<BertConfig, MpnetConfig> config_;
  std::variant<BertModel, MpnetModel> model_{BertModel(nullptr)};
};

}  // namespace graft::detail
