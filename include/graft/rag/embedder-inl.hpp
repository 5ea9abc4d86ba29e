#pragma once

#include <utility>

#include "graft/adapters/attach.hpp"
#include "graft/adapters/peft/save.hpp"
#include "graft/core/file.hpp"
#include "graft/models/detail/digest.hpp"
#include "graft/models/sentence_encoder.hpp"
#include "graft/rag/embedder.hpp"

namespace graft {

namespace detail {

/// Merges an adapter into an encoder's weights. Returns what tells it from others.
GRAFT_INLINE std::string merge_adapter(const std::filesystem::path& directory, EncoderModel& encoder) {
  load_adapter(directory, encoder);
  merge(encoder);
  Digest digest;
  for (const auto* name : {"adapter_config.json", "adapter_model.safetensors"}) {
    const std::string content = read_file(directory / name, std::uint64_t{8} << 30);
    digest.add_large(name, std::as_bytes(std::span(content)));
  }
  return digest.text();
}

}  // namespace detail

GRAFT_INLINE Embedder::Embedder(const std::filesystem::path& directory, const EmbedderOptions& options)
    : options_(options) {
  if (options.batch_tokens < 1) throw OptionError("batch_tokens is less than 1; a batch needs tokens, such as 4096");
  encoder_ = std::make_shared<SentenceEncoderImpl>(
      directory, SentenceEncoderOptions{options.device, options.dtype, options.max_tokens});
  std::string name = encoder_->fingerprint();
  if (!options.adapter.empty()) name.append("+").append(detail::merge_adapter(options.adapter, encoder_->encoder()));
  for (torch::Tensor& parameter : encoder_->parameters()) parameter.set_requires_grad(false);
  space_ = {name, encoder_->width(), encoder_->metric()};
}

GRAFT_INLINE const std::map<std::string, std::string>& Embedder::prompts() const { return encoder_->prompts(); }
GRAFT_INLINE std::string Embedder::query_prompt() const { return encoder_->query_prompt(); }
GRAFT_INLINE std::string Embedder::document_prompt() const { return encoder_->document_prompt(); }
GRAFT_INLINE std::size_t Embedder::max_tokens() const { return encoder_->max_tokens(); }

GRAFT_INLINE std::size_t Embedder::passage_tokens() const {
  const std::string prompt = document_prompt();
  const Tokenizer& tokenizer = encoder_->tokenizer();
  return max_tokens() - (prompt.empty() ? tokenizer.special_tokens_added() : tokenizer.encode(prompt).size());
}

GRAFT_INLINE LengthFunction Embedder::length() const {
  return [tokenizer = encoder_->tokenizer()](std::string_view text) {
    return tokenizer.encode(text, {.add_special_tokens = false}).size();
  };
}

GRAFT_INLINE torch::Tensor Embedder::embed(std::span<const std::string> texts, std::string_view prompt) const {
  return encoder_->embed(texts, prompt, options_.batch_tokens, options_.progress);
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
