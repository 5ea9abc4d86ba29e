#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>

#include <torch/nn/module.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "graft/adapters/adaptable.hpp"
#include "graft/io/model_dir.hpp"
#include "graft/models/detail/text_limits.hpp"
#include "graft/models/heads.hpp"
#include "graft/models/load.hpp"
#include "graft/models/mpnet_heads.hpp"
#include "graft/models/save.hpp"
#include "graft/rag/cross_encoder_model.hpp"
#include "graft/rag/detail/cross_encoder_config.hpp"

namespace graft {

namespace detail {

/// The model and what is beside it in its directory.
struct CrossEncoderParts {
  CrossEncoderConfig config;
  CrossEncoderModelOptions options;
  Tokenizer tokenizer;
  std::size_t max_tokens = 0;
  std::variant<BertForSequenceClassification, MpnetForSequenceClassification> model{
      BertForSequenceClassification(nullptr)};
  std::vector<std::string> drawn = {};

  double slope = 1, intercept = 0;        // what rescale() has made of the logits
  std::int64_t positions = 0, words = 0;  // of the model's tables
  bool has_segments = false;              // whether the model is told which text of the pair a token is of
};

/// Throws FormatError for another number of outputs than one.
template <class Config>
void check_one_output(const Config& config, const std::string& where) {
  config.require_labels();
  if (config.num_labels() == 1) return;
  throw FormatError(message(where, ": \"id2label\" names ", config.num_labels(),
                            " outputs, but a cross-encoder has one, the score; this is a classifier of another kind"));
}

template <class Model>
void load_scorer(const ModelDir& files, CrossEncoderParts& parts) {
  auto config = load_config<Model>(files);
  const std::string where = (files.path() / "config.json").string();
  if (parts.config.gives_scores) check_one_output(config, where);
  config.labels = {"LABEL_0"};
  config.labels_fault.clear();
  parts.positions = config.max_tokens();
  parts.words = config.vocab_size;
  auto [model, report] =
      load_pretrained<Model>(files, config, {.dtype = parts.options.dtype, .device = parts.options.device});
  parts.model = model;
  parts.drawn = report.lacking;
  if (parts.config.gives_scores && !parts.drawn.empty())
    throw FormatError(message(files.path().string(), ": has no ", quoted(parts.drawn.front()),
                              ", which a cross-encoder needs; copy the files again, or train one from an encoder"));
}

/// A layer of the head of which the score comes.
GRAFT_INLINE Linear last_layer(torch::nn::Module& module) {
  const auto named = module.named_modules();
  for (const char* name : {"classifier.out_proj", "classifier"})
    if (const auto* found = named.find(name))
      if (auto layer = std::dynamic_pointer_cast<Linear::ContainedType>(*found)) return Linear(layer);
  throw StateError("the cross-encoder has no layer \"classifier\"");
}

GRAFT_INLINE std::string limited_tokenizer_config(const std::filesystem::path& directory, std::size_t max_tokens) {
  const std::filesystem::path path = directory / "tokenizer_config.json";
  Json json = std::filesystem::exists(path) ? read_json(path) : Json::object();
  json["model_max_length"] = max_tokens;
  return json_text(json);
}

/// What config.json says of graft's own doing; `json` has what the directory said that was read.
GRAFT_INLINE void write_notes(const CrossEncoderParts& parts, Json& json) {
  Json notes = json.value("graft", Json::object());
  if (parts.slope != 1 || parts.intercept != 0)
    notes["rescaled"] = {{"slope", parts.slope}, {"intercept", parts.intercept}};
  const RerankWeights& weights = parts.config.rerank_weights;
  notes.erase("rerank_weights");
  if (!weights.alone())
    notes["rerank_weights"] = {{"reranker", weights.reranker}, {"vector", weights.vector}, {"word", weights.word}};
  json.erase("graft");
  if (!notes.empty()) json["graft"] = std::move(notes);
}

}  // namespace detail

GRAFT_INLINE CrossEncoderModel::CrossEncoderModel(const std::filesystem::path& directory,
                                                  const CrossEncoderModelOptions& options) {
  const detail::CrossEncoderConfig config = detail::CrossEncoderConfig::read(directory);
  if (!config.gives_scores && !options.new_head)
    throw FormatError(message((config.transformer / "config.json").string(),
                              ": is the config.json of an encoder without a head that gives scores; name a "
                              "...ForSequenceClassification directory, or train one from this with: retriever_finetune "
                              "rerank"));
  parts_ = std::make_shared<detail::CrossEncoderParts>(detail::CrossEncoderParts{
      .config = config, .options = options, .tokenizer = Tokenizer::load(config.transformer)});
  detail::CrossEncoderParts& parts = *parts_;
  const ModelDir files(config.transformer);
  if (config.family == "mpnet")
    detail::load_scorer<MpnetForSequenceClassification>(files, parts);
  else
    detail::load_scorer<BertForSequenceClassification>(files, parts);
  parts.has_segments = config.family == "bert";
  detail::check_tokenizer(config.transformer, parts.tokenizer, parts.words, config.lower_case);
  const auto table = static_cast<std::size_t>(parts.positions);
  const std::size_t limit =
      detail::text_limit(config.transformer, config.max_tokens, config.tokenizer_max_tokens, table);
  parts.max_tokens = options.max_tokens.value_or(limit);
  const std::size_t special = parts.tokenizer.special_tokens_added(/*pair=*/true);
  if (parts.max_tokens > table)
    throw OptionError(message("max_tokens is ", parts.max_tokens, "; this encoder takes ", table));
  if (parts.max_tokens < special + 2)
    throw OptionError(message("max_tokens is ", parts.max_tokens, ", but a pair has ", special,
                              " special tokens and needs room for both texts; choose ", special + 2, " or more"));
}

GRAFT_INLINE torch::nn::Module& CrossEncoderModel::module() const {
  return std::visit([](auto& model) -> torch::nn::Module& { return *model; }, parts_->model);
}

GRAFT_INLINE torch::Tensor CrossEncoderModel::logits(const PackedBatch& batch) const {
  PackedBatch on_device = batch.to(parts_->options.device);
  // As transformers has it, whose tokenizers give RoBERTa no segments.
  if (!parts_->has_segments) on_device.type_ids = torch::zeros_like(on_device.type_ids);
  return std::visit([&](auto& model) { return model->forward(on_device); }, parts_->model).squeeze(1);
}

GRAFT_INLINE torch::Tensor CrossEncoderModel::scores(const torch::Tensor& logits) const {
  switch (parts_->config.activation) {
    case detail::ScoreActivation::sigmoid:
      return torch::sigmoid(logits);
    case detail::ScoreActivation::tanh:
      return torch::tanh(logits);
    case detail::ScoreActivation::identity:
      return logits;
  }
  throw OptionError("an activation is none of the enumerators");
}

GRAFT_INLINE double CrossEncoderModel::logit(double score) const {
  if (parts_->config.activation == detail::ScoreActivation::identity) return score;
  const double share = parts_->config.activation == detail::ScoreActivation::sigmoid ? score : (score + 1) / 2;
  const double odds = share <= 0   ? -std::numeric_limits<double>::infinity()
                      : share >= 1 ? std::numeric_limits<double>::infinity()
                                   : std::log(share) - std::log1p(-share);
  return parts_->config.activation == detail::ScoreActivation::sigmoid ? odds : odds / 2;
}

GRAFT_INLINE std::string CrossEncoderModel::activation() const {
  return std::string(detail::score_activation_names[static_cast<std::size_t>(parts_->config.activation)]);
}
GRAFT_INLINE const Tokenizer& CrossEncoderModel::tokenizer() const { return parts_->tokenizer; }
GRAFT_INLINE const std::string& CrossEncoderModel::prompt() const { return parts_->config.prompt; }
GRAFT_INLINE std::size_t CrossEncoderModel::max_tokens() const { return parts_->max_tokens; }
GRAFT_INLINE const std::vector<std::string>& CrossEncoderModel::drawn() const { return parts_->drawn; }
GRAFT_INLINE torch::Device CrossEncoderModel::device() const { return parts_->options.device; }

GRAFT_INLINE void CrossEncoderModel::rescale(double slope, double intercept) {
  if (!(slope > 0) || !std::isfinite(slope) || !std::isfinite(intercept))
    throw OptionError(message("scores would be rescaled by ", slope, " and ", intercept,
                              "; the first must be above 0, so that their order stays, and both finite"));
  const Linear layer = detail::last_layer(module());
  if (!layer->active().empty() && !layer->merged())
    throw StateError("an adapter is active on the layer that gives the score; merge it before its scores are rescaled");
  const torch::NoGradGuard no_grad;
  layer->weight.mul_(slope);
  layer->bias.mul_(slope).add_(intercept);
  parts_->intercept = slope * parts_->intercept + intercept;
  parts_->slope *= slope;
  if (!rerank_weights().alone()) parts_->config.rerank_weights.reranker /= slope;
}

GRAFT_INLINE const RerankWeights& CrossEncoderModel::rerank_weights() const { return parts_->config.rerank_weights; }
GRAFT_INLINE void CrossEncoderModel::set_rerank_weights(const RerankWeights& weights) {
  check_rerank_weights(weights);
  parts_->config.rerank_weights = weights;
}

GRAFT_INLINE void CrossEncoderModel::save(const std::filesystem::path& directory, bool replace) const {
  const std::filesystem::path& from = parts_->config.transformer;
  std::visit(
      [&](const auto& model) {
        const auto config = [&](const std::string& dtype) {
          Json json = model->config().to_json(model->class_name(), dtype);
          json["sentence_transformers"] = {{"activation_fn", activation()}};
          json.erase("sbert_ce_default_activation_function");
          detail::write_notes(*parts_, json);
          return json;
        };
        detail::save_weights(
            directory, *model, model->config().weight_names(), config,
            {.tokenizer_from = from,
             .texts = {{"tokenizer_config.json", detail::limited_tokenizer_config(from, max_tokens())}},
             .replace = replace});
      },
      parts_->model);
}

}  // namespace graft
