#pragma once

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>
#include <variant>

#include <nlohmann/json.hpp>

#include "graft/core/file.hpp"
#include "graft/core/output.hpp"
#include "graft/io/model_dir.hpp"
#include "graft/models/bert.hpp"
#include "graft/models/detail/digest.hpp"
#include "graft/models/detail/sentence_config.hpp"
#include "graft/models/detail/sentence_layers.hpp"
#include "graft/models/detail/text_limits.hpp"
#include "graft/models/load.hpp"
#include "graft/models/mpnet.hpp"
#include "graft/models/sentence_encoder.hpp"

namespace graft {

struct SentenceEncoderImpl::Parts {
  detail::SentenceConfig config;
  std::variant<BertConfig, MpnetConfig> sizes = {};
  std::variant<BertModel, MpnetModel> encoder{BertModel(nullptr)};
  std::set<std::string> lacking = {};  // weights that the files do not have
  std::vector<detail::SentenceLayer> layers = {};

  template <class Use>
  auto with_sizes(const Use& use) const {
    return std::visit(use, sizes);
  }

  /// What beside weights changes the hidden states.
  std::string settings() const {
    const auto* bert = std::get_if<BertConfig>(&sizes);
    const std::int64_t padding = bert == nullptr ? MpnetConfig::padding : bert->pad_token_id.value_or(-1);
    return with_sizes([&](const auto& of) {
      return message(of.base_name(), " ", of.num_attention_heads, " ", of.hidden_act, " ", of.layer_norm_eps, " ",
                     padding);
    });
  }
};

GRAFT_INLINE SentenceEncoderImpl::SentenceEncoderImpl(const std::filesystem::path& directory,
                                                      const SentenceEncoderOptions& options)
    : directory_(directory),
      parts_(std::make_unique<Parts>(Parts{.config = detail::SentenceConfig::read(directory)})),
      tokenizer_(Tokenizer::load(parts_->config.encoder)) {
  const detail::SentenceConfig& config = parts_->config;
  auto& sizes = parts_->sizes;
  auto& encoder = parts_->encoder;
  auto& lacking = parts_->lacking;
  auto& layers = parts_->layers;
  const ModelDir files(config.encoder);
  if (files.config_fields().text("model_type") == "mpnet") {
    sizes = load_config<MpnetModel>(files);
    encoder = MpnetModel(nullptr);
  } else {
    sizes = load_config<BertModel>(files);
  }
  const std::int64_t words = parts_->with_sizes([](const auto& of) { return of.vocab_size; });
  detail::check_tokenizer(config.encoder, tokenizer_, words, config.lower_case);
  const std::int64_t most = parts_->with_sizes([](const auto& of) { return of.max_tokens(); });
  max_tokens_ = options.max_tokens ? *options.max_tokens
                                   : detail::text_limit(config.encoder, config.max_tokens, config.tokenizer_max_tokens,
                                                        static_cast<std::size_t>(most));
  if (static_cast<std::int64_t>(max_tokens_) > most)
    throw OptionError(message("max_tokens is ", max_tokens_, "; this encoder takes ", most));
  for (const std::string& prompt : {document_prompt(), query_prompt()}) check_room(prompt, max_tokens_);

  const std::int64_t hidden = parts_->with_sizes([](const auto& of) { return of.hidden_size; });
  if (config.pooled_width.value_or(hidden) != hidden)
    throw FormatError(message(directory.native(), ": the Pooling is for vectors of ", *config.pooled_width,
                              " numbers, the encoder's have ", hidden));
  width_ = hidden * static_cast<std::int64_t>(config.pooling.size());
  for (const auto& layer : config.layers) {
    layers.emplace_back(layer, width_);
    width_ = layers.back()->width();
  }
  width_ = std::min(width_, config.truncated_width.value_or(width_));
  fingerprint_ = digest(config.encoder);

  std::visit(
      [&]<class Model>(Model& model) {
        using Config = typename Model::ContainedType::Config;
        auto loaded =
            load_pretrained<Model>(files, std::get<Config>(sizes), {.dtype = options.dtype, .device = options.device});
        model = register_module("encoder", loaded.model);
        lacking.insert(loaded.report.lacking.begin(), loaded.report.lacking.end());
        for (const auto& parameter : model->named_parameters())
          if (parameter.key().starts_with("pooler.")) parameter.value().set_requires_grad(false);
      },
      encoder);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i]->to(options.device, options.dtype);
    register_module(message("layer_", i), layers[i]);
  }
  eval();
}

GRAFT_INLINE SentenceEncoderImpl::~SentenceEncoderImpl() = default;

GRAFT_INLINE std::string SentenceEncoderImpl::digest(const std::filesystem::path& directory) const {
  const auto& config = parts_->config;
  detail::Digest digest;
  digest.add("encoder", parts_->settings());
  digest.add("use", message(max_tokens_, " ", config.pool_prompt, " ", config.truncated_width.value_or(0)));
  digest.add("prompt", document_prompt());
  for (const detail::PoolingMode mode : config.pooling)
    digest.add("pooling", detail::pooling_names[static_cast<std::size_t>(mode)]);
  for (const auto* name : {"tokenizer.json", "vocab.txt"}) {
    if (!std::filesystem::exists(directory / name)) continue;
    digest.add(name, read_file(directory / name, 256 << 20));
    break;
  }
  const ModelDir files(directory);
  std::vector<std::byte> bytes;
  for (const TensorInfo& tensor : files.tensors()) {
    bytes.resize(tensor.bytes());
    files.read(tensor, bytes);
    digest.add_large(message(tensor.name, " ", element_type_name(tensor.type)), bytes);
  }
  for (const detail::SentenceLayer& layer : parts_->layers) {
    digest.add("layer", layer->text());
    for (const auto& [name, tensor] : named_tensors(*layer)) digest.add_large(name, detail::bytes_of(tensor));
  }
  return message(parts_->with_sizes([](const auto& of) { return std::string(of.base_name()); }), "-", digest.text());
}

GRAFT_INLINE EncoderModel& SentenceEncoderImpl::encoder() {
  return std::visit([](auto& model) -> EncoderModel& { return *model; }, parts_->encoder);
}

GRAFT_INLINE Metric SentenceEncoderImpl::metric() const { return parts_->config.metric; }

GRAFT_INLINE const std::map<std::string, std::string>& SentenceEncoderImpl::prompts() const {
  return parts_->config.prompts;
}

GRAFT_INLINE std::string SentenceEncoderImpl::query_prompt() const {
  const auto found = prompts().find("query");
  return found == prompts().end() ? "" : found->second;
}

GRAFT_INLINE std::string SentenceEncoderImpl::document_prompt() const {
  for (const auto* name : {"document", "passage", "corpus"})
    if (const auto found = prompts().find(name); found != prompts().end()) return found->second;
  return "";
}

GRAFT_INLINE void SentenceEncoderImpl::check_room(std::string_view prompt, std::size_t max_tokens) const {
  const std::size_t special = tokenizer_.special_tokens_added();
  const std::size_t taken = prompt.empty() ? special : tokenizer_.encode(prompt).size();
  if (taken < max_tokens) return;
  if (prompt.empty())
    throw OptionError(message("max_tokens is ", max_tokens, ", but each text has ", special, " special tokens"));
  throw OptionError(message("the prompt ", quoted(prompt), " has ", taken, " tokens of the ", max_tokens,
                            " that a text may have with it; shorten it"));
}

GRAFT_INLINE std::int64_t SentenceEncoderImpl::prompt_tokens(std::string_view prompt) const {
  if (prompt.empty()) return 0;
  const Encoding encoding = tokenizer_.encode(prompt);
  const bool has_end = tokenizer_.special_tokens_added() > 0 && encoding.special_mask.back();
  return static_cast<std::int64_t>(encoding.size() - (has_end ? 1 : 0));
}

GRAFT_INLINE std::vector<std::vector<std::int32_t>> SentenceEncoderImpl::encode(std::span<const std::string> texts,
                                                                                std::string_view prompt,
                                                                                std::size_t max_tokens) const {
  const EncodeOptions options{.max_length = std::min(max_tokens, max_tokens_)};
  check_room(prompt, *options.max_length);
  std::vector<Encoding> encodings;
  if (prompt.empty()) {
    encodings = tokenizer_.encode_batch(texts, options);
  } else {
    std::vector<std::string> prompted;
    for (const std::string& text : texts) prompted.push_back(std::string(prompt) + text);
    encodings = tokenizer_.encode_batch(prompted, options);
  }
  std::vector<std::vector<std::int32_t>> ids;
  for (Encoding& encoding : encodings) ids.push_back(std::move(encoding.ids));
  return ids;
}

GRAFT_INLINE torch::Tensor SentenceEncoderImpl::forward(const PackedBatch& batch, std::int64_t prompt_tokens) {
  const auto& config = parts_->config;
  torch::Tensor vectors = detail::pooled_by(config.pooling, encoder().hidden(batch), batch.offsets, batch.positions,
                                            config.pool_prompt ? 0 : prompt_tokens);
  for (detail::SentenceLayer& layer : parts_->layers) vectors = layer(vectors);
  return vectors.slice(1, 0, width_);
}

GRAFT_INLINE torch::Tensor SentenceEncoderImpl::embed(
    std::span<const std::string> texts, std::string_view prompt, std::int64_t batch_tokens,
    const std::function<void(std::int64_t texts, std::int64_t tokens)>& progress) {
  const torch::NoGradGuard no_grad;
  check_room(prompt, max_tokens_);
  const std::int64_t skipped = prompt_tokens(prompt);
  const torch::Device device = encoder().words()->weight.device();
  torch::Tensor out = torch::empty({static_cast<std::int64_t>(texts.size()), width_});
  // Token ids of so many texts are in memory at a time.
  constexpr std::size_t at_a_time = 4096;
  for (std::size_t first = 0; first < texts.size(); first += at_a_time) {
    std::vector<std::vector<std::int32_t>> ids =
        encode(texts.subspan(first, std::min(at_a_time, texts.size() - first)), prompt);
    std::vector<std::int64_t> order(ids.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return ids[a].size() > ids[b].size(); });
    std::vector<std::vector<std::int32_t>> sorted;
    for (const std::int64_t i : order) sorted.push_back(std::move(ids[i]));

    for (std::size_t begin = 0, end = 0; begin < sorted.size(); begin = end) {
      std::int64_t tokens = 0;
      do tokens += static_cast<std::int64_t>(sorted[end++].size());
      while (end < sorted.size() && tokens + static_cast<std::int64_t>(sorted[end].size()) <= batch_tokens);
      const torch::Tensor rows = torch::tensor(std::vector<std::int64_t>(order.begin() + begin, order.begin() + end));
      out.index_copy_(0, rows + static_cast<std::int64_t>(first),
                      forward(pack(std::span(sorted).subspan(begin, end - begin)).to(device), skipped)
                          .to(torch::kCPU, torch::kFloat32));
      if (progress) progress(static_cast<std::int64_t>(end - begin), tokens);
    }
  }
  return out;
}

GRAFT_INLINE void SentenceEncoderImpl::save(const std::filesystem::path& directory, bool replace) const {
  const auto& config = parts_->config;
  OutputDirectory out(directory, replace);
  const auto place = [&](const std::filesystem::path& from) {
    const std::filesystem::path to = out.path() / from.lexically_relative(directory_);
    std::filesystem::create_directories(to);
    return to;
  };
  const auto copy = [&](const std::filesystem::path& file) {
    if (!path_exists(file)) return;
    place(file.parent_path());
    detail::copy_files({file}, place(file.parent_path()));
  };
  for (const auto* name : {"modules.json", "config_sentence_transformers.json"}) copy(directory_ / name);
  for (const std::filesystem::path& file : config.files) copy(file);
  for (const std::filesystem::path& file : tokenizer_files(config.encoder)) copy(file);

  const std::filesystem::path encoder = place(config.encoder);
  std::visit(
      [&](const auto& model) {
        NamedTensors tensors = detail::tensors_to_save(*model);
        std::erase_if(tensors, [&](const auto& tensor) { return parts_->lacking.contains(tensor.first); });
        for (auto& [name, tensor] : tensors) tensor = tensor.detach().to(torch::kCPU, torch::kFloat32).contiguous();
        const Json json = model->config().to_json(model->class_name(), "float32");
        write_file(encoder / "config.json", json.dump(2) + "\n");
        save_tensors(encoder / "model.safetensors", tensors);
      },
      parts_->encoder);
  for (const detail::SentenceLayer& layer : parts_->layers) {
    NamedTensors tensors = named_tensors(*layer);
    for (auto& [name, tensor] : tensors) tensor = tensor.detach().to(torch::kCPU, torch::kFloat32).contiguous();
    if (!tensors.empty()) save_tensors(place(layer->directory()) / "model.safetensors", tensors);
  }
  out.commit();
}

}  // namespace graft
