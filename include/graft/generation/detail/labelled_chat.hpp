#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/error.hpp"
#include "graft/generation/chat.hpp"
#include "graft/generation/detail/chat_text.hpp"
#include "graft/generation/learned_tokens.hpp"
#include "graft/tensor/parallel.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft::detail {

/// A conversation's ids, and where in them each of the assistant's messages lies.
struct LabelledChat {
  struct Answer {
    std::size_t message, begin, end;  // of tokens: [begin, end)
  };
  std::vector<std::int32_t> ids;
  std::vector<Answer> answers;

  /// Of the tokens in the answers that are asked for.
  template <class Wanted>
  std::vector<std::int64_t> labels(const Wanted& wanted) const {
    std::vector<std::int64_t> out(ids.size(), not_learned);
    for (const Answer& answer : answers) {
      if (!wanted(answer)) continue;
      std::copy(ids.begin() + static_cast<std::ptrdiff_t>(answer.begin),
                ids.begin() + static_cast<std::ptrdiff_t>(answer.end),
                out.begin() + static_cast<std::ptrdiff_t>(answer.begin));
    }
    return out;
  }
};

/// The ids of parts[i]. A part of text follows a special token or begins the prompt: both matter to a tokenizer.
inline std::vector<std::int32_t> part_ids(const Tokenizer& tokenizer, std::span<const PromptPart> parts,
                                          std::size_t i) {
  if (i == 0 || parts[i].special) return tokenizer.encode_prompt(parts.subspan(i, 1));
  std::vector<std::int32_t> ids = tokenizer.encode_prompt(parts.subspan(i - 1, 2));
  ids.erase(ids.begin());
  return ids;
}

/// Encodes each part once, and again only the one in which an answer begins, up to there: a prompt that generation
/// gives ends so. A token of the prompt's end and the answer's start is the answer's.
class ChatLabeller {
 public:
  ChatLabeller(const ChatFormat& format, const Tokenizer& tokenizer, std::span<const ChatMessage> messages)
      : tokenizer_(tokenizer), parts_(format.parts(messages, /*answer=*/false)) {
    std::vector<PromptPart> special;
    std::copy_if(parts_.begin(), parts_.end(), std::back_inserter(special),
                 [](const auto& part) { return part.special; });
    tokenizer.encode_prompt(special);  // names all that the vocabulary lacks
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const std::vector<std::int32_t> ids = part_ids(tokenizer, parts_, i);
      chat_.ids.insert(chat_.ids.end(), ids.begin(), ids.end());
      ends_.push_back(chat_.ids.size());
    }
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (messages[i].role != ChatRole::assistant) continue;
      const ChatMessage silent{ChatRole::assistant, {}};
      const std::size_t begin = common(i > 0 ? format.parts(messages.first(i)) : format.parts({&silent, 1}, false));
      const std::size_t end = common(format.parts(messages.first(i + 1), false));
      chat_.answers.push_back({i, begin, std::max(begin, end)});
    }
  }

  LabelledChat take() && { return std::move(chat_); }

 private:
  /// How many of the first ids are those of `prompt`.
  std::size_t common(const std::vector<PromptPart>& prompt) const {
    const auto other = std::mismatch(prompt.begin(), prompt.end(), parts_.begin(), parts_.end());
    const auto same = static_cast<std::size_t>(other.first - prompt.begin());
    const std::size_t before = same == 0 ? 0 : ends_[same - 1];
    if (same == prompt.size() || same == parts_.size() || prompt[same].special) return before;
    const std::vector<std::int32_t> ids = part_ids(tokenizer_, prompt, same);
    const auto rest = chat_.ids.begin() + static_cast<std::ptrdiff_t>(before);
    const auto differ = std::mismatch(ids.begin(), ids.end(), rest, chat_.ids.end());
    return before + static_cast<std::size_t>(differ.first - ids.begin());
  }

  const Tokenizer& tokenizer_;
  std::vector<PromptPart> parts_;
  std::vector<std::size_t> ends_;  // of each part, in ids
  LabelledChat chat_;
};

/// A prompt and its answer as they stand, behind what the tokenizer begins a text with, and the token that ends it.
inline LabelledChat labelled_plain(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                   std::optional<std::int32_t> end) {
  if (messages.size() != 2 || messages[0].role != ChatRole::user || messages[1].role != ChatRole::assistant)
    throw OptionError("without a chat format a row is a message of the user's and one of the assistant's; name one");
  const EncodeOptions text{.special_tokens_in_text = false};
  const std::string prompt = messages[0].text();
  const std::vector<std::int32_t> prompt_ids = tokenizer.encode(prompt, text).ids;
  LabelledChat chat{tokenizer.encode(prompt + messages[1].text(), text).ids, {}};
  const auto differ = std::mismatch(prompt_ids.begin(), prompt_ids.end(), chat.ids.begin(), chat.ids.end());
  if (end && (chat.ids.empty() || chat.ids.back() != *end)) chat.ids.push_back(*end);
  chat.answers.push_back({1, static_cast<std::size_t>(differ.first - prompt_ids.begin()), chat.ids.size()});
  return chat;
}

inline LabelledChat labelled_chat(const std::optional<ChatFormat>& format, const Tokenizer& tokenizer,
                                  std::span<const ChatMessage> messages, std::optional<std::int32_t> end) {
  return format ? ChatLabeller(*format, tokenizer, messages).take() : labelled_plain(tokenizer, messages, end);
}

/// "chat.jsonl, line 3", or "conversation 2" where that is not known.
inline std::string row_name(const std::string& where, std::string_view kind, std::size_t i) {
  return where.empty() ? message(kind, " ", i) : where;
}

/// work(i) for [0, n) on LibTorch's threads; then, for the first i for which it threw an OptionError, that with
/// name_of(i) in front, or whatever else it threw.
template <class Name, class Work>
void for_each_row(std::size_t n, const Name& name_of, const Work& work) {
  std::vector<std::exception_ptr> errors(n);
  parallel_for(static_cast<std::int64_t>(n), 16, [&](std::int64_t first, std::int64_t last) {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
      try {
        work(i);
      } catch (const OptionError& error) {
        errors[i] = std::make_exception_ptr(OptionError(message(name_of(i), ": ", error.what())));
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace graft::detail
