#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>

#include "graft/core/console.hpp"
#include "graft/core/error.hpp"
#include "graft/generation/look_at_examples.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE std::string percent(std::int64_t part, std::int64_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%",
                whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0);
  return text;
}

/// "12 of 40 sequences (30.0 %)".
GRAFT_INLINE std::string share_of(std::int64_t part, std::int64_t whole) {
  return message(grouped_digits(part), " of ", grouped_digits(whole), " sequences (", percent(part, whole), ")");
}

GRAFT_INLINE bool has_id(const std::vector<std::int32_t>& ids, std::int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

/// The chat format that the vocabulary has marks of, if there is one.
GRAFT_INLINE std::optional<ChatFormat> format_in(const Tokenizer& tokenizer) {
  try {
    return ChatFormat::of_vocabulary(tokenizer);
  } catch (const OptionError&) {
    return std::nullopt;
  }
}

GRAFT_INLINE ExampleFindings findings_of(std::span<const LearnedTokens* const> all, const Tokenizer& tokenizer,
                                         std::optional<std::int32_t> end) {
  ExampleFindings found;
  const std::optional<ChatFormat> format = format_in(tokenizer);
  const auto chat_end = format ? tokenizer.id(format->end_token()) : std::nullopt;
  std::int64_t ends = 0, without_end = 0, with_format = 0;
  for (const LearnedTokens* data : all) {
    for (std::int64_t row = 0; row < data->size(); ++row) {
      const std::vector<std::int32_t>& ids = data->ids(row);
      const std::vector<std::int64_t>& labels = data->labels(row);
      found.lengths.push_back(data->length(row));
      found.tokens += data->length(row);
      found.learned += learned_count(labels);
      // Of the windows of a text only the last has its end.
      const bool last = row + 1 == data->size() || data->source(row + 1) != data->source(row);
      without_end += last && end && std::find(labels.begin(), labels.end(), *end) == labels.end() ? 1 : 0;
      ends += last ? 1 : 0;
      with_format += chat_end && has_id(ids, *chat_end) ? 1 : 0;
    }
  }
  const auto warn = [&](const auto&... parts) { found.warnings.push_back(message(parts...)); };
  if (!end) {
    warn("no token ends an answer: the model will not learn to stop");
  } else if (without_end > 0) {
    warn("the end token ", tokenizer.token(*end).value_or("?"), " is not learned in ", share_of(without_end, ends),
         without_end == ends ? ": the model will not learn to stop" : "");
  }
  if (chat_end && with_format == 0) {
    warn("the vocabulary has the marks of the chat format ", format->family(),
         ", but no sequence has them: in a conversation the model may not use what it learns here");
  }
  if (found.learned * 100 < found.tokens)
    warn("only ", percent(found.learned, found.tokens), " of the tokens are learned");
  return found;
}

/// Text of data, in which nothing moves a terminal's cursor: control characters of ASCII and of Latin-1 are spelled.
GRAFT_INLINE std::string harmless(std::string_view text) {
  std::string out;
  char spelled[8];
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const unsigned char next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool is_latin = byte == 0xc2 && next >= 0x80 && next < 0xa0;
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f || is_latin) {
      std::snprintf(spelled, sizeof spelled, "\\x%02x", is_latin ? next : byte);
      out += spelled;
      i += is_latin ? 1 : 0;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace detail

GRAFT_INLINE ExampleFindings look_at_examples(const LearnedTokens& data, const Tokenizer& tokenizer,
                                              std::optional<std::int32_t> end) {
  const std::array<const LearnedTokens*, 1> all{&data};
  ExampleFindings found = detail::findings_of(all, tokenizer, end);
  found.cut = data.cut();
  found.dropped = data.dropped();
  return found;
}

GRAFT_INLINE ExampleFindings look_at_examples(const PreferenceExamples& data, const Tokenizer& tokenizer,
                                              std::optional<std::int32_t> end) {
  const std::array<const LearnedTokens*, 2> all{&data.chosen(), &data.rejected()};
  ExampleFindings found = detail::findings_of(all, tokenizer, end);
  found.cut = data.cut();
  found.dropped = data.dropped();
  return found;
}

GRAFT_INLINE std::string ExampleFindings::text() const {
  std::vector<std::int64_t> sorted = lengths;
  std::sort(sorted.begin(), sorted.end());
  const auto count = static_cast<std::int64_t>(sorted.size());
  std::string out = message(grouped_digits(count), " sequences, ", grouped_digits(tokens), " tokens, of which ",
                            grouped_digits(learned), " (", detail::percent(learned, tokens), ") are learned\n");
  if (count > 0) {
    out += message("length in tokens: ", sorted.front(), " to ", sorted.back(), ", median ", sorted[sorted.size() / 2],
                   "\n", length_histogram(lengths));
  }
  if (cut > 0) out += message(grouped_digits(cut), " were longer than the limit and are cut\n");
  if (dropped > 0) out += message(grouped_digits(dropped), " are left out: nothing is learned of them\n");
  for (const std::string& warning : warnings) out += message("warning: ", warning, "\n");
  return out;
}

GRAFT_INLINE std::string length_histogram(std::span<const std::int64_t> lengths, std::size_t columns) {
  std::vector<std::int64_t> counts;  // of 1 to 16, 17 to 32, 33 to 64, ...
  for (const std::int64_t length : lengths) {
    const auto blocks = static_cast<std::uint64_t>(std::max<std::int64_t>(length, 1) - 1) / 16;
    const auto bin = static_cast<std::size_t>(std::bit_width(blocks));
    if (bin >= counts.size()) counts.resize(bin + 1);
    ++counts[bin];
  }
  std::string out;
  const std::int64_t most = counts.empty() ? 0 : *std::max_element(counts.begin(), counts.end());
  for (std::size_t bin = 0; bin < counts.size(); ++bin) {
    if (out.empty() && counts[bin] == 0) continue;
    const std::int64_t last = std::int64_t{16} << bin;
    const std::string range = message(bin == 0 ? 1 : last / 2 + 1, "-", last), number = grouped_digits(counts[bin]);
    const double share = static_cast<double>(counts[bin]) / static_cast<double>(most);
    const auto marks = static_cast<std::size_t>(share * static_cast<double>(columns) + 0.999999);
    const auto right = [](const std::string& text, std::size_t width) {
      return std::string(width - std::min(width, text.size()), ' ') + text;
    };
    out += message(right(range, 14), right(number, 12), "  ", std::string(marks, '#'), "\n");
  }
  return out;
}

GRAFT_INLINE std::string marked_example(const LearnedTokens& data, std::int64_t row, const Tokenizer& tokenizer,
                                        const ExampleMarks& marks) {
  const std::vector<std::int32_t>& ids = data.ids(row);
  const std::vector<std::int64_t>& labels = data.labels(row);
  const std::size_t shown = std::min(ids.size(), marks.tokens);
  std::string out, before;
  for (std::size_t begin = 0; begin < shown;) {
    const bool learned = labels[begin] != not_learned;
    std::size_t end = begin;
    while (end < shown && (labels[end] != not_learned) == learned) ++end;
    // Decoded from the start: a decoder may treat the first word of a text in its own way.
    const std::string text = tokenizer.decode(std::span(ids).first(end), /*skip_special_tokens=*/false);
    const std::string stretch = text.starts_with(before)
                                    ? text.substr(before.size())
                                    : tokenizer.decode(std::span(ids).subspan(begin, end - begin), false);
    out += learned ? marks.begin + detail::harmless(stretch) + marks.end : detail::harmless(stretch);
    before = text;
    begin = end;
  }
  if (shown < ids.size()) out += message(" ... and ", ids.size() - shown, " tokens more");
  return out;
}

}  // namespace graft
