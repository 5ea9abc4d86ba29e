#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/generation/sampling.hpp"
#include "graft/models/causal_lm.hpp"

namespace graft {

/// Token ids to text. Ids may end in the middle of a character, which then shows as U+FFFD.
using DecodeFunction = std::function<std::string(std::span<const std::int32_t> ids)>;

/// How texts are continued. As it stands: the likeliest token each time, until the model ends the text.
struct GenerateOptions {
  SamplingOptions sampling{};
  std::int64_t max_tokens = 256;          ///< new tokens of each text, at least 1
  std::vector<std::int32_t> stop_ids{};   ///< end a text, beside the model's eos_token_ids
  bool stop_at_eos = true;                ///< whether those end it
  std::vector<std::string> stop_texts{};  ///< end a text where one first appears; need `decode`
  DecodeFunction decode{};                ///< for texts beside ids
};

/// Why a text ended.
enum class GenerationEnd {
  stop_id,    ///< the model chose an end, which is not among the ids
  stop_text,  ///< one of stop_texts appeared
  limit,      ///< max_tokens were made
  context,    ///< the model's context is full
  caller,     ///< the callback said so
};

/// A continuation.
struct Generation {
  std::vector<std::int32_t> ids;  ///< new tokens; with stop_text the last of them completed it
  std::string text;               ///< of `ids`, up to the stop text; empty without `decode`
  GenerationEnd reason = GenerationEnd::limit;
};

/// What a text has just grown by.
struct GenerationStep {
  std::size_t sequence;   ///< place of its prompt
  std::int32_t id;        ///< the new token
  std::string_view text;  ///< what is certain now, whole characters that no stop text begins with; with `decode` only
};

/// Called for every new token but an end. A text ends when it gives false.
using GenerationCallback = std::function<bool(const GenerationStep&)>;

/// Continues several texts at once, each with draws of its own: what a text becomes does not depend on the others, to
/// the rounding of products of several rows. Pieces of `text` given to the callback and what is still held back when a
/// text ends make up its Generation::text.
///
/// Throws OptionError if options leave their range, stop_texts come without `decode`, or a prompt has no token or an id
/// outside the vocabulary; ShapeError for a prompt longer than the model's context; StateError for a model in training
/// mode. What the callback throws passes.
std::vector<Generation> generate(CausalLM model, std::span<const std::vector<std::int32_t>> prompts,
                                 const GenerateOptions& options = {}, const GenerationCallback& on_token = {});

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/generate-inl.hpp"
#endif
