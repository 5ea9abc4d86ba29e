#pragma once

#include <cmath>
#include <utility>

#include "graft/core/error.hpp"
#include "graft/tensor/fingerprint.hpp"
#include "graft/training/ranked_texts.hpp"

namespace graft {

GRAFT_INLINE RankedTexts::RankedTexts(std::vector<GradedList> lists, Tokenizer tokenizer, std::size_t max_length)
    : lists_(std::move(lists)), tokenizer_(std::move(tokenizer)), max_length_(max_length) {
  for (std::size_t row = 0; row < lists_.size(); ++row) {
    const GradedList& list = lists_[row];
    const std::string name = message("list ", row, ", of the question ", quoted(list.question, 60), ",");
    if (list.passages.empty()) throw OptionError(message(name, " has no passage; leave it out"));
    if (list.grades.size() != list.passages.size())
      throw OptionError(message(name, " has ", list.grades.size(), " grades for ", list.passages.size(),
                                " passages; give one for each"));
    std::string all = fingerprint_ + list.question;
    std::int64_t tokens = 0;
    for (const Encoding& pair : tokenizer_.encode_pairs(list.question, list.passages, {.max_length = max_length_})) {
      tokens += static_cast<std::int64_t>(pair.size());
      cut_ += pair.cut > 0 ? 1 : 0;
    }
    for (std::size_t i = 0; i < list.passages.size(); ++i) {
      if (!std::isfinite(list.grades[i])) throw OptionError(message(name, " has the grade ", list.grades[i]));
      all += message('\t', list.passages[i], '\t', list.grades[i]);
    }
    fingerprint_ = hex(graft::fingerprint(all));
    lengths_.push_back(tokens);
    pairs_ += static_cast<std::int64_t>(list.passages.size());
  }
}

GRAFT_INLINE RankedTexts::Batch RankedTexts::batch(std::span<const std::int64_t> rows) const {
  std::vector<std::vector<std::int32_t>> ids, types;
  std::vector<float> grades;
  std::vector<std::int64_t> offsets{0};
  for (const std::int64_t row : rows) {
    const GradedList& list = lists_[static_cast<std::size_t>(row)];
    for (Encoding& pair : tokenizer_.encode_pairs(list.question, list.passages, {.max_length = max_length_})) {
      ids.push_back(std::move(pair.ids));
      types.push_back(std::move(pair.type_ids));
    }
    grades.insert(grades.end(), list.grades.begin(), list.grades.end());
    offsets.push_back(static_cast<std::int64_t>(ids.size()));
  }
  return {pack(ids, types), torch::tensor(grades), torch::tensor(offsets, torch::kInt64)};
}

}  // namespace graft
