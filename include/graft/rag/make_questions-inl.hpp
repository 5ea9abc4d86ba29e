#pragma once

#include <algorithm>
#include <cctype>
#include <unordered_set>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/trimmed.hpp"
#include "graft/core/utf8.hpp"
#include "graft/rag/make_questions.hpp"
#include "graft/rag/prompt.hpp"

namespace graft {

namespace detail {

GRAFT_INLINE std::string question_of(std::string_view written, std::size_t longest) {
  std::string_view line = trimmed(written);
  line = trimmed(line.substr(0, line.find('\n')), " \t\r*#");
  // "1. ", "Q: ", "Question 1:" and the like.
  const std::size_t number = std::min(line.find_first_not_of("0123456789"), line.size());
  if (number > 0 && number < line.size() && (line[number] == '.' || line[number] == ')'))
    line = trimmed(line.substr(number + 1));
  const std::size_t colon = std::min(line.find(':'), line.size());
  std::string label(line.substr(0, colon));
  for (char& c : label) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  label.resize(std::string_view(label).find_last_not_of("0123456789 ") + 1);
  if (colon < line.size() && (label == "q" || label == "question")) line = trimmed(line.substr(colon + 1));
  for (const auto& [open, close] : {std::pair<std::string_view, std::string_view>{"\"", "\""}, {"“", "”"}, {"*", "*"}})
    if (line.size() > open.size() + close.size() && line.starts_with(open) && line.ends_with(close))
      line = trimmed(line.substr(open.size(), line.size() - open.size() - close.size()));
  if (line.size() > longest || !is_utf8(line)) return {};
  return std::string(line);
}

/// Passages of a snapshot, evenly: at most `count`.
GRAFT_INLINE std::vector<Passage> even_passages(Snapshot& snapshot, const MakeQuestionsOptions& options) {
  std::vector<PassageId> ids;
  if (options.filter) {
    ids = snapshot.matching(*options.filter);
    std::sort(ids.begin(), ids.end());
  } else {
    for (DocumentId after = 0;;) {
      const std::vector<StoredDocument> documents = snapshot.documents(after);
      if (documents.empty()) break;
      for (const StoredDocument& document : documents)
        for (const Passage& passage : snapshot.passages_of(document.id)) ids.push_back(passage.id);
      after = documents.back().id;
    }
  }
  std::vector<PassageId> chosen;
  const std::size_t count = std::min(options.passages, ids.size());
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(ids[i * ids.size() / count]);
  return snapshot.passages(chosen);
}

/// Keeps questions, or says why not.
class QuestionKeeper {
 public:
  QuestionKeeper(const QuestionSearch& search, const MakeQuestionsOptions& options)
      : search_(search), options_(options) {}

  void add(const Passage& passage, const std::string& written) {
    const std::string question = question_of(written, options_.longest);
    auto& report = made.report;
    if (question.empty()) return leave(report.empty, {std::string(trimmed(written)), passage.text, "no question"});
    if (passage.text.find(question) != std::string::npos)
      return leave(report.copied, {question, passage.text, "copied from the passage"});
    const std::string spelling = spelling_key(question);
    if (known_.contains(spelling)) return leave(report.repeated, {question, passage.text, "asked before"});
    const std::vector<Hit> hits = search_(question, options_.found_within);
    if (std::none_of(hits.begin(), hits.end(), [&](const Hit& hit) { return hit.document.id == passage.document; }))
      return leave(report.not_found, {question, passage.text, "its passage is not found by it"});
    known_.insert(spelling);
    if (report.kept.size() < kExamples) report.kept.push_back({question, passage.text});
    made.pairs.push_back({.question = question, .positives = {passage.text}});
  }

  MadeQuestions made;

 private:
  static constexpr std::size_t kExamples = 5;

  void leave(std::size_t& count, MadeQuestion question) {
    ++count;
    if (made.report.left_out.size() < kExamples) made.report.left_out.push_back(std::move(question));
  }

  const QuestionSearch& search_;
  const MakeQuestionsOptions& options_;
  std::unordered_set<std::string> known_;
};

}  // namespace detail

GRAFT_INLINE MadeQuestions make_questions(Snapshot& snapshot, Generator& generator, const QuestionSearch& search,
                                          const MakeQuestionsOptions& options) {
  if (options.passages < 1 || options.found_within < 1 || options.longest < 1)
    throw OptionError("questions are made for at least 1 passage, of at least 1 byte, and found within the first 1");
  const PromptBudget budget = budget_beside(generator, options.completion.max_tokens);
  const std::vector<Passage> passages = detail::even_passages(snapshot, options);
  detail::QuestionKeeper keeper(search, options);
  auto& report = keeper.made.report;
  for (std::size_t i = 0; i < passages.size(); ++i) {
    if (options.stop && options.stop()) {
      keeper.made.stopped = true;
      break;
    }
    const Passage& passage = passages[i];
    if (passage.text.size() < options.least_bytes) {
      ++report.too_short;
    } else {
      const std::size_t taken = budget.length(options.instructions) + budget.message_tokens;
      const std::size_t room = budget.tokens > taken ? budget.tokens - taken : 0;
      const std::string text = budget.length(passage.text) <= room
                                   ? passage.text
                                   : passage.text.substr(0, sentences_within(passage.text, room, budget.length));
      if (text.empty())
        throw OptionError(message("passage ", passage.id, " has no room in the context of ", generator.name(), ", ",
                                  generator.context_tokens(), " tokens; raise it, or cut the documents smaller"));
      const ChatMessage ask{ChatRole::user, {{options.instructions + "\n\n"}, {text, true}}};
      keeper.add(passage, generator.generate(std::vector{ask}, options.completion).text);
      ++report.passages;
    }
    if (options.progress) options.progress({i + 1, passages.size(), keeper.made.pairs.size()});
  }
  return std::move(keeper.made);
}

}  // namespace graft
