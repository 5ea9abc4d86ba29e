#include "language.hpp"

#include <algorithm>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/generation/generate.hpp"
#include "graft/models/language_model.hpp"

const graft::ChatFormat& Language::chat_format() const {
  if (!format)
    throw graft::OptionError(graft::message("the vocabulary of ", graft::quoted(name),
                                            " does not tell how it has conversations written; see --chat-format"));
  return *format;
}

std::optional<std::int32_t> Language::answer_end() const {
  if (format) return tokenizer.id(format->end_token());
  const auto& ends = model->config().eos_token_ids;
  if (ends.empty()) return std::nullopt;
  return static_cast<std::int32_t>(ends.front());
}

std::optional<std::int32_t> Language::text_end() const {
  for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"})
    if (const auto id = tokenizer.id(name)) return id;
  return answer_end();
}

Language load_language(const LanguageOptions& options, const graft::PretrainedOptions& how) {
  graft::Tokenizer tokenizer = graft::Tokenizer::load(options.model);
  std::optional<graft::ChatFormat> format;
  if (!options.chat_format.empty()) {
    format = graft::ChatFormat::of_family(options.chat_format);
  } else {
    try {
      format = graft::ChatFormat::of_vocabulary(tokenizer);
    } catch (const graft::OptionError&) {  // a base model: texts do without
    }
  }
  Language out{graft::load_language_model(options.model, how).model, std::move(tokenizer), format, options.model};
  if (!options.adapter.empty()) graft::load_language_adapter(options.adapter, out.model, options.model);
  return out;
}

std::vector<std::string> answers_to(const Language& language, std::span<const std::vector<std::int32_t>> prompts,
                                    std::size_t most_tokens) {
  graft::GenerateOptions options;
  options.max_tokens = static_cast<std::int64_t>(most_tokens);
  if (const auto end = language.tokenizer.id(language.chat_format().end_token())) options.stop_ids = {*end};
  options.decode = [&](std::span<const std::int32_t> ids) { return language.tokenizer.decode(ids); };
  std::vector<std::string> out;
  for (graft::Generation& answer : graft::generate(language.model, prompts, options))
    out.push_back(std::move(answer.text));
  return out;
}
