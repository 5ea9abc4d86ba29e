#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "graft/generation/chat.hpp"
#include "graft/models/causal_lm.hpp"
#include "graft/models/load.hpp"
#include "graft/text/tokenizer.hpp"
#include "options.hpp"

/// A language model, and what it takes to speak to it.
struct Language {
  graft::CausalLM model{nullptr};
  graft::Tokenizer tokenizer;
  std::optional<graft::ChatFormat> format;  // none: the vocabulary tells of none, and none is named
  std::string name;

  /// Throws OptionError where there is none.
  const graft::ChatFormat& chat_format() const;

  std::optional<std::int32_t> answer_end() const;  ///< the token that ends an answer
  std::optional<std::int32_t> text_end() const;    ///< and one that ends a text
};

/// Loads the model in evaluation mode, and its adapter, if one is named, as "default", unmerged.
Language load_language(const LanguageOptions& options, const graft::PretrainedOptions& how = {});

/// The likeliest answers to prompts that are ready, as texts.
std::vector<std::string> answers_to(const Language& language, std::span<const std::vector<std::int32_t>> prompts,
                                    std::size_t most_tokens);
