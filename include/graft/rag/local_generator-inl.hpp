#pragma once

#include <algorithm>
#include <random>
#include <utility>

#include "graft/adapters/peft/save.hpp"
#include "graft/core/error.hpp"
#include "graft/generation/generate.hpp"
#include "graft/models/gguf.hpp"
#include "graft/models/load.hpp"
#include "graft/rag/local_generator.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE CausalLM load_causal(const std::filesystem::path& path, const LocalGeneratorOptions& options) {
  PretrainedOptions pretrained{.dtype = options.dtype, .device = options.device, .linear_dtype = options.linear_dtype};
  if (!options.linear_dtype && options.dtype == torch::kFloat32 && options.device.is_cpu())
    pretrained.linear_dtype = torch::kBFloat16;
  return std::filesystem::is_directory(path) ? load_pretrained<CausalLM>(path, pretrained).model
                                             : load_gguf(path, pretrained).model;
}

/// Puts an adapter for texts on the model it was trained on. Throws OptionError if it is of another task or base.
GRAFT_INLINE void put_on_its_base(const std::filesystem::path& directory, CausalLM& model, const std::string& base) {
  const AdapterDir files(directory);
  if (const auto& task = files.config().task_type; task && *task != "CAUSAL_LM")
    throw OptionError(message(quoted(directory.string()), " is an adapter for ", *task,
                              ", not for CAUSAL_LM; name one that was trained to write text"));
  const LoadedAdapter loaded = load_adapter(directory, *model);
  if (loaded.other_base.empty()) return;
  detach(*model, "default");
  throw OptionError(message("the adapter is not of the model ", quoted(base), ": ", loaded.other_base));
}

GRAFT_INLINE CompletionEnd completion_end(GenerationEnd reason) {
  switch (reason) {
    case GenerationEnd::stop_id:
    case GenerationEnd::stop_text:
      return CompletionEnd::end;
    case GenerationEnd::caller:
      return CompletionEnd::stopped;
    case GenerationEnd::limit:
    case GenerationEnd::context:
      break;
  }
  return CompletionEnd::length;
}

}  // namespace detail

GRAFT_INLINE LocalGenerator::LocalGenerator(const std::filesystem::path& path, const LocalGeneratorOptions& options)
    : LocalGenerator(path.string(), detail::load_causal(path, options), Tokenizer::load(path), options) {}

GRAFT_INLINE LocalGenerator::LocalGenerator(std::string name, CausalLM model, Tokenizer tokenizer,
                                            const LocalGeneratorOptions& options)
    : name_(std::move(name)),
      model_(std::move(model)),
      tokenizer_(std::move(tokenizer)),
      format_(options.chat_format.empty() ? ChatFormat::of_vocabulary(tokenizer_)
                                          : ChatFormat::of_family(options.chat_format)) {
  const CausalConfig& config = model_->config();
  if (tokenizer_.id_limit() > config.vocab_size)
    throw FormatError(message(name_, ": the tokenizer has ids up to ", tokenizer_.id_limit() - 1, ", the model ",
                              config.vocab_size, " word vectors; the two are not of one model"));
  if (options.most_context == 0) throw OptionError("most_context is 0; choose 1 or more");
  if (!options.adapter.empty()) detail::put_on_its_base(options.adapter, model_, name_);
  context_tokens_ = std::min(options.most_context, static_cast<std::size_t>(config.max_position_embeddings));
}

GRAFT_INLINE LengthFunction LocalGenerator::length() const {
  return [tokenizer = tokenizer_](std::string_view text) {
    return tokenizer.encode(text, {.add_special_tokens = false, .special_tokens_in_text = false}).size();
  };
}

GRAFT_INLINE Completion LocalGenerator::generate(std::span<const ChatMessage> messages,
                                                 const CompletionOptions& options, const TextFunction& on_text) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  check_completion(messages, options);
  const std::vector<std::int32_t> ids = format_.encode(tokenizer_, messages);
  if (ids.size() >= context_tokens_)
    throw OptionError(message("the messages have ", ids.size(), " tokens, but ", name_, " takes ", context_tokens_,
                              " with the answer; shorten them"));
  GenerateOptions generating;
  generating.sampling = {.temperature = options.temperature,
                         .top_p = options.top_p,
                         .seed = options.seed ? *options.seed : std::random_device()()};
  generating.max_tokens = static_cast<std::int64_t>(std::min(options.max_tokens, context_tokens_ - ids.size()));
  if (const auto end = tokenizer_.id(format_.end_token())) generating.stop_ids = {*end};
  generating.stop_texts = options.stop;
  generating.decode = [&](std::span<const std::int32_t> answer) { return tokenizer_.decode(answer); };

  Completion out;
  std::size_t given = 0;
  const auto give = [&](std::string_view text) {
    if (text.empty()) return true;
    if (given == 0) out.first_text = Clock::now() - begin;
    given += text.size();
    return !on_text || on_text(text);
  };
  Generation answer =
      graft::generate(model_, {&ids, 1}, generating, [&](const GenerationStep& step) { return give(step.text); })[0];
  out.text = std::move(answer.text);
  out.reason = detail::completion_end(answer.reason);
  // What was held back until the end was certain.
  if (out.reason != CompletionEnd::stopped && given < out.text.size()) give(std::string_view(out.text).substr(given));
  out.prompt_tokens = ids.size();
  out.tokens = answer.ids.size();
  out.time = Clock::now() - begin;
  return out;
}

}  // namespace graft
