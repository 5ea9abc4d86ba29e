#pragma once

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/core/hash.hpp"
#include "graft/models/sentence_encoder.hpp"
#include "graft/rag/text_pairs.hpp"

namespace graft {

namespace detail {

/// Numbers for texts, in the order they were first met.
class TextNumbers {
 public:
  std::size_t of(const std::string& text) {
    const auto [found, is_new] = numbers_.emplace(text, texts_.size());
    if (is_new) texts_.push_back(text);
    return found->second;
  }
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  std::unordered_map<std::string, std::size_t> numbers_;
  std::vector<std::string> texts_;
};

GRAFT_INLINE PackedBatch pack_rows(const std::vector<std::vector<std::int32_t>>& ids,
                                   std::span<const std::size_t> rows) {
  std::vector<std::vector<std::int32_t>> chosen;
  for (const std::size_t row : rows) chosen.push_back(ids[row]);
  return pack(chosen);
}

}  // namespace detail

GRAFT_INLINE TextPairs::TextPairs(std::span<const QuestionPairs> rows, const SentenceEncoderImpl& encoder,
                                  const TextPairsOptions& options)
    : question_prompt_(encoder.prompt_tokens(encoder.query_prompt())),
      answer_prompt_(encoder.prompt_tokens(encoder.document_prompt())) {
  detail::TextNumbers questions, answers, spellings;
  Checksum sum;
  const auto add = [&](detail::TextNumbers& to, const std::string& text) {
    sum.add(message(text.size(), "\n", text));
    return to.of(text);
  };
  for (const QuestionPairs& row : rows) {
    std::vector<std::size_t> negatives;
    const std::size_t question = add(questions, row.question);
    for (std::size_t i = 0; i < row.negatives.size() && i < options.negatives; ++i)
      negatives.push_back(add(answers, row.negatives[i]));
    for (const std::string& positive : row.positives) rows_.push_back({question, add(answers, positive), negatives});
  }
  fingerprint_ = hex(sum.value());

  for (const auto* texts : {&questions.texts(), &answers.texts()})
    for (const std::string& text : *texts) spelling_.push_back(spellings.of(spelling_key(text)));
  const std::size_t first_answer = questions.texts().size();
  right_.resize(spellings.texts().size());
  for (Row& row : rows_) {
    row.answer += first_answer;
    for (std::size_t& negative : row.negatives) negative += first_answer;
    right_[spelling_[row.question]].push_back(spelling_[row.answer]);
  }
  for (auto& right : right_) std::sort(right.begin(), right.end());
  ids_ = encoder.encode(questions.texts(), encoder.query_prompt(), options.max_tokens);
  for (auto& ids : encoder.encode(answers.texts(), encoder.document_prompt(), options.max_tokens))
    ids_.push_back(std::move(ids));
}

GRAFT_INLINE std::int64_t TextPairs::length(std::int64_t row) const {
  const Row& of = rows_[static_cast<std::size_t>(row)];
  std::size_t tokens = ids_[of.question].size() + ids_[of.answer].size();
  for (const std::size_t negative : of.negatives) tokens += ids_[negative].size();
  return static_cast<std::int64_t>(tokens);
}

GRAFT_INLINE TextPairs::Batch TextPairs::batch(std::span<const std::int64_t> rows) const {
  std::vector<std::size_t> questions, answers;
  for (const std::int64_t row : rows) {
    questions.push_back(rows_[static_cast<std::size_t>(row)].question);
    answers.push_back(rows_[static_cast<std::size_t>(row)].answer);
  }
  for (const std::int64_t row : rows)
    for (const std::size_t negative : rows_[static_cast<std::size_t>(row)].negatives)
      if (std::find(answers.begin(), answers.end(), negative) == answers.end()) answers.push_back(negative);

  torch::Tensor not_rivals = torch::zeros(
      {static_cast<std::int64_t>(questions.size()), static_cast<std::int64_t>(answers.size())}, torch::kBool);
  auto* cell = not_rivals.mutable_data_ptr<bool>();
  for (std::size_t i = 0; i < questions.size(); ++i) {
    const std::vector<std::size_t>& right = right_[spelling_[questions[i]]];
    for (std::size_t j = 0; j < answers.size(); ++j)
      *cell++ = i != j && std::binary_search(right.begin(), right.end(), spelling_[answers[j]]);
  }
  return {detail::pack_rows(ids_, questions), detail::pack_rows(ids_, answers), not_rivals};
}

GRAFT_INLINE AnsweredTexts::AnsweredTexts(std::span<const std::string> questions, std::vector<std::int64_t> right,
                                          const SentenceEncoderImpl& encoder, const TextPairsOptions& options)
    : ids_(encoder.encode(questions, encoder.query_prompt(), options.max_tokens)),
      right_(std::move(right)),
      question_prompt_(encoder.prompt_tokens(encoder.query_prompt())) {
  if (right_.size() != questions.size())
    throw ShapeError(message("there are ", questions.size(), " questions and ", right_.size(), " answers"));
  Checksum sum;
  for (std::size_t i = 0; i < questions.size(); ++i)
    sum.add(message(questions[i].size(), " ", right_[i], "\n", questions[i]));
  fingerprint_ = hex(sum.value());
}

GRAFT_INLINE AnsweredTexts::Batch AnsweredTexts::batch(std::span<const std::int64_t> rows) const {
  std::vector<std::size_t> chosen(rows.begin(), rows.end());
  std::vector<std::int64_t> right;
  for (const std::size_t row : chosen) right.push_back(right_[row]);
  return {detail::pack_rows(ids_, chosen), torch::tensor(right)};
}

}  // namespace graft
