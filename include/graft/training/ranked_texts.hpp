#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/tensor/packed.hpp"
#include "graft/text/tokenizer.hpp"

namespace graft {

/// A question, passages, and how well each answers it: larger is better, 1 and 0 for right and wrong.
struct GradedList {
  std::string question;
  std::vector<std::string> passages;
  std::vector<double> grades;
};

/// Questions and their passages as pairs of texts: data to train a reranker on (a DataSource of which a row is a list).
/// Texts are made into tokens when a batch is asked for; only their lengths are kept.
class RankedTexts {
 public:
  struct Batch {
    PackedBatch tokens;     ///< P pairs, those of a list one after the other
    torch::Tensor grades;   ///< [P] float32
    torch::Tensor offsets;  ///< [L + 1] int64: the pairs of list l are offsets[l] ... offsets[l + 1] - 1
  };

  /// Pairs are cut to `max_length` tokens, the longer text first. Throws OptionError for a list without a passage, or
  /// with another number of grades, or one that is not finite; and as Tokenizer::encode() does.
  RankedTexts(std::vector<GradedList> lists, Tokenizer tokenizer, std::size_t max_length = 256);

  std::int64_t size() const { return static_cast<std::int64_t>(lists_.size()); }
  std::int64_t length(std::int64_t row) const { return lengths_[static_cast<std::size_t>(row)]; }  ///< of all its pairs
  const std::vector<GradedList>& lists() const { return lists_; }

  Batch batch(std::span<const std::int64_t> rows) const;

  std::int64_t pairs() const { return pairs_; }
  std::int64_t cut() const { return cut_; }  ///< pairs of more than `max_length` tokens, of which the rest is not seen

  /// Of texts and grades, in their order.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  std::vector<GradedList> lists_;
  Tokenizer tokenizer_;
  std::size_t max_length_;
  std::vector<std::int64_t> lengths_;
  std::int64_t pairs_ = 0, cut_ = 0;
  std::string fingerprint_;
};

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/training/ranked_texts-inl.hpp"
#endif
