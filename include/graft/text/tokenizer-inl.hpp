#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "graft/text/detail/load_tokenizer.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

namespace detail {

/// How many tokens of either text stay, so that they and `special` others are at most options.max_length.
GRAFT_INLINE std::pair<std::size_t, std::size_t> truncated(std::size_t first, std::optional<std::size_t> second,
                                                           std::size_t special, const EncodeOptions& options) {
  const std::size_t both = first + second.value_or(0);
  if (!options.max_length || both + special <= *options.max_length) return {first, second.value_or(0)};
  if (*options.max_length < special) {
    throw OptionError(message("max_length is ", *options.max_length, ", but ", special,
                              " special tokens are added; choose at least ", special));
  }
  const std::size_t budget = *options.max_length - special;
  const std::size_t excess = both - budget;
  if (options.truncation == TruncationStrategy::longest_first) {
    if (!second) return {budget, 0};
    std::size_t shorter = std::min(first, *second);
    std::size_t longer = std::max(shorter, budget - std::min(budget, shorter));
    if (shorter + longer > budget) {
      shorter = budget / 2;
      longer = budget - shorter;
    }
    return first <= *second ? std::pair(shorter, longer) : std::pair(longer, shorter);
  }
  const bool cut_first = options.truncation == TruncationStrategy::only_first;
  if (!cut_first && !second) throw OptionError("truncation is only_second, but there is no second text");
  const std::size_t length = cut_first ? first : *second;
  // As the reference: at least one token of the text that is cut has to stay. Without any budget all may go.
  if (budget == 0) return {0, 0};
  if (length <= excess) {
    throw OptionError(message("truncation is ", cut_first ? "only_first" : "only_second", ", but that text has ",
                              length, " tokens and ", excess, " are too many for max_length ", *options.max_length,
                              "; choose longest_first or a larger max_length"));
  }
  return cut_first ? std::pair(first - excess, second.value_or(0)) : std::pair(first, *second - excess);
}

GRAFT_INLINE std::span<const Token> kept(const std::vector<Token>& tokens, std::size_t count,
                                         TruncationDirection direction) {
  const std::span<const Token> all(tokens);
  return direction == TruncationDirection::right ? all.first(count) : all.last(count);
}

GRAFT_INLINE Encoding assembled(const Stages& stages, std::span<const Token> first, std::span<const Token> second,
                                bool pair, bool add_special_tokens) {
  Encoding out;
  const auto& steps = stages.post_processor.steps(pair);
  const std::size_t size = first.size() + second.size() + steps.size();
  out.ids.reserve(size);
  out.type_ids.reserve(size);
  out.offsets.reserve(size);
  out.special_mask.reserve(size);
  out.sequences.reserve(size);
  for (const Template::Step& step : steps) {
    if (step.kind == Template::Kind::special) {
      if (!add_special_tokens) continue;
      out.ids.push_back(step.id);
      out.offsets.push_back({0, 0});
    } else {
      for (const Token& token : step.kind == Template::Kind::first ? first : second) {
        out.ids.push_back(token.id);
        out.offsets.push_back(token.range);
      }
    }
    const bool special = step.kind == Template::Kind::special;
    out.type_ids.resize(out.ids.size(), step.type_id);
    out.special_mask.resize(out.ids.size(), special);
    out.sequences.resize(out.ids.size(), special ? -1 : step.kind == Template::Kind::second);
  }
  return out;
}

/// The encoding of tokens that are there, and of a second text, if there is one.
GRAFT_INLINE Encoding encoded_beside(const Stages& stages, const std::vector<Token>& first,
                                     std::optional<std::string_view> second, const EncodeOptions& options,
                                     Scratch& scratch) {
  std::optional<std::size_t> second_size;
  if (second) {
    stages.tokenize(*second, {options.special_tokens_in_text, options.strict_utf8}, scratch, scratch.second);
    second_size = scratch.second.size();
  } else {
    scratch.second.clear();
  }
  const bool pair = second.has_value();
  const std::size_t special = options.add_special_tokens ? stages.post_processor.special_tokens(pair) : 0;
  const auto [first_kept, second_kept] = truncated(first.size(), second_size, special, options);
  Encoding encoding = assembled(stages, kept(first, first_kept, options.direction),
                                kept(scratch.second, second_kept, options.direction), pair, options.add_special_tokens);
  encoding.cut = first.size() - first_kept + scratch.second.size() - second_kept;
  return encoding;
}

GRAFT_INLINE Encoding encoded(const Stages& stages, std::string_view first, std::optional<std::string_view> second,
                              const EncodeOptions& options, Scratch& scratch) {
  stages.tokenize(first, {options.special_tokens_in_text, options.strict_utf8}, scratch, scratch.first);
  return encoded_beside(stages, scratch.first, second, options, scratch);
}

/// Runs work(begin, end, scratch) over [0, count) in chunks, on `threads` threads of which the caller's is one.
/// Of several errors the one of the lowest chunk is thrown.
template <class Work>
void in_chunks(std::size_t count, std::size_t chunk, unsigned threads, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  std::size_t error_at = count;
  const auto run = [&] {
    Scratch scratch;
    for (std::size_t begin; (begin = next.fetch_add(chunk)) < count;) {
      try {
        work(begin, std::min(begin + chunk, count), scratch);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (begin < error_at) error = std::current_exception(), error_at = begin;
        next = count;  // what has begun is finished, nothing else begins
      }
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (unsigned i = 1; i < threads; ++i) others.emplace_back(run);
    } catch (const std::system_error&) {
      // The system gives no more threads: those there are do the work.
    }
    run();
  }
  if (error) std::rethrow_exception(error);
}

/// encode(text, scratch) of each text, spread over threads.
template <class Text, class Encode>
std::vector<Encoding> encoded_batch(std::span<const Text> texts, unsigned threads, const Encode& encode) {
  // About a millisecond of work a chunk, so that starting a thread pays and the last chunks end together.
  constexpr std::size_t chunk_bytes = 16 << 10;
  std::size_t bytes = 0;
  for (const Text& text : texts) bytes += text.size() + 16;
  const std::size_t chunks = bytes / chunk_bytes + 1;
  const std::size_t chunk = std::max<std::size_t>(1, texts.size() / chunks);
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  threads = static_cast<unsigned>(std::min<std::size_t>({threads, chunks, std::max<std::size_t>(1, texts.size())}));
  std::vector<Encoding> out(texts.size());
  in_chunks(texts.size(), chunk, threads, [&](std::size_t begin, std::size_t end, Scratch& scratch) {
    for (std::size_t i = begin; i < end; ++i) out[i] = encode(texts[i], scratch);
  });
  return out;
}

}  // namespace detail

GRAFT_INLINE Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  return Tokenizer(std::make_shared<const detail::Stages>(detail::load_tokenizer(path)));
}

GRAFT_INLINE Encoding Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  detail::Scratch scratch;
  return detail::encoded(*stages_, text, std::nullopt, options, scratch);
}

GRAFT_INLINE Encoding Tokenizer::encode(std::string_view first, std::string_view second,
                                        const EncodeOptions& options) const {
  detail::Scratch scratch;
  return detail::encoded(*stages_, first, second, options, scratch);
}

GRAFT_INLINE std::vector<Encoding> Tokenizer::encode_batch(std::span<const std::string> texts,
                                                           const EncodeOptions& options, unsigned threads) const {
  return detail::encoded_batch(texts, threads, [&](std::string_view text, detail::Scratch& scratch) {
    return detail::encoded(*stages_, text, std::nullopt, options, scratch);
  });
}

GRAFT_INLINE std::vector<Encoding> Tokenizer::encode_batch(std::span<const std::string_view> texts,
                                                           const EncodeOptions& options, unsigned threads) const {
  return detail::encoded_batch(texts, threads, [&](std::string_view text, detail::Scratch& scratch) {
    return detail::encoded(*stages_, text, std::nullopt, options, scratch);
  });
}

GRAFT_INLINE std::vector<Encoding> Tokenizer::encode_pairs(std::string_view first, std::span<const std::string> seconds,
                                                           const EncodeOptions& options, unsigned threads) const {
  std::vector<Token> tokens;
  detail::Scratch once;
  stages_->tokenize(first, {options.special_tokens_in_text, options.strict_utf8}, once, tokens);
  return detail::encoded_batch(seconds, threads, [&](std::string_view second, detail::Scratch& scratch) {
    return detail::encoded_beside(*stages_, tokens, second, options, scratch);
  });
}

GRAFT_INLINE std::vector<std::int32_t> Tokenizer::encode_prompt(std::span<const PromptPart> parts) const {
  std::string missing;
  for (const PromptPart& part : parts) {
    if (!part.special || id(part.text)) continue;
    const std::string name = quoted(part.text);
    if (missing.find(name) == std::string::npos) missing += (missing.empty() ? "" : ", ") + name;
  }
  if (!missing.empty()) {
    throw FormatError(message("the vocabulary lacks the special tokens ", missing,
                              "; the prompt is written for another family of models"));
  }
  detail::Scratch scratch;
  std::vector<std::int32_t> ids;
  bool first = true;
  for (const PromptPart& part : parts) {
    if (part.special) {
      ids.push_back(*id(part.text));
    } else {
      stages_->tokenize_plain(part.text, first, scratch, scratch.first);
      for (const Token& token : scratch.first) ids.push_back(token.id);
    }
    first = false;
  }
  return ids;
}

GRAFT_INLINE std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string_view> tokens;
  tokens.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (skip_special_tokens && stages_->special_ids.contains(ids[i])) continue;
    const auto token = stages_->token(ids[i]);
    if (!token) {
      throw OptionError(
          message("id ", ids[i], " at place ", i, " is not in the vocabulary, whose ids are below ", id_limit()));
    }
    tokens.push_back(*token);
  }
  return stages_->decoder->decode(tokens);
}

GRAFT_INLINE std::optional<std::int32_t> Tokenizer::id(std::string_view token) const {
  return stages_->vocabulary.id(token);
}

GRAFT_INLINE std::optional<std::string_view> Tokenizer::token(std::int32_t id) const { return stages_->token(id); }

GRAFT_INLINE bool Tokenizer::is_special(std::int32_t id) const { return stages_->special_ids.contains(id); }

GRAFT_INLINE std::size_t Tokenizer::vocabulary_size() const { return stages_->vocabulary.size(); }

GRAFT_INLINE std::int32_t Tokenizer::id_limit() const { return stages_->vocabulary.id_limit(); }

GRAFT_INLINE std::size_t Tokenizer::special_tokens_added(bool pair) const {
  return stages_->post_processor.special_tokens(pair);
}

GRAFT_INLINE std::optional<std::size_t> Tokenizer::file_max_length() const { return stages_->file_max_length; }

GRAFT_INLINE Tokenizer::Tokenizer(std::shared_ptr<const detail::Stages> stages) : stages_(std::move(stages)) {}

}  // namespace graft
