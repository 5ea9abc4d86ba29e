#pragma once

#include <algorithm>
#include <set>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/utf8.hpp"
#include "graft/rag/ask.hpp"
#include "graft/rag/summarise.hpp"

namespace graft {

namespace detail {

/// A part of a document that is read in one call.
struct SummaryPart {
  std::size_t number;  // of the document
  DocumentId document;
  PassageRange range;
};

/// A summary of some documents, and their numbers.
struct PartialSummary {
  std::string text;
  std::set<std::size_t> numbers;
  std::vector<Citation> citations;
};

class Summariser {
 public:
  Summariser(Snapshot& snapshot, Generator& generator, const SummaryOptions& options, const TextFunction& on_text)
      : snapshot_(snapshot),
        generator_(generator),
        options_(options),
        on_text_(on_text),
        budget_(budget_beside(generator, options.completion.max_tokens)) {
    if (!is_utf8(options.focus)) throw OptionError(message("the focus is not UTF-8: ", quoted(options.focus, 60)));
    const std::size_t fixed =
        std::max(budget_.length(options.map_instructions), budget_.length(options.reduce_instructions)) +
        2 * budget_.message_tokens + budget_.length(focus_head()) + budget_.length(options.focus);
    // Two summaries must have room beside each other, or joining them would have no end.
    constexpr std::size_t least = 128;
    if (fixed + 2 * least > budget_.tokens)
      throw OptionError(message("instructions and focus have ", fixed, " tokens, but the prompt has room for ",
                                budget_.tokens, "; shorten the focus or the answer"));
    room_ = budget_.tokens - fixed;
  }

  Summary run() {
    const std::vector<std::vector<SummaryPart>> reading = plan();
    if (reading.size() > options_.most_calls)
      throw OptionError(message("reading ", out_.sources.size(), " documents needs ", reading.size(),
                                " calls of the generator; the most is ", options_.most_calls,
                                "; choose documents with a filter, or raise most_calls"));
    progress_.of = reading.size();
    std::vector<PartialSummary> summaries;
    for (const auto& parts : reading) {
      if (stopped()) return std::move(out_);
      summaries.push_back(read(parts, reading.size() == 1));
    }
    while (summaries.size() > 1) {
      std::vector<PartialSummary> joined;
      const std::vector<std::vector<PartialSummary>> groups = grouped(std::move(summaries));
      progress_.of += groups.size();
      for (const auto& group : groups) {
        if (stopped()) return std::move(out_);
        joined.push_back(join(group, groups.size() == 1));
      }
      summaries = std::move(joined);
    }
    if (!summaries.empty()) {
      out_.text = std::move(summaries[0].text);
      out_.citations = std::move(summaries[0].citations);
    }
    return std::move(out_);
  }

 private:
  static std::string focus_head() { return "Look at this above all: "; }

  /// Costs at most kFrame tokens, where a token has a byte or more.
  std::string head_of(const SummaryPart& part) const {
    return message("[", part.number, "] ", prompt_name(out_.sources[part.number - 1].uri, 80), "\n");
  }
  static constexpr std::size_t kFrame = 100;

  /// The documents in parts, and the parts that are read together.
  std::vector<std::vector<SummaryPart>> plan() {
    std::set<DocumentId> chosen;
    if (options_.filter)
      for (const Passage& passage : snapshot_.passages(snapshot_.matching(*options_.filter)))
        chosen.insert(passage.document);
    const Chunker chunker(budget_.length, "the generator's tokens", {.size = room_ - kFrame, .overlap = 0});
    std::vector<std::vector<SummaryPart>> out;
    std::size_t left = 0;
    for (DocumentId after = 0;;) {
      const std::vector<StoredDocument> documents = snapshot_.documents(after);
      if (documents.empty()) return out;
      after = documents.back().id;
      for (const StoredDocument& document : documents) {
        if (options_.filter && !chosen.contains(document.id)) continue;
        const std::string text = snapshot_.text(document.id);
        const std::vector<PassageRange> ranges = chunker.cut(text);
        if (ranges.empty()) continue;
        const std::size_t number = out_.sources.size() + 1;
        out_.sources.push_back({.number = number, .document = document.id, .uri = document.uri, .end = text.size()});
        for (const PassageRange& range : ranges) {
          const SummaryPart part{number, document.id, range};
          const std::size_t tokens =
              budget_.length(head_of(part) + "\n\n") +
              budget_.length(std::string_view(text).substr(range.begin, range.end - range.begin));
          if (out.empty() || tokens > left) {
            out.emplace_back();
            left = room_;
          }
          out.back().push_back(part);
          left -= std::min(left, tokens);
        }
      }
    }
  }

  PartialSummary read(const std::vector<SummaryPart>& parts, bool last) {
    std::vector<ChatPiece> pieces;
    std::set<std::size_t> numbers;
    for (const SummaryPart& part : parts) {
      pieces.push_back({head_of(part), true});
      pieces.push_back({snapshot_.text(part.document, part.range.begin, part.range.end), true});
      pieces.push_back({"\n\n"});
      numbers.insert(part.number);
    }
    return write(options_.map_instructions, std::move(pieces), std::move(numbers), last);
  }

  /// As many together as have room, two at least.
  std::vector<std::vector<PartialSummary>> grouped(std::vector<PartialSummary> summaries) const {
    std::vector<std::vector<PartialSummary>> out;
    std::size_t left = 0;
    for (PartialSummary& summary : summaries) {
      constexpr std::size_t frame = 4;
      std::size_t tokens = budget_.length(summary.text) + frame;
      if (tokens > room_ / 2) {
        std::size_t end = sentences_within(summary.text, room_ / 2 - frame, budget_.length);
        if (end == 0) end = words_within(summary.text, room_ / 2 - frame);
        summary.text.resize(end);
        tokens = room_ / 2;
      }
      if (out.empty() || tokens > left) {
        out.emplace_back();
        left = room_;
      }
      left -= tokens;
      out.back().push_back(std::move(summary));
    }
    return out;
  }

  /// Where a text without sentences is cut.
  std::size_t words_within(const std::string& text, std::size_t tokens) const {
    const Chunker chunker(budget_.length, "the generator's tokens", {.size = tokens, .overlap = 0});
    const std::vector<PassageRange> ranges = chunker.cut(text);
    return ranges.empty() ? 0 : ranges[0].end;
  }

  PartialSummary join(const std::vector<PartialSummary>& group, bool last) {
    std::vector<ChatPiece> pieces;
    std::set<std::size_t> numbers;
    for (const PartialSummary& summary : group) {
      pieces.push_back({summary.text, true});
      pieces.push_back({"\n\n"});
      numbers.insert(summary.numbers.begin(), summary.numbers.end());
    }
    return write(options_.reduce_instructions, std::move(pieces), std::move(numbers), last);
  }

  PartialSummary write(const std::string& instructions, std::vector<ChatPiece> pieces, std::set<std::size_t> numbers,
                       bool last) {
    if (!options_.focus.empty()) {
      pieces.push_back({focus_head()});
      pieces.push_back({options_.focus, true});
    }
    Prompt prompt;
    prompt.messages = {{ChatRole::system, {{instructions}}}, {ChatRole::user, std::move(pieces)}};
    CitationReader reader(numbers);
    const Completion completion =
        generate_cited(generator_, prompt, options_.completion, reader, last ? on_text_ : TextFunction());
    for (const std::string& option : completion.refused_options)
      if (std::find(out_.refused_options.begin(), out_.refused_options.end(), option) == out_.refused_options.end())
        out_.refused_options.push_back(option);
    for (const std::string& mark : reader.unknown()) out_.unknown.push_back(mark);
    progress_.calls = ++out_.calls;
    if (options_.progress) options_.progress(progress_);
    std::set<std::size_t> cited;
    for (const Citation& citation : reader.citations()) cited.insert(citation.number);
    return {reader.text(), std::move(cited), reader.citations()};
  }

  bool stopped() {
    if (!options_.stop || !options_.stop()) return false;
    return out_.stopped = true;
  }

  Snapshot& snapshot_;
  Generator& generator_;
  const SummaryOptions& options_;
  const TextFunction& on_text_;
  PromptBudget budget_;
  std::size_t room_ = 0;  // tokens of the texts of one call
  SummaryProgress progress_;
  Summary out_;
};

}  // namespace detail

GRAFT_INLINE std::vector<Source> Summary::cited() const { return detail::cited_of(citations, sources); }

GRAFT_INLINE Summary summarise(Snapshot& snapshot, Generator& generator, const SummaryOptions& options,
                               const TextFunction& on_text) {
  return detail::Summariser(snapshot, generator, options, on_text).run();
}

}  // namespace graft
