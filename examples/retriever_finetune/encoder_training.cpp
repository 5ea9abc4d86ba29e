#include "encoder_training.hpp"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/output.hpp"
#include "graft/rag/embedder.hpp"
#include "graft/training/read_back.hpp"

std::size_t make_trainable(graft::SentenceEncoder& encoder, const FinetuneOptions& options) {
  if (options.method == Method::lora) {
    for (torch::Tensor& parameter : encoder->parameters()) parameter.set_requires_grad(false);
    torch::manual_seed(options.seed);
    graft::attach(encoder->encoder(), options.lora,
                  graft::Targets{.layers = {"all-linear"}, .excluded = {"pooler.dense"}});
  }
  std::size_t numbers = 0;
  for (const torch::Tensor& parameter : encoder->parameters())
    if (parameter.requires_grad()) numbers += static_cast<std::size_t>(parameter.numel());
  return numbers;
}

graft::TrainerOptions trainer_options(const FinetuneOptions& options, double lr, std::size_t epochs,
                                      const std::atomic<bool>& stop) {
  graft::TrainerOptions out;
  out.length = graft::Epochs{static_cast<std::int64_t>(options.epochs.value_or(epochs))};
  out.batch = graft::Sequences{static_cast<std::int64_t>(options.batch)};
  out.sampler = graft::Shuffled{};
  out.lr = options.lr.value_or(lr);
  out.warmup = graft::Share{0.1};
  out.best_by = {.score = "ndcg@10", .higher_is_better = true};
  out.keep_best = true;
  out.patience = static_cast<std::int64_t>(options.patience);
  out.seed = options.seed;
  out.stop = &stop;
  return out;
}

Blend::Blend(graft::SentenceEncoder encoder, Method method) : encoder_(std::move(encoder)), method_(method) {
  if (method_ == Method::full)
    for (const auto& [name, tensor] : weights()) before_.emplace_back(name, tensor.clone());
}

graft::NamedTensors Blend::weights() {
  graft::NamedTensors out;
  if (method_ == Method::lora) {
    for (const auto& [path, layer] : graft::adaptable_layers(encoder_->encoder()))
      if (const auto names = layer->adapters(); !names.empty())
        for (const torch::Tensor& side : layer->adapter(names[0])->output_side()) out.emplace_back(path, side.detach());
  } else {
    for (const auto& parameter : encoder_->named_parameters())
      if (parameter.value().requires_grad()) out.emplace_back(parameter.key(), parameter.value().detach());
  }
  return out;
}

void Blend::trained() {
  for (const auto& [name, tensor] : weights()) after_.emplace_back(name, tensor.clone());
}

void Blend::set(double share) {
  const torch::NoGradGuard no_grad;
  graft::NamedTensors now = weights();
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (share == 1)
      now[i].second.copy_(after_[i].second);
    else if (method_ == Method::lora)
      now[i].second.copy_(after_[i].second * share);
    else
      now[i].second.copy_(torch::lerp(before_[i].second, after_[i].second, share));
  }
}

torch::Tensor embed(graft::SentenceEncoder& encoder, const std::vector<std::string>& texts, const std::string& prompt) {
  const bool was_training = encoder->is_training();
  encoder->eval();
  const torch::Tensor out = encoder->embed(texts, prompt);
  encoder->train(was_training);
  return out;
}

std::string save_encoder(graft::SentenceEncoder& encoder, const FinetuneOptions& options, const std::string& directory,
                         const std::string& data, const std::vector<std::string>& texts) {
  const std::vector<std::string> some(texts.begin(), texts.begin() + std::min<std::ptrdiff_t>(64, texts.size()));
  const torch::Tensor trained = embed(encoder, some, encoder->query_prompt()).to(torch::kDouble);
  const bool is_adapter = options.method == Method::lora && !options.merge;
  if (is_adapter) {
    graft::save_adapter(
        options.out, encoder->encoder(), "default",
        {.base_model = directory, .task_type = "FEATURE_EXTRACTION", .data = data, .replace = options.overwrite});
  } else {
    if (options.method == Method::lora) graft::merge(encoder->encoder());
    encoder->save(options.out, options.overwrite);
  }
  const graft::Embedder saved(is_adapter ? directory : options.out,
                              {.adapter = is_adapter ? options.out : std::string()});
  graft::check_read_back(trained, saved.embed(some, saved.query_prompt()).to(torch::kDouble), options.out);
  return saved.space().model;
}

void check_out_directory(const FinetuneOptions& options, const std::string& directory) {
  graft::check_output_apart(options.out, {options.store, options.pairs, options.held_out_pairs, options.queries,
                                          options.relevant, directory});
  graft::OutputDirectory{options.out, options.overwrite};  // now, not after the training
}

graft::Json json_of(const graft::TrainingResult& result) {
  graft::Json out = {{"steps", result.steps}, {"loss", result.loss}, {"tokens", result.tokens}};
  if (result.best) {
    out["best_epoch"] = result.best->step == 0 ? 0 : result.best->epoch;
    out["held_out_ndcg_at_10"] = result.best->scores.at("ndcg@10");
  }
  return out;
}
