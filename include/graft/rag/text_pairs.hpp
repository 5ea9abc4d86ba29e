#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "graft/core/mode.hpp"
#include "graft/retrieval/pairs.hpp"
#include "graft/tensor/packed.hpp"

namespace graft {

class SentenceEncoderImpl;

struct TextPairsOptions {
  std::size_t max_tokens = 128;      ///< of a text with its prompt; never more than the encoder's own limit
  std::size_t negatives = SIZE_MAX;  ///< of each row at most so many, its first
};

/// Questions with answers, encoded: data to train both sides of an encoder on (a DataSource), by in_batch_softmax(). A
/// row with several positives gives a row for each.
class TextPairs {
 public:
  struct Batch {
    PackedBatch questions;     ///< N
    PackedBatch answers;       ///< M: those of the questions in their order, then all negatives
    torch::Tensor not_rivals;  ///< [N, M] bool: other answers that are right for a question, in any spelling
  };

  /// Texts go under the encoder's prompts. Throws as Tokenizer::encode_batch() does, OptionError for max_tokens that
  /// leave no room for a text.
  TextPairs(std::span<const QuestionPairs> rows, const SentenceEncoderImpl& encoder,
            const TextPairsOptions& options = {});

  std::int64_t size() const { return static_cast<std::int64_t>(rows_.size()); }
  std::int64_t length(std::int64_t row) const;  ///< tokens of all its texts
  Batch batch(std::span<const std::int64_t> rows) const;

  std::int64_t question_prompt() const { return question_prompt_; }  ///< tokens of the prompt
  std::int64_t answer_prompt() const { return answer_prompt_; }

  /// Of the texts, in their order: names the data that an encoder was trained on.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  struct Row {
    std::size_t question, answer;  // of ids_
    std::vector<std::size_t> negatives;
  };

  std::vector<Row> rows_;
  std::vector<std::vector<std::int32_t>> ids_;
  std::vector<std::size_t> spelling_;            // of each of ids_: one number for all spellings of a text
  std::vector<std::vector<std::size_t>> right_;  // of each spelling of a question: spellings that are right, sorted
  std::int64_t question_prompt_ = 0, answer_prompt_ = 0;
  std::string fingerprint_;
};

/// Encoded questions whose answers are vectors of a store: data to train the questions' side on, by StoredSoftmax.
class AnsweredTexts {
 public:
  struct Batch {
    PackedBatch questions;  ///< N
    torch::Tensor right;    ///< [N] int64: rows of the stored vectors
  };

  /// `right[i]` is the row of the vector that answers `questions[i]`. Throws ShapeError unless there are as many, and
  /// as TextPairs does.
  AnsweredTexts(std::span<const std::string> questions, std::vector<std::int64_t> right,
                const SentenceEncoderImpl& encoder, const TextPairsOptions& options = {});

  std::int64_t size() const { return static_cast<std::int64_t>(ids_.size()); }
  std::int64_t length(std::int64_t row) const {
    return static_cast<std::int64_t>(ids_[static_cast<std::size_t>(row)].size());
  }
  Batch batch(std::span<const std::int64_t> rows) const;
  std::int64_t question_prompt() const { return question_prompt_; }  ///< tokens of the prompt
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  std::vector<std::vector<std::int32_t>> ids_;
  std::vector<std::int64_t> right_;
  std::int64_t question_prompt_ = 0;
  std::string fingerprint_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/rag/text_pairs-inl.hpp"
#endif
