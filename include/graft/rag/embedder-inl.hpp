#pragma once

#include <algorithm>
#include <numeric>
#include <utility>

#include "graft/core/file.hpp"
#include "graft/io/model_dir.hpp"
#include "graft/rag/detail/fingerprint.hpp"
#include "graft/rag/detail/sentence_config.hpp"
#include "graft/rag/detail/sentence_encoder.hpp"
#include "graft/rag/detail/sentence_layers.hpp"
#include "graft/rag/embedder.hpp"

namespace graft {

namespace detail {

/// What a directory holds beside the tokenizer.
struct SentenceModel {
  SentenceConfig config;
  SentenceEncoder encoder = {};
  std::vector<SentenceLayer> layers = {};
};

/// Most tokens of a text: as stated, else what tokenizer and position table allow.
GRAFT_INLINE std::size_t max_tokens_of(const SentenceConfig& config, const SentenceEncoder& encoder) {
  const auto table = static_cast<std::size_t>(encoder.max_tokens());
  if (config.max_tokens && *config.max_tokens > table)
    throw FormatError(message(config.encoder.native(), ": \"max_seq_length\" is ", *config.max_tokens,
                              ", but the encoder has positions for ", table, " tokens; lower it"));
  return config.max_tokens.value_or(std::min(table, config.tokenizer_max_tokens.value_or(table)));
}

/// Throws FormatError if texts shall be lower-cased and the tokenizer keeps case.
GRAFT_INLINE void check_lower_case(const SentenceConfig& config, const Tokenizer& tokenizer) {
  constexpr std::string_view upper = "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z";
  std::string lower(upper);
  for (char& c : lower) c = c == ' ' ? ' ' : static_cast<char>(c - 'A' + 'a');
  if (config.lower_case && tokenizer.encode(upper).ids != tokenizer.encode(lower).ids)
    throw FormatError(message(config.encoder.native(), ": \"do_lower_case\" of sentence_bert_config.json is true, but ",
                              "the tokenizer keeps case; set its normalizer to lower case"));
}

/// All of a directory that changes the vectors of documents.
GRAFT_INLINE std::string fingerprint_of(const SentenceConfig& config, const ModelDir& directory,
                                        const SentenceEncoder& encoder, std::span<const SentenceLayer> layers,
                                        std::size_t max_tokens, const std::string& document_prompt) {
  Fingerprint print;
  print.add("encoder", encoder.settings());
  print.add("use", message(max_tokens, " ", config.pool_prompt, " ", config.truncated_width.value_or(0)));
  print.add("prompt", document_prompt);
  for (const PoolingMode mode : config.pooling) print.add("pooling", pooling_names[static_cast<std::size_t>(mode)]);
  for (const auto* name : {"tokenizer.json", "vocab.txt"}) {
    const std::filesystem::path path = config.encoder / name;
    if (!std::filesystem::exists(path)) continue;
    print.add(name, read_file(path, 256 << 20));
    break;
  }
  std::vector<std::byte> bytes;
  for (const TensorInfo& tensor : directory.tensors()) {
    bytes.resize(tensor.bytes());
    directory.read(tensor, bytes);
    print.add_large(message(tensor.name, " ", element_type_name(tensor.type)), bytes);
  }
  for (const SentenceLayer& layer : layers) {
    print.add("layer", layer.text());
    for (const auto& [name, tensor] : layer.tensors())
      print.add_large(name, {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()});
  }
  return message(encoder.family(), "-", print.text());
}

}  // namespace detail

GRAFT_INLINE Embedder::Embedder(const std::filesystem::path& directory, const EmbedderOptions& options)
    : options_(options),
      model_(std::make_shared<detail::SentenceModel>(
          detail::SentenceModel{.config = detail::SentenceConfig::read(directory)})),
      tokenizer_(Tokenizer::load(model_->config.encoder)) {
  auto& [config, encoder, layers] = *model_;
  if (options.batch_tokens < 1) throw OptionError("batch_tokens is less than 1; a batch needs tokens, such as 4096");
  detail::check_lower_case(config, tokenizer_);
  const ModelDir files(config.encoder);
  encoder = detail::SentenceEncoder(files);
  if (tokenizer_.id_limit() > encoder.vocab_size())
    throw FormatError(message(config.encoder.native(), ": the tokenizer has ids up to ", tokenizer_.id_limit() - 1,
                              ", the encoder ", encoder.vocab_size(), " word vectors; the two are not of one model"));
  max_tokens_ = options.max_tokens.value_or(detail::max_tokens_of(config, encoder));
  if (static_cast<std::int64_t>(max_tokens_) > encoder.max_tokens())
    throw OptionError(message("max_tokens is ", max_tokens_, "; this encoder takes ", encoder.max_tokens()));
  passage_tokens();
  prompt_tokens(query_prompt());

  if (config.pooled_width.value_or(encoder.hidden_size()) != encoder.hidden_size())
    throw FormatError(message(directory.native(), ": the Pooling is for vectors of ", *config.pooled_width,
                              " numbers, the encoder's have ", encoder.hidden_size()));
  width_ = encoder.hidden_size() * static_cast<std::int64_t>(config.pooling.size());
  for (const auto& layer : config.layers) {
    layers.emplace_back(layer, width_, options.device, options.dtype);
    width_ = layers.back().width();
  }
  width_ = std::min(width_, config.truncated_width.value_or(width_));

  encoder.load(files, {.dtype = options.dtype, .device = options.device});
  space_ = {detail::fingerprint_of(config, files, encoder, layers, max_tokens_, document_prompt()), width_,
            config.metric};
}

GRAFT_INLINE const std::map<std::string, std::string>& Embedder::prompts() const { return model_->config.prompts; }

GRAFT_INLINE std::string Embedder::query_prompt() const {
  const auto found = prompts().find("query");
  return found == prompts().end() ? "" : found->second;
}

GRAFT_INLINE std::string Embedder::document_prompt() const {
  for (const auto* name : {"document", "passage", "corpus"})
    if (const auto found = prompts().find(name); found != prompts().end()) return found->second;
  return "";
}

/// With the special tokens before it, which stand in front of a text's tokens too; without the one behind.
GRAFT_INLINE std::size_t Embedder::prompt_tokens(std::string_view prompt) const {
  const std::size_t special = tokenizer_.special_tokens_added();
  if (prompt.empty()) {
    if (max_tokens_ <= special)
      throw OptionError(message("max_tokens is ", max_tokens_, ", but each text has ", special, " special tokens"));
    return 0;
  }
  const Encoding encoding = tokenizer_.encode(prompt);
  if (encoding.size() >= max_tokens_)
    throw OptionError(message("the prompt ", quoted(prompt), " has ", encoding.size(), " tokens of the ", max_tokens_,
                              " that a text may have with it; shorten it"));
  return encoding.size() - (special > 0 && encoding.special_mask.back() ? 1 : 0);
}

GRAFT_INLINE std::size_t Embedder::passage_tokens() const {
  const std::string prompt = document_prompt();
  prompt_tokens(prompt);
  return max_tokens_ - (prompt.empty() ? tokenizer_.special_tokens_added() : tokenizer_.encode(prompt).size());
}

GRAFT_INLINE LengthFunction Embedder::length() const {
  return [tokenizer = tokenizer_](std::string_view text) {
    return tokenizer.encode(text, {.add_special_tokens = false}).size();
  };
}

GRAFT_INLINE std::vector<std::vector<std::int32_t>> Embedder::encode(std::span<const std::string> texts,
                                                                     std::string_view prompt) const {
  std::vector<Encoding> encodings;
  const EncodeOptions options{.max_length = max_tokens_};
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

GRAFT_INLINE torch::Tensor Embedder::forward(std::span<const std::vector<std::int32_t>> ids,
                                             std::int64_t prompt_tokens) const {
  const PackedBatch batch = pack(ids).to(options_.device);
  const auto& [config, encoder, layers] = *model_;
  torch::Tensor vectors = detail::pooled_by(config.pooling, encoder.hidden(batch), batch.offsets, batch.positions,
                                            config.pool_prompt ? 0 : prompt_tokens);
  for (const detail::SentenceLayer& layer : layers) vectors = layer.forward(vectors);
  return vectors.slice(1, 0, width_).to(torch::kCPU, torch::kFloat32);
}

GRAFT_INLINE torch::Tensor Embedder::embed(std::span<const std::string> texts, std::string_view prompt) const {
  const torch::NoGradGuard no_grad;
  const auto skipped = static_cast<std::int64_t>(prompt_tokens(prompt));
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
      while (end < sorted.size() && tokens + static_cast<std::int64_t>(sorted[end].size()) <= options_.batch_tokens);
      const torch::Tensor rows = torch::tensor(std::vector<std::int64_t>(order.begin() + begin, order.begin() + end));
      out.index_copy_(0, rows + static_cast<std::int64_t>(first),
                      forward(std::span(sorted).subspan(begin, end - begin), skipped));
      if (options_.progress) options_.progress(static_cast<std::int64_t>(end - begin), tokens);
    }
  }
  return out;
}

GRAFT_INLINE std::vector<float> Embedder::documents(std::span<const std::string> texts) const {
  const torch::Tensor vectors = embed(texts, document_prompt());
  const auto* data = vectors.const_data_ptr<float>();
  return {data, data + vectors.numel()};
}

GRAFT_INLINE std::vector<float> Embedder::query(const std::string& text) const {
  const torch::Tensor vector = embed({&text, 1}, query_prompt());
  const auto* data = vector.const_data_ptr<float>();
  return {data, data + vector.numel()};
}

GRAFT_INLINE PassageModel Embedder::passage_model() const {
  return {space_, [this](std::span<const std::string> texts) { return documents(texts); }};
}

}  // namespace graft
