#pragma once

// What a reranker is trained on and judged by: questions with right and wrong passages, and the hits of a search.

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "data.hpp"
#include "graft/rag/cross_encoder.hpp"
#include "graft/retrieval/negatives.hpp"
#include "graft/training/ranked_texts.hpp"
#include "judge.hpp"
#include "questions.hpp"
#include "rerank.hpp"

/// The first hits of a search for a question, in its order.
struct Candidates {
  std::vector<std::string> texts;
  std::vector<graft::DocumentId> documents;  // of each
  std::vector<std::uint8_t> right;           // of each: whether its document answers the question
};

/// Thrown where Ctrl-C was pressed.
struct Stopped {};

/// The questions and the store, as far as they do not depend on the reranker.
class RerankData {
 public:
  /// Reads and checks all. Throws OptionError if the store has no vectors that the search needs.
  RerankData(const RerankTraining& options, const std::atomic<bool>& stop);

  const FinetuneData& data() const { return data_; }

  /// For each question to train on its right passages, then wrong ones that the search takes for right. Questions
  /// without a wrong one are left out. Throws Stopped.
  std::vector<graft::GradedList> training_lists(graft::NegativesReport& report);

  /// Of the questions held out. Throws Stopped.
  std::vector<Candidates> candidates();

 private:
  std::vector<graft::StoreQuestion> with_vectors(const std::vector<graft::StoreQuestion>& questions) const;
  std::vector<std::string> right_passages(const graft::StoreQuestion& question);

  const RerankTraining& options_;
  const std::atomic<bool>& stop_;
  SearchMode mode_;
  Search search_;
  FinetuneData data_;
};

/// nDCG@10 of each question, as the search ranks its candidates.
Judged judge_search(const std::vector<graft::StoreQuestion>& questions, const std::vector<Candidates>& candidates);

/// The same as a reranker does, and its logits of all candidates, end to end.
struct Reranked {
  Judged judged;
  std::vector<double> logits;

  double mean() const;
};
Reranked judge_reranked(std::string name, const std::vector<graft::StoreQuestion>& questions,
                        const std::vector<Candidates>& candidates, const graft::CrossEncoder& reranker,
                        const std::atomic<bool>& stop);

graft::Json json_of(const graft::NegativesReport& report);
void print_report(const graft::NegativesReport& report);
