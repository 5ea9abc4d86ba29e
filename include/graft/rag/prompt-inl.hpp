#pragma once

#include <algorithm>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/rag/prompt.hpp"
#include "graft/retrieval/detail/cut_places.hpp"
#include "graft/retrieval/detail/sentences.hpp"

namespace graft {

GRAFT_INLINE PromptBudget budget_beside(const Generator& generator, std::size_t answer_tokens) {
  const std::size_t context = generator.context_tokens();
  if (answer_tokens >= context)
    throw OptionError(message("an answer of ", answer_tokens, " tokens leaves no room for a prompt in the context of ",
                              generator.name(), ", ", context, " tokens; ask for a shorter answer"));
  return {context - answer_tokens, generator.length(), generator.message_tokens()};
}

GRAFT_INLINE std::size_t sentences_within(std::string_view text, std::size_t tokens, const LengthFunction& length) {
  std::vector<std::size_t> ends;
  for (const detail::CutPlace& place : detail::cut_places(text, 0, text.size())) {
    std::size_t end = place.at;
    while (end > 0 && detail::is_space(text[end - 1])) --end;
    const bool stop =
        place.rank == detail::CutRank::sentence && detail::ends_sentence(text.substr(0, end), detail::kEndsSentence);
    if (stop || place.rank == detail::CutRank::paragraph) ends.push_back(end);
  }
  const auto fitting = std::partition_point(ends.begin(), ends.end(),
                                            [&](std::size_t end) { return length(text.substr(0, end)) <= tokens; });
  return fitting == ends.begin() ? 0 : *std::prev(fitting);
}

namespace detail {

/// A name in a prompt: one line, of at most `bytes`, cut between characters.
GRAFT_INLINE std::string prompt_name(std::string_view name, std::size_t bytes) {
  std::string out;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t size = decode_utf8(name, at).length;
    if (out.size() + size > bytes) return out;
    const auto first = static_cast<unsigned char>(name[at]);
    out += first < 0x20 || first == 0x7f ? " " : name.substr(at, size);
    at += size;
  }
  return out;
}

/// Document and headings of a passage.
GRAFT_INLINE std::string prompt_name_of(const Source& source) {
  return prompt_name(source.uri, 200) + (source.heading.empty() ? "" : ", " + prompt_name(source.heading, 200));
}

/// Adds pieces to a prompt and counts what they cost.
class PromptMeter {
 public:
  explicit PromptMeter(const PromptBudget& budget) : budget_(budget) {}

  std::size_t cost(const std::vector<ChatPiece>& pieces) const {
    std::size_t out = 0;
    for (const ChatPiece& piece : pieces) out += budget_.length(piece.text);
    return out;
  }
  std::size_t used() const { return used_; }
  std::size_t room() const { return budget_.tokens - std::min(budget_.tokens, used_); }

  /// A message of its own, counted whatever room there is.
  ChatMessage message(ChatRole role, std::vector<ChatPiece> pieces) {
    used_ += budget_.message_tokens + cost(pieces);
    return {role, std::move(pieces)};
  }
  /// Takes the room of pieces that will be in a message.
  void spend(std::size_t tokens) { used_ += tokens; }

 private:
  const PromptBudget& budget_;
  std::size_t used_ = 0;
};

GRAFT_INLINE void check_question(const std::string& question) {
  if (const std::size_t at = find_invalid_utf8(question); at != question.npos)
    throw OptionError(message("the question is not UTF-8 at byte ", at, ": ", quoted(question, 60), "; convert it"));
  if (question.find_first_not_of(" \t\r\n") == std::string::npos)
    throw OptionError("the question is empty; say what you want to know");
}

GRAFT_INLINE bool lies_within(const Hit& hit, std::span<const Source> sources) {
  return std::any_of(sources.begin(), sources.end(), [&](const Source& source) {
    return source.document == hit.document.id && source.begin <= hit.context_begin && hit.context_end <= source.end;
  });
}

}  // namespace detail

GRAFT_INLINE Prompt make_prompt(const std::string& question, std::span<const Hit> hits, const PromptBudget& budget,
                                const PromptOptions& options) {
  detail::check_question(question);
  detail::PromptMeter writer(budget);
  Prompt out;
  out.messages.push_back(writer.message(ChatRole::system, {{options.instructions}}));
  const std::vector<ChatPiece> asked = {{"Question: "}, {question, true}};
  const std::vector<ChatPiece> head = {{"Sources:\n\n"}};
  writer.spend(budget.message_tokens + writer.cost(asked) + writer.cost(head));
  if (writer.used() > budget.tokens)
    throw OptionError(message("instructions and question have ", writer.used(), " tokens, but the prompt has room for ",
                              budget.tokens, "; ask shorter"));

  std::vector<ChatPiece> pieces = head;
  for (const Hit& hit : hits) {
    if (detail::lies_within(hit, out.sources)) continue;
    Source source{.number = out.sources.size() + 1,
                  .document = hit.document.id,
                  .passage = hit.passage.id,
                  .uri = hit.document.uri,
                  .heading = hit.passage.range.heading,
                  .begin = hit.context_begin,
                  .end = hit.context_end,
                  .text = hit.context};
    const std::vector<ChatPiece> frame = {
        {message("[", source.number, "] ")}, {detail::prompt_name_of(source), true}, {"\n"}, {"\n\n"}};
    const std::size_t frame_tokens = writer.cost(frame);
    const std::size_t room = writer.room() - std::min(writer.room(), frame_tokens);
    std::size_t text_tokens = budget.length(source.text);
    const bool whole = text_tokens <= room;
    if (!whole) {
      source.text.resize(sentences_within(source.text, room, budget.length));
      source.end = source.begin + source.text.size();
      text_tokens = budget.length(source.text);
      if (source.text.empty() || text_tokens < options.least_tokens) {
        out.left_out = static_cast<std::size_t>(&hits.back() - &hit) + 1;
        break;
      }
    }
    writer.spend(frame_tokens + text_tokens);
    pieces.insert(pieces.end(), {frame[0], frame[1], frame[2], {source.text, true}, frame[3]});
    out.sources.push_back(std::move(source));
    if (!whole) {
      out.left_out = static_cast<std::size_t>(&hits.back() - &hit);
      break;
    }
  }
  if (!hits.empty() && out.sources.empty())
    throw OptionError(message("beside instructions and question, ", writer.used(), " tokens, the prompt of ",
                              budget.tokens, " has no room for a source; ask shorter, or for a shorter answer"));
  pieces.insert(pieces.end(), asked.begin(), asked.end());
  out.messages.push_back({ChatRole::user, std::move(pieces)});
  out.tokens = writer.used();
  return out;
}

}  // namespace graft
