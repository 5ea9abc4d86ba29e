#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <torch/types.h>

#include "graft/core/mode.hpp"
#include "graft/tensor/packed.hpp"

namespace graft {

/// The label of a token that is context only: CausalLM::predictions() and cross_entropy() leave it out.
inline constexpr std::int64_t not_learned = -100;

/// Token sequences and which tokens of each are learned: data for a Trainer (a DataSource), made by ChatExamples and
/// TextExamples. A token's label is its own id; a model shifts them, so that the first of a sequence is never judged.
///
/// Threads: immutable.
class LearnedTokens {
 public:
  struct Batch {
    PackedBatch tokens;
    torch::Tensor labels;  ///< [T] int64: the id where it is learned, else -100
  };

  std::int64_t size() const { return static_cast<std::int64_t>(ids_.size()); }
  std::int64_t length(std::int64_t row) const { return static_cast<std::int64_t>(ids(row).size()); }

  /// The ids of a sequence, and the label of each.
  const std::vector<std::int32_t>& ids(std::int64_t row) const { return ids_.at(static_cast<std::size_t>(row)); }
  const std::vector<std::int64_t>& labels(std::int64_t row) const { return labels_.at(static_cast<std::size_t>(row)); }

  /// Which of the conversations or texts that were given it is made of.
  std::size_t source(std::int64_t row) const { return sources_.at(static_cast<std::size_t>(row)); }

  std::int64_t cut() const { return cut_; }          ///< how many of those were longer than the limit
  std::int64_t dropped() const { return dropped_; }  ///< how many are left out: nothing of them was learned

  Batch batch(std::span<const std::int64_t> rows) const;

  /// Of ids and labels, in their order: names the data that an adapter was trained on.
  const std::string& fingerprint() const { return fingerprint_; }

 protected:
  LearnedTokens() = default;

  /// Takes a row for what `source` gave; add_cut() its first `max_tokens`, if anything is learned of those.
  void add(std::vector<std::int32_t> ids, std::vector<std::int64_t> labels, std::size_t source);
  void add_cut(std::vector<std::int32_t>& ids, std::vector<std::int64_t>& labels, std::size_t source,
               std::size_t max_tokens);
  void make_fingerprint();  ///< once all rows are there

  std::int64_t cut_ = 0, dropped_ = 0;

 private:
  std::vector<std::vector<std::int32_t>> ids_;
  std::vector<std::vector<std::int64_t>> labels_;
  std::vector<std::size_t> sources_;
  std::string fingerprint_;
};

/// How many labels are learned: those that are not -100, the first left out.
std::int64_t learned_count(std::span<const std::int64_t> labels);

/// Throws OptionError, with the id and its row, if a token is beyond the `vocabulary` rows of a model's embedding: the
/// tokenizer is another model's.
void check_ids(const LearnedTokens& data, std::int64_t vocabulary);

}  // namespace graft

#ifndef GRAFT_COMPILED
#include "graft/generation/learned_tokens-inl.hpp"
#endif
