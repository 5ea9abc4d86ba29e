#pragma once

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/hash.hpp"
#include "graft/core/trimmed.hpp"
#include "graft/retrieval/store_questions.hpp"

namespace graft {

namespace detail {

/// Adds a row to `out`, or counts it as left out.
GRAFT_INLINE void add_row(StoreQuestions& out, std::size_t row, StoreQuestion question, std::size_t unknown,
                          const std::string& first_unknown) {
  out.unknown += unknown;
  if (unknown > 0 && out.faults.size() < 20)
    out.faults.push_back(message(question.where, ": the store does not have the answer ", quoted(first_unknown, 60)));
  if (question.right.empty()) {
    ++out.left_out;
    return;
  }
  out.questions.push_back(std::move(question));
  out.rows.push_back(row);
}

/// The documents of each of `texts`, by the text without blank ends.
GRAFT_INLINE std::unordered_map<std::string, std::vector<DocumentId>> find_texts(
    Snapshot& snapshot, const std::unordered_set<std::string>& texts) {
  std::unordered_map<std::string, std::vector<DocumentId>> found;
  std::size_t least = SIZE_MAX, most = 0;
  for (const std::string& text : texts) least = std::min(least, text.size()), most = std::max(most, text.size());
  std::vector<DocumentId> others;  // documents that are no answer as a whole
  for (DocumentId after = 0;;) {
    const std::vector<StoredDocument> batch = snapshot.documents(after);
    if (batch.empty()) break;
    after = batch.back().id;
    for (const StoredDocument& document : batch) {
      std::string text;
      if (document.bytes >= least && document.bytes <= 2 * most + 64) {
        const std::string whole = snapshot.text(document.id);
        text = trimmed(whole);
      }
      if (!text.empty() && texts.contains(text))
        found[text].push_back(document.id);
      else if (document.passages > 1)
        others.push_back(document.id);
    }
  }
  if (found.size() == texts.size()) return found;
  std::unordered_map<std::string, std::vector<DocumentId>> in_passages;
  for (const DocumentId document : others)
    for (const Passage& passage : snapshot.passages_of(document)) {
      std::string text(trimmed(passage.text));
      if (!texts.contains(text) || found.contains(text)) continue;
      auto& documents = in_passages[std::move(text)];
      if (documents.empty() || documents.back() != document) documents.push_back(document);
    }
  found.merge(in_passages);
  return found;
}

}  // namespace detail

GRAFT_INLINE StoreQuestions find_answers(Snapshot& snapshot, std::span<const QuestionPairs> rows) {
  std::unordered_set<std::string> texts;
  for (const QuestionPairs& row : rows)
    for (const std::string& text : row.positives) texts.emplace(trimmed(text));
  const auto found = detail::find_texts(snapshot, texts);
  StoreQuestions out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    StoreQuestion question{.text = rows[i].question, .where = rows[i].where};
    std::size_t unknown = 0;
    std::string first_unknown;
    for (const std::string& text : rows[i].positives) {
      const auto at = found.find(std::string(trimmed(text)));
      if (at == found.end()) {
        if (unknown++ == 0) first_unknown = text;
        continue;
      }
      for (const DocumentId document : at->second)
        if (std::find(question.right.begin(), question.right.end(), document) == question.right.end())
          question.right.push_back(document);
    }
    detail::add_row(out, i, std::move(question), unknown, first_unknown);
  }
  return out;
}

GRAFT_INLINE StoreQuestions find_answers(Snapshot& snapshot, std::span<const JudgedQuery> queries,
                                         const std::map<std::string, Judgements>& judgements) {
  StoreQuestions out;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    StoreQuestion question{.text = queries[i].text, .where = queries[i].where};
    std::size_t unknown = 0;
    std::string first_unknown;
    if (const auto judged = judgements.find(queries[i].id); judged != judgements.end())
      for (const auto& [uri, grade] : judged->second) {
        if (grade < 1) continue;
        if (const auto document = snapshot.find(uri))
          question.right.push_back(document->id);
        else if (unknown++ == 0)
          first_unknown = uri;
      }
    detail::add_row(out, i, std::move(question), unknown, first_unknown);
  }
  return out;
}

}  // namespace graft
